"""Waiting for what happens elsewhere, with a limit: the only place in the tests that sleeps."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 30.0
_LOOK_EVERY_S = 0.05


def eventually(check: Callable[[], T], what: str = "", limit_s: float = LIMIT_S) -> T:
    """The first true answer of `check`. Raises AssertionError after the limit, with its last answer or failed assertion."""
    deadline = time.monotonic() + limit_s
    while True:
        answer: T | AssertionError
        try:
            answer = check()
        except AssertionError as error:
            answer = error
        if answer and not isinstance(answer, AssertionError):
            return answer
        if time.monotonic() > deadline:
            raise _late(check, what, limit_s, answer)
        time.sleep(_LOOK_EVERY_S)


async def eventually_async(check: Callable[[], T | Awaitable[T]], what: str = "", limit_s: float = LIMIT_S) -> T:
    """The same without blocking the event loop; `check` may be a coroutine function, which the limit cuts short."""
    deadline = time.monotonic() + limit_s
    while True:
        answer: T | AssertionError | TimeoutError
        try:
            asked = check()
            if inspect.isawaitable(asked):
                answer = await asyncio.wait_for(asked, max(deadline - time.monotonic(), _LOOK_EVERY_S))
            else:
                answer = asked
        except (AssertionError, TimeoutError) as error:
            answer = error
        if answer and not isinstance(answer, (AssertionError, TimeoutError)):
            return answer
        if time.monotonic() > deadline:
            raise _late(check, what, limit_s, answer)
        await asyncio.sleep(_LOOK_EVERY_S)


async def pause(seconds: float) -> None:
    """For what has a rhythm or a duration of its own: a load, a fault that lasts. A test that waits for something says what."""
    await asyncio.sleep(seconds)


def _late(check: object, what: str, limit_s: float, answer: object) -> AssertionError:
    return AssertionError(f"not within {limit_s:g} s: {what or getattr(check, '__name__', check)}; last: {answer!r}")
