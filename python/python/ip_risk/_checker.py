"""The checker for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ip_risk._judge import Judge, check_text, checked_texts, refuse_one_text
from ip_risk._stream import stream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ip_risk._log import Logger, LoggerOptions
    from ip_risk._types import Decision, RiskCheckerOptions, Stats


class RiskChecker:
    """Scores addresses and decides what a route should do.

    Make one per process and keep it: checkers with the same options share one cache and one connection pool. It may be
    made before a process forks; every process then has its own. Reads ``IPGEO_API_KEY``, ``REDIS_URL``,
    ``IP_RISK_FEEDS``, ``IP_RISK_MODE``, ``HTTPS_PROXY``, ``NO_PROXY`` and ``NODE_EXTRA_CA_CERTS`` when it is made.

    Waits without holding the interpreter's lock, and Ctrl-C interrupts a wait.

    Raises ``OptionError`` for a mistake in the options, with its path in the message.
    """

    def __init__(
        self,
        *,
        logger: Logger | LoggerOptions | Literal[False] | None = None,
        **options: Unpack[RiskCheckerOptions],
    ) -> None:
        self._judge = Judge(options, logger)

    def check(self, ip: str, *, policy: str | None = None, route: str | None = None) -> Decision:
        """Score one address and decide.

        Never raises for what the address is or what the provider does: text that is no address, a timeout or a wrong
        key are decisions, with ``failure`` saying what happened. Answers from the cache in some microseconds; otherwise
        within ``deadline`` (1.5 s), for 2 credits. Simultaneous checks of one address make one call.

        Raises only for mistakes of the caller: ``ArgumentError``, ``UnknownPolicyError``, ``ClosedError``.
        """
        check_text(ip)
        return self._judge.deliver(self._judge.check(ip, policy, route), ip, policy, route)

    def peek(self, ip: str, *, policy: str | None = None, route: str | None = None) -> Decision | None:
        """Return the decision when nobody needs to be asked, else ``None``. Counts and logs nothing."""
        check_text(ip)
        return self._judge.peek(ip, policy, route)

    def check_many(self, ips: Iterable[str], *, policy: str | None = None, route: str | None = None) -> list[Decision]:
        """Score up to 50,000 addresses, in their order. What fails for one of them stands in its decision."""
        decisions = self._judge.ask_many(checked_texts(ips), policy, route).wait()
        return [decision for part in self._judge.deliver_many(decisions, policy, route) for decision in part]

    def check_stream(
        self, ips: Iterable[str], *, policy: str | None = None, route: str | None = None
    ) -> Generator[Decision, None, None]:
        """Score any number of addresses, in their order and in bounded memory.

        Begins when the first decision is asked for, and reads at most 4,000 addresses ahead. Leaving the loop ends
        the source, when it is a generator, and asks about no further address. An error of the source comes after the
        decisions about what it gave before, and so does ``ClosedError`` when the checker closes meanwhile.
        """
        refuse_one_text(ips)
        self._judge.require_open(policy, route)
        return stream(self._judge, ips, policy, route)

    def invalidate(self, ip: str | None = None) -> None:
        """Forget what is cached about one address, or about all, in every process that shares the Redis.

        Raises ``RedisError`` when the other processes could not be told; it is forgotten in this one all the same.
        """
        if ip is not None:
            check_text(ip)
        self._judge.native.invalidate(ip).wait()

    def stats(self) -> Stats:
        """Return counts since the checker was made in this process. Raises ``ClosedError`` once closed."""
        return self._judge.native.stats()

    def close(self) -> None:
        """End the checker, when its look-ups that are under way have ended. Closing again waits as well."""
        try:
            pending = self._judge.native.close()
            if pending is not None:
                pending.wait()
        finally:
            self._judge.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
