"""Asks the extension, and hands every decision to the log."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from ip_risk import _native
from ip_risk._errors import IpRiskError, argument, shown
from ip_risk._log import Log, Logger, LoggerOptions
from ip_risk._options import to_json
from ip_risk._surroundings import read_surroundings
from ip_risk._types import Decision

MOST_ADDRESSES = _native.vocabulary()["most_addresses"]
DEFAULT_POLICY = "login"

Told = tuple[Decision, "str | None"]
"""A decision, and the code of a mistake in the set-up that it shows."""


class Judge:
    """What the checkers of both kinds are made of."""

    def __init__(
        self,
        options: Mapping[str, Any],
        logger: Logger | LoggerOptions | Literal[False] | None,
        *,
        is_test: bool = False,
    ) -> None:
        self.log = Log(logger)
        self.native = _native.Checker(to_json(options), read_surroundings(), is_test)
        for code, message in self.native.notices():
            self.log.noticed(code, message)

    def ask(self, text: str, policy: str | None, route: str | None, facts: int = 0) -> Told | _native.Pending:
        """Ask about an address; ``facts`` is not 0 where a request brings it."""
        return self.native.judge(text, DEFAULT_POLICY if policy is None else policy, route, facts)

    def ask_many(self, texts: list[str], policy: str | None, route: str | None) -> _native.Pending:
        """Ask about a list."""
        return self.native.judge_many(texts, DEFAULT_POLICY if policy is None else policy, route)

    def deliver(self, told: Told, text: str, policy: str | None, route: str | None) -> Decision:
        """Write down what is worth it, and return the decision."""
        decision, warning = told
        if warning is not None:
            self.log.warn_once(warning)
        if decision["would_be"] != "allow" or decision["failed_open"]:
            self._write(decision, text, policy, route)
        if decision["degraded"] or decision["source"] == "api":
            self._tell_news()
        return decision

    def deliver_many(self, decisions: list[Decision], policy: str | None, route: str | None) -> list[Decision]:
        """Do the same with the decisions of a list."""
        for decision in decisions:
            self.deliver((decision, None), decision["ip"] or "", policy, route)
        return decisions

    def require_open(self, policy: str | None) -> None:
        """Raise for a checker that is closed, and for a policy that does not exist."""
        self.native.peek("", DEFAULT_POLICY if policy is None else policy, None)

    def failed(self, policy: str, error: BaseException) -> Told:
        """Give the policy's failure mode, when judging itself failed."""
        code = error.code if isinstance(error, IpRiskError) else "ERR_IP_RISK_INTERNAL"
        return self.native.failed(policy, code)

    def _write(self, decision: Decision, text: str, policy: str | None, route: str | None) -> None:
        is_denied = decision["source"] == "list" and decision["would_be"] != "allow"
        named = DEFAULT_POLICY if policy is None else policy
        entry = self.native.describe_entry(text, named, route) if is_denied else None
        self.log.decided(decision, entry)

    def _tell_news(self) -> None:
        """Tell of outages and of the budget. Who asks first has it, so one who would not tell must not ask."""
        if self.log.is_silent:
            return
        news = self.native.take_news(with_outage=True)
        if news is None:
            return
        if news["outage"] is not None:
            self.log.outage(news["outage"])
        for event in news["budget"]:
            self.log.budget_used(event)


async def ended(pending: _native.Pending) -> Any:
    """Wait on the loop that is running for something that is under way."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    pending.deliver(loop.call_soon_threadsafe, functools.partial(_settle, future))
    try:
        return await future
    except asyncio.CancelledError:
        pending.stop()
        raise


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if future.done():
        return
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)


def check_text(ip: object) -> None:
    """Refuse what is no text. What is text is never a mistake."""
    if not isinstance(ip, str):
        raise argument(f"`ip` must be a str, not {shown(ip)}")


def checked_texts(ips: Iterable[str]) -> list[str]:
    """Return the addresses of a list."""
    refuse_one_text(ips)
    texts = list(ips)
    for place, text in enumerate(cast("list[object]", texts)):
        if not isinstance(text, str):
            raise argument(f"`ips[{place}]` must be a str, not {shown(text)}")
    if len(texts) > MOST_ADDRESSES:
        message = f"`check_many` takes at most {MOST_ADDRESSES} addresses, not {len(texts)}"
        raise argument(f"{message}; use `check_stream`")
    return texts


def refuse_one_text(ips: object, kinds: tuple[type, ...] = (Iterable,)) -> None:
    """Refuse what does not give addresses one by one."""
    if isinstance(ips, (str, bytes)):
        raise argument("`ips` must give addresses one by one, and not be one text; write `[ip]`, or use `check`")
    if not isinstance(ips, kinds):
        raise argument(f"`ips` must be a list or another iterable of str, not {shown(ips)}")
