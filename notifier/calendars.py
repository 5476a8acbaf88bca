"""Fetching the calendars that a directory names by URL: within limits of time and size, and without telling the URL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from notifier.people import ical

TIMEOUT_S = 20.0
_AGENT = {"User-Agent": "tillwatch", "Accept": "text/calendar, */*;q=0.1"}


async def fetch(session: ClientSession, url: str) -> ical.Calendar:
    """The calendar at a URL. Raises CalendarError, which tells the host alone: a calendar's URL is often its password, too."""
    try:
        address = URL(re.sub("^webcal:", "https:", url, flags=re.I))
    except ValueError:
        raise ical.CalendarError("the URL of a calendar is none") from None
    try:
        async with session.get(address, timeout=ClientTimeout(total=TIMEOUT_S), headers=_AGENT) as answer:
            if answer.status != 200:
                raise ical.CalendarError(f"answers with status {answer.status}")
            content = b""
            async for chunk in answer.content.iter_chunked(64 * 1024):
                content += chunk
                if len(content) > ical.LARGEST:
                    break
        return await asyncio.to_thread(ical.read, content)
    except TimeoutError:
        why = f"does not answer within {TIMEOUT_S:g} s"
    except ical.CalendarError as error:
        why = str(error)
    except (ClientError, OSError, ValueError) as error:
        why = f"cannot be reached: {type(error).__name__}"
    raise ical.CalendarError(f"the calendar at {address.host}: {why}") from None


async def fetch_all(urls: Iterable[str]) -> tuple[dict[str, ical.Calendar], list[str]]:
    """The calendars that could be had, by URL, and for each other why not."""
    wanted = list(urls)
    async with ClientSession() as session:
        found = await asyncio.gather(*(fetch(session, url) for url in wanted), return_exceptions=True)
    calendars, problems = {}, []
    for url, one in zip(wanted, found, strict=True):
        if isinstance(one, ical.Calendar):
            calendars[url] = one
        elif isinstance(one, ical.CalendarError):
            problems.append(str(one))
        else:
            raise one
    return calendars, problems
