"""Asks the extension, and hands every decision to the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any, Literal, cast

from ip_risk import _native
from ip_risk._errors import ArgumentError, ClosedError, IpRiskError, UnknownPolicyError, argument, coded, shown
from ip_risk._log import Log, Logger, LoggerOptions
from ip_risk._loops import ended
from ip_risk._options import to_json
from ip_risk._surroundings import read_surroundings
from ip_risk._types import Decision

MOST_ADDRESSES = _native.vocabulary()["most_addresses"]
DEFAULT_POLICY = "login"
_AT_ONCE = 256
"""How many decisions of a list are made into objects without letting others run."""

_MISTAKES = (ArgumentError, ClosedError, UnknownPolicyError)
"""What a check raises; everything else is answered by the failure mode."""

Told = tuple[Decision, "str | None"]
"""A decision, and the code of a mistake in the set-up that it shows."""


class Failed:
    """Stands in for a list that could not be asked about: the failure mode, so many times."""

    def __init__(self, decision: Decision, count: int) -> None:
        self._decision = decision
        self._left = count

    def wait(self) -> Failed:
        """Do nothing: it has ended."""
        return self

    def stop(self) -> None:
        """Do nothing: it has ended."""

    def take(self, most: int) -> list[Decision]:
        """Give the next ones."""
        taken = min(most, self._left)
        self._left -= taken
        return [deepcopy(self._decision) for _ in range(taken)]


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
        self._kept = {policy: self._failure_mode(policy) for policy in self.native.policies()}
        """What policies answer when even that cannot be asked, as where a process was forked and makes no engine."""
        for code, message in self.native.notices():
            self.log.noticed(code, message)

    def add_policy(self, base: str, written: Mapping[str, Any]) -> str:
        """Add a policy that is written at one route, and return its name."""
        policy = self.native.add_policy(base, to_json(written))
        self._kept[policy] = self._failure_mode(policy)
        return policy

    def _failure_mode(self, policy: str) -> Decision:
        return self.native.failed(policy, "ERR_IP_RISK_INTERNAL", is_request=False)[0]

    def check(self, text: str, policy: str | None, route: str | None, facts: int = 0) -> Told:
        """Ask about an address, and wait; ``facts`` is not 0 where a request brings it."""
        try:
            asked = self.native.judge(text, *named(policy, route), facts)
            return asked.wait() if isinstance(asked, _native.Pending) else asked
        except Exception as error:
            if facts == 0 and not isinstance(error, IpRiskError):
                # A handler of signals raised it, such as one that limits the time of a job.
                raise
            return self._instead(error, policy, is_request=facts != 0)

    async def check_later(self, text: str, policy: str | None, route: str | None, facts: int = 0) -> Told:
        """Do the same without holding the event loop up."""
        try:
            return await ended(self.native.judge(text, *named(policy, route), facts))
        except Exception as error:  # noqa: BLE001 - see `_instead`
            return self._instead(error, policy, is_request=facts != 0)

    def peek(self, text: str, policy: str | None, route: str | None) -> Decision | None:
        """Say what is known here."""
        try:
            return self.native.peek(text, *named(policy, route))
        except _MISTAKES:
            raise
        except IpRiskError as error:
            return self.failed(policy, error, is_request=False)[0]

    def ask_many(self, texts: list[str], policy: str | None, route: str | None) -> _native.Pending | Failed:
        """Ask about a list."""
        try:
            return self.native.judge_many(texts, *named(policy, route))
        except IpRiskError as error:
            return Failed(self._instead(error, policy, is_request=False)[0], len(texts))

    def deliver(self, told: Told, text: str, policy: str | None, route: str | None) -> Decision:
        """Write down what is worth it, and return the decision."""
        decision, warning = told
        if warning is not None:
            self.log.warn_once(warning)
        # The decision must not need what its lines need.
        with suppress(IpRiskError):
            if decision["would_be"] != "allow" or decision["failed_open"]:
                self._write(decision, text, policy, route)
            if decision["degraded"] or decision["source"] == "api":
                self._tell_news()
        return decision

    def deliver_many(
        self, decisions: _native.Decisions | Failed, policy: str | None, route: str | None
    ) -> Iterator[list[Decision]]:
        """Do the same with the decisions of a list, some at a time, so that others come to their turn in between."""
        while part := decisions.take(_AT_ONCE):
            for decision in part:
                self.deliver((decision, None), decision["ip"] or "", policy, route)
            yield part

    def require_open(self, policy: str | None, route: str | None) -> None:
        """Raise for a checker that is closed, and for a policy that does not exist."""
        self.peek("", policy, route)

    def _instead(self, error: Exception, policy: str | None, *, is_request: bool) -> Told:
        """Tell why nothing is judged, and give the failure mode. Mistakes are raised, but a gate always answers."""
        if isinstance(error, _MISTAKES) and not is_request:
            raise error
        if not isinstance(error, ClosedError):
            self.log.not_judged(error)
        return self.failed(policy, error, is_request=is_request)

    def failed(self, policy: str | None, error: BaseException, *, is_request: bool) -> Told:
        """Give the policy's failure mode, when judging itself failed."""
        code = error.code if isinstance(error, IpRiskError) else "ERR_IP_RISK_INTERNAL"
        policy = DEFAULT_POLICY if policy is None else policy
        try:
            return self.native.failed(policy, code, is_request)
        except Exception as cause:  # noqa: BLE001 - what is kept needs nothing
            return self._kept_mode(policy, code, cause, is_request=is_request), None

    def _kept_mode(self, policy: str, code: str, cause: Exception, *, is_request: bool) -> Decision:
        kept = self._kept.get(policy)
        if kept is None:
            names = ", ".join(f"`{name}`" for name in self._kept)
            message = f"no policy is called `{policy}`; known are {names}"
            raise coded("ERR_IP_RISK_UNKNOWN_POLICY", message) from cause
        decision: dict[str, Any] = {**deepcopy(kept), "failure": code}
        if is_request:
            decision["provenance"] = "application"
        return cast("Decision", decision)

    def _write(self, decision: Decision, text: str, policy: str | None, route: str | None) -> None:
        is_denied = decision["source"] == "list" and decision["would_be"] != "allow"
        entry = self.native.describe_entry(text, *named(policy, route)) if is_denied else None
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


def named(policy: object, route: object) -> tuple[str, str | None]:
    """Return the policy and the route that are meant, or raise for what is no name."""
    policy = DEFAULT_POLICY if policy is None else policy
    if not isinstance(policy, str):
        raise argument(f"`policy` must be a str, not {shown(policy)}")
    if not (route is None or isinstance(route, str)):
        raise argument(f"`route` must be a str, not {shown(route)}")
    return policy, route


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
