"""The checker for event loops."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Literal

from ip_risk._async_stream import stream
from ip_risk._judge import Judge, check_text, checked_texts, refuse_one_text
from ip_risk._loops import ended, turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ip_risk._log import Logger, LoggerOptions
    from ip_risk._types import Decision, RiskCheckerOptions, Stats


class AsyncRiskChecker:
    """Does what ``RiskChecker`` does, for ``asyncio``, loops that stand in for it, such as uvloop, and trio.

    Belongs to no loop: it may be made before one runs, and used on several. Shares its engine with every checker of
    the process that has the same options.
    """

    def __init__(
        self,
        *,
        logger: Logger | LoggerOptions | Literal[False] | None = None,
        **options: Unpack[RiskCheckerOptions],
    ) -> None:
        self._judge = Judge(options, logger)

    async def check(self, ip: str, *, policy: str | None = None, route: str | None = None) -> Decision:
        """Score one address and decide, as ``RiskChecker.check``. Cancelling gives up waiting."""
        check_text(ip)
        return self._judge.deliver(await self._judge.check_later(ip, policy, route), ip, policy, route)

    def peek(self, ip: str, *, policy: str | None = None, route: str | None = None) -> Decision | None:
        """Return the decision when nobody needs to be asked, else ``None``. Counts and logs nothing."""
        check_text(ip)
        return self._judge.peek(ip, policy, route)

    async def check_many(
        self, ips: Iterable[str], *, policy: str | None = None, route: str | None = None
    ) -> list[Decision]:
        """Score up to 50,000 addresses, in their order. When it is cancelled, no further address is asked about."""
        decisions = await ended(self._judge.ask_many(checked_texts(ips), policy, route))
        made: list[Decision] = []
        for part in self._judge.deliver_many(decisions, policy, route):
            made += part
            await turn()
        return made

    def check_stream(
        self,
        ips: Iterable[str] | AsyncIterable[str],
        *,
        policy: str | None = None,
        route: str | None = None,
    ) -> AsyncGenerator[Decision, None]:
        """Score any number of addresses, in their order and in bounded memory.

        As ``RiskChecker.check_stream``. An asynchronous source that is slow gets its decisions without waiting for
        more addresses. Needs ``asyncio``.
        """
        refuse_one_text(ips, (Iterable, AsyncIterable))
        self._judge.require_open(policy, route)
        return stream(self._judge, ips, policy, route)

    async def invalidate(self, ip: str | None = None) -> None:
        """Forget what is cached about one address, or about all, as ``RiskChecker.invalidate``."""
        if ip is not None:
            check_text(ip)
        await ended(self._judge.native.invalidate(ip))

    def stats(self) -> Stats:
        """Return counts since the checker was made in this process. Raises ``ClosedError`` once closed."""
        return self._judge.native.stats()

    async def close(self) -> None:
        """End the checker, when its look-ups that are under way have ended. Closing again waits as well."""
        try:
            await ended(self._judge.native.close())
        finally:
            self._judge.log.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
