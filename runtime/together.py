"""Asking a server once for many who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Together(Generic[K, V]):
    """Gathers the keys of all who ask while a question is on its way into the next one.

    An answer is never older than the call, since a question that was sent before it is not waited for.
    """

    def __init__(self, question: Callable[[Set[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._question = question
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, key: K) -> V | None:
        """The answer for one key, None where there is none. Raises what the question raises."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(answer)

    async def _ask(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # whoever asks in the same turn comes along
                waiting, self._waiting = self._waiting, {}
                try:
                    answers = await self._question(waiting.keys())
                except BaseException as error:
                    told = error if isinstance(error, Exception) else TimeoutError("the question was cut short")
                    for answer in waiting.values():
                        answer.set_exception(told)
                        answer.exception()  # nobody may be there any more to hear of it
                    if not isinstance(error, Exception | asyncio.CancelledError):
                        raise
                else:
                    for key, answer in waiting.items():
                        answer.set_result(answers.get(key))
        finally:
            self._asking = None
