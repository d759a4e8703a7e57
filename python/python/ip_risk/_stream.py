"""Decisions about any number of addresses, in their order and in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, cast

from ip_risk._errors import argument, shown

if TYPE_CHECKING:
    from ip_risk import _native
    from ip_risk._judge import Failed, Judge
    from ip_risk._types import Decision

BATCH = 1_000
"""How many addresses are handed over together."""
MOST_BATCHES = 4
"""How many batches are under way at once."""
LONGEST_WAIT = 0.01
"""For how many seconds an address of a slow source waits for others."""


def not_text(item: object, place: int) -> Exception:
    """Make the error for an item that is no text."""
    return argument(f"`ips[{place}]` must be a str, not {shown(item)}")


def stream(judge: Judge, ips: Iterable[str], policy: str | None, route: str | None) -> Generator[Decision, None, None]:
    """Hand addresses over in batches, and read on while these are under way."""
    batches: deque[_native.Pending | Failed] = deque()
    source = iter(ips)
    reader = _Reader(source)
    try:
        while not reader.is_over:
            texts = reader.read()
            if texts:
                batches.append(judge.ask_many(texts, policy, route))
            # A slow source is asked for more when there is nothing left to give.
            most = 0 if reader.is_slow or reader.is_over else MOST_BATCHES - 1
            while len(batches) > most:
                for part in judge.deliver_many(batches.popleft().wait(), policy, route):
                    yield from part
        if reader.failure is not None:
            raise reader.failure
    finally:
        for batch in batches:
            batch.stop()
        if isinstance(source, Generator):
            source.close()


class _Reader:
    """Reads a source in batches."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source = source
        self._place = 0
        self.is_over = False
        self.failure: Exception | None = None
        """What the source failed with, after what it gave."""
        self.is_slow = False
        """Whether it kept the last batch waiting."""

    def read(self) -> list[str]:
        """Read a batch; less of a source that is slow, or over."""
        texts: list[str] = []
        self.is_slow = False
        asked = begun = time.monotonic()
        while len(texts) < BATCH and not self.is_slow and self._read_one(texts):
            now = time.monotonic()
            # The first one waits for nobody yet, but a source that was slow with it is not asked for a second.
            self.is_slow = now - begun > LONGEST_WAIT or now - asked > LONGEST_WAIT
            asked = now
            if len(texts) == 1:
                begun = now
        return texts

    def _read_one(self, texts: list[str]) -> bool:
        try:
            text = next(self._source)
        except StopIteration:
            self.is_over = True
            return False
        except Exception as error:  # noqa: BLE001 - it is raised after the decisions
            self.is_over, self.failure = True, error
            return False
        if not isinstance(cast("object", text), str):
            self.is_over, self.failure = True, not_text(text, self._place)
            return False
        texts.append(text)
        self._place += 1
        return True
