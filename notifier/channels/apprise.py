"""Any of the services that the library apprise knows, by its URL.

https://github.com/caronc/apprise. The library blocks, so it runs in threads, a few and no more: one that hangs keeps its thread
until it gives up by itself.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import apprise

from notifier.channels.base import Message, Receipt, Refused, Unreachable, answers, headline, links, paragraphs
from notifier.channels.settings import Around, Table

THREADS = 4
GENERIC = frozenset({"json", "xml", "form", "apprise"})
"""Services that post to any address: what the webhook channel does, which looks where it goes."""
LOCAL = frozenset({"dbus", "qt", "glib", "kde", "gnome", "macosx", "windows", "syslog"})
"""What shows something on this machine, where nobody looks."""

_TYPES = {
    "critical": apprise.NotifyType.FAILURE,
    "high": apprise.NotifyType.FAILURE,
    "medium": apprise.NotifyType.WARNING,
    "low": apprise.NotifyType.INFO,
}


class Settings(Table):
    """Addresses are apprise's URLs, such as tgram://BOT_TOKEN/CHAT_ID. As they hold credentials, `to` is a secret."""


def refused_scheme(url: str) -> str | None:
    """Why a URL may not be used, None if it may."""
    scheme = url.partition(":")[0].lower()
    if scheme.rstrip("s") in GENERIC or scheme in GENERIC:
        return f"{scheme}:// posts to any address: use a channel of the kind webhook, which looks where it goes"
    if scheme in LOCAL:
        return f"{scheme}:// shows it on this machine, where nobody looks"
    return None


def body(message: Message) -> str:
    """The text below the title."""
    more = (f"{words}: {url}" for words, url in links(message))
    return "\n".join((*paragraphs(message), *answers(message), *more))


class Apprise:
    """Apprise says whether it worked, not why not: a failure is tried again."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name = name
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"apprise-{name}")
        self._busy = 0

    async def send(self, message: Message, address: str) -> Receipt:
        why_not = refused_scheme(address)
        if why_not is not None:
            raise Refused(why_not)
        if self._busy >= THREADS:
            raise Unreachable(f"{THREADS} messages hang in it already")
        self._busy += 1
        under_way = asyncio.get_running_loop().run_in_executor(self._threads, _notify, message, address)
        under_way.add_done_callback(self._left)
        # A thread cannot be stopped: whoever is stopped waiting for it leaves it its place until it ends.
        return await asyncio.shield(under_way)

    def _left(self, done: asyncio.Future[Receipt]) -> None:
        self._busy -= 1
        if not done.cancelled():
            done.exception()  # it was told to whoever waited, if anybody did

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _notify(message: Message, address: str) -> Receipt:
    scheme = address.partition(":")[0]
    it = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Tillwatch", app_desc="Tillwatch", http_redirects=False))
    if not it.add(address):
        raise Refused(f"apprise does not know the service {scheme}://, or its URL is not complete")
    kind = apprise.NotifyType.SUCCESS if message.kind == "resolved" else _TYPES[message.severity]
    if not it.notify(body=body(message), title=headline(message), notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
        raise Unreachable(f"apprise could not hand it to {scheme}://", maybe_sent=True)
    return Receipt(None, f"{scheme}:// took it")
