"""The same for event loops: decisions about any number of addresses, in their order and in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from ip_risk._loops import ended, require_asyncio
from ip_risk._stream import BATCH, LONGEST_WAIT, MOST_BATCHES, not_text

if TYPE_CHECKING:
    from ip_risk import _native
    from ip_risk._judge import Failed, Judge
    from ip_risk._types import Decision


async def stream(
    judge: Judge, ips: Iterable[str] | AsyncIterable[str], policy: str | None, route: str | None
) -> AsyncGenerator[Decision, None]:
    """Hand addresses over in batches, and read on while these are under way."""
    require_asyncio("`check_stream` needs an event loop of asyncio")
    batches: deque[asyncio.Future[_native.Decisions | Failed]] = deque()
    reader = _Reader(ips)
    try:
        while True:
            if len(batches) < MOST_BATCHES and (texts := reader.take()):
                batches.append(asyncio.ensure_future(ended(judge.ask_many(texts, policy, route))))
            elif batches and batches[0].done():
                for part in judge.deliver_many(batches.popleft().result(), policy, route):
                    for decision in part:
                        yield decision
            elif batches or not reader.is_over:
                await asyncio.wait([*reader.waits(), *list(batches)[:1]], return_when=asyncio.FIRST_COMPLETED)
            else:
                break
        if reader.failure is not None:
            raise reader.failure
    finally:
        for batch in batches:
            batch.cancel()
        await reader.close()


class _Reader:
    """Reads a source in a task of its own, as far as one batch ahead."""

    def __init__(self, ips: Iterable[str] | AsyncIterable[str]) -> None:
        is_async = isinstance(ips, AsyncIterable)
        self._source: Iterator[Any] | AsyncIterator[Any] = aiter(ips) if is_async else iter(ips)
        self._loop = asyncio.get_running_loop()
        self._texts: list[str] = []
        self._place = 0
        self._reading: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: asyncio.Future[None] = self._loop.create_future()
        """Ends when what was read has waited for others long enough."""
        self._is_drained = False
        self._is_closing = False
        self.failure: Exception | None = None
        """What the source failed with, after what it gave."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self._is_drained and not self._texts

    def take(self) -> list[str]:
        """Take what is to be handed over now, which may be nothing, and read on."""
        texts: list[str] = []
        if len(self._texts) >= BATCH or self._due.done() or self._is_drained:
            texts, self._texts = self._texts, []
            if self._timer is not None:
                self._timer.cancel()
            self._due = self._loop.create_future()
        is_reading = self._reading is not None and not self._reading.done()
        if not is_reading and not self._is_drained and len(self._texts) < BATCH:
            self._reading = self._loop.create_task(self._read())
        return texts

    def waits(self) -> list[asyncio.Future[Any]]:
        """Return what may change what there is to take."""
        waits: list[asyncio.Future[Any]] = []
        if self._reading is not None and not self._reading.done():
            waits.append(self._reading)
        if not self._due.done():
            waits.append(self._due)
        return waits

    async def _read(self) -> None:
        try:
            while len(self._texts) < BATCH:
                self._add(await anext(self._source) if isinstance(self._source, AsyncIterator) else next(self._source))
        except (StopIteration, StopAsyncIteration):
            self._is_drained = True
        except Exception as error:  # noqa: BLE001 - it is raised after the decisions
            self._is_drained, self.failure = True, error
        except asyncio.CancelledError as error:
            if self._is_closing:
                raise
            # Passed on as it is, it would end the one who reads the stream without a word.
            self._is_drained, self.failure = True, RuntimeError("the source of addresses raised CancelledError")
            self.failure.__cause__ = error

    def _add(self, text: object) -> None:
        if not isinstance(text, str):
            raise not_text(text, self._place)
        self._texts.append(text)
        self._place += 1
        if len(self._texts) == 1:
            self._timer = self._loop.call_later(LONGEST_WAIT, self._due.set_result, None)

    async def close(self) -> None:
        """Stop reading, and end the source where it is a generator."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])
        source: Any = self._source
        if isinstance(source, AsyncGenerator):
            await cast("AsyncGenerator[Any, None]", source).aclose()
        elif isinstance(source, Generator):
            cast("Generator[Any, None, None]", source).close()
