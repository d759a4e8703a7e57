"""What gates of every framework share: options, what a request shows, and the answers."""

from __future__ import annotations

import enum
import inspect
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict, cast

from ip_risk import _native
from ip_risk._async_checker import AsyncRiskChecker
from ip_risk._checker import RiskChecker
from ip_risk._errors import option, shown
from ip_risk._judge import DEFAULT_POLICY
from ip_risk._options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ip_risk._judge import Judge, Told
    from ip_risk._types import (
        Action,
        FailureMode,
        FailureModes,
        ListEntry,
        Mode,
        RequestDecision,
        RisingAction,
        Rule,
        Thresholds,
    )

_FACTS = _native.vocabulary()["facts"]

FORWARDED_HEADERS = (
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "x-azure-clientip",
)
"""Headers in which proxies forward an address. Who wrote them is not known, so their values decide nothing."""

PROXY_HEADERS = ("x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "via")
"""Others that only proxies write."""


class _Pass(enum.Enum):
    PASS = enum.auto()


PASS: Final = _Pass.PASS
"""What a hook returns to hand a request on that would have been refused."""


class GuardOptions(TypedDict, total=False):
    """Options of every gate. ``mode`` to ``max_action`` are shorthand for a policy of this route's own."""

    checker: RiskChecker | AsyncRiskChecker | None
    """The checker to ask. Default: one that the process shares, made from the environment."""
    policy: str | None
    """The policy to judge by, or to extend. Default ``login``."""
    route: str | None
    """The route, for entries and rules that name routes."""
    client_ip: Callable[[Any], str | None] | None
    """Finds the client address where the framework cannot. You answer for it: it counts as known."""
    skip: Callable[[Any], Any] | None
    """Requests to let through unjudged, such as health checks; only ``True`` skips."""
    block_unverified: bool | None
    """Also blocks addresses that anybody could have written. Default ``False``."""
    on_block: Callable[[RequestDecision, Any], Any] | None
    """Instead of status 403. Returns a response, ``PASS`` to hand the request on, or ``None`` for what is usual."""
    on_challenge: Callable[[RequestDecision, Any], Any] | None
    """Instead of going on with ``require_mfa`` set."""
    on_hold: Callable[[RequestDecision, Any], Any] | None
    """Instead of status 503."""
    on_decision: Callable[[RequestDecision, Any], Any] | None
    """Sees every decision, in log-only mode too."""
    mode: Mode | None
    thresholds: Thresholds | None
    rules: Sequence[Rule] | None
    allow: Sequence[str | ListEntry] | None
    deny: Sequence[str | ListEntry] | None
    on_failure: FailureMode | FailureModes | None
    max_action: RisingAction | None


_POLICY_KEYS = ("mode", "thresholds", "rules", "allow", "deny", "on_failure", "max_action")
_HOOK_KEYS = ("client_ip", "skip", "on_block", "on_challenge", "on_hold", "on_decision")
_TEXT_KEYS = ("policy", "route")
_KNOWN_KEYS = ("checker", "block_unverified", *_TEXT_KEYS, *_HOOK_KEYS, *_POLICY_KEYS)


class Answer(NamedTuple):
    """What a request is answered with that does not reach its handler."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


def _answer(status: int, error: str) -> Answer:
    body = json.dumps({"error": error}, separators=(",", ":"))
    headers = (
        ("Cache-Control", "no-store"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Length", str(len(body))),
    )
    return Answer(status, headers, body)


ANSWERS: Final[Mapping[str, Answer]] = {
    "block": _answer(403, "Request blocked"),
    "hold": _answer(503, "Request held for review"),
}
"""Without a reason: what a client learns, an attacker learns."""


class Guard:
    """One gate in front of routes, whatever the framework."""

    def __init__(self, written: Mapping[str, Any], shared: Callable[[], Judge]) -> None:
        refuse_unknown(written, _KNOWN_KEYS)
        options = {key: value for key, value in written.items() if value is not None}
        for key in _HOOK_KEYS:
            _check(options, key, "a function", callable)
        for key in _TEXT_KEYS:
            _check(options, key, "a str", lambda value: isinstance(value, str))
        _refuse_async(options.get("client_ip"))
        _check(options, "block_unverified", "True or False", lambda value: isinstance(value, bool))
        self._options = options
        self.judge = _judge_of(options.get("checker"), shared)
        self.policy = self._policy()
        self.judge.native.require_usable(self.policy)
        # Kept, because it may not be there to be asked later, such as in a process that was forked since.
        self._skipped = self.judge.native.skipped("", self.policy, is_counted=False)
        self._routes = frozenset(self.judge.native.routes(self.policy))

    def _policy(self) -> str:
        base: str = self._options.get("policy", DEFAULT_POLICY)
        own = {key: self._options[key] for key in _POLICY_KEYS if key in self._options}
        return self.judge.add_policy(base, own) if own else base

    def hook(self, name: str) -> Callable[..., Any] | None:
        """Return code of the application, if there is any."""
        return self._options.get(name)

    def failed(self, hook: str, error: BaseException) -> None:
        """Report what code of the application raised."""
        self.judge.log.hook_failed(hook, error)

    def address(self, request: Any, usual: str | None) -> str:
        """Find the client address, which is empty when there is none."""
        find = self.hook("client_ip")
        if find is None:
            return usual or ""
        try:
            return _text(find(request))
        except Exception as error:  # noqa: BLE001 - the decision must not need it
            self.failed("client_ip", error)
            return ""

    def facts(self, *, is_peer: bool, is_forwarded: bool, trusts_everyone: bool = False) -> int:
        """Say in the core's bits what the request shows."""
        facts = _FACTS["framework"]
        if self._options.get("block_unverified"):
            facts |= _FACTS["block_unverified"]
        if self.hook("client_ip") is not None:
            return facts | _FACTS["custom"]
        if trusts_everyone:
            facts |= _FACTS["trusts_everyone"]
        if is_peer:
            facts |= _FACTS["is_peer"]
            if is_forwarded:
                facts |= _FACTS["forwarded_header"]
        return facts

    def route(self, matched: str | None) -> str | None:
        """Name the route, by its pattern and never by the raw URL."""
        route: str | None = self._options.get("route", matched)
        if route is None and self._routes:
            self.judge.log.warn_once("ERR_IP_RISK_ROUTE")
        return route

    def decided(self, told: Told, text: str, route: str | None) -> RequestDecision:
        """Write a decision down, and return it."""
        return cast("RequestDecision", self.judge.deliver(told, text, self.policy, route))

    def skipped(self, text: str) -> RequestDecision:
        """Decide about a request that the application lets through unjudged."""
        try:
            told = self.judge.native.skipped(text, self.policy, is_counted=True)
        except Exception as error:  # noqa: BLE001 - a gate answers whatever happens
            self.judge.log.not_judged(error)
            told = deepcopy(self._skipped)
        return self.decided(told, text, None)

    def fields(self, decision: RequestDecision, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return what handlers read. A gate never takes back what another one found."""
        fields: dict[str, Any] = {"ip_risk": decision}
        if decision["mode"] != "log-only":
            action = decision["action"]
            fields["require_mfa"] = bool(before.get("require_mfa")) or action == "challenge"
            fields["hold_for_review"] = bool(before.get("hold_for_review")) or action == "hold"
        return fields


def hook_for(decision: RequestDecision) -> tuple[Action, str | None]:
    """Return what is to be done, and the hook that may do something else."""
    action = decision["action"]
    if decision["mode"] == "log-only" or action not in ("challenge", "block", "hold"):
        return "allow", None
    return action, f"on_{action}"


def _check(options: Mapping[str, Any], key: str, expected: str, holds: Callable[[Any], bool]) -> None:
    if key in options and not holds(options[key]):
        raise option(f"`{key}` must be {expected}, not {shown(options[key])}")


def _refuse_async(find: Any) -> None:
    if inspect.iscoroutinefunction(find) or inspect.iscoroutinefunction(getattr(find, "__call__", None)):  # noqa: B004
        raise option("`client_ip` must return a str, and not be asynchronous; look up beforehand what it needs")


def _text(found: object) -> str:
    if inspect.isawaitable(found):
        if inspect.iscoroutine(found):
            found.close()  # so that Python does not complain that nobody awaited it
        raise TypeError("`client_ip` must return a str, not something to wait for")
    if found is not None and not isinstance(found, str):
        raise TypeError(f"`client_ip` must return a str, not {shown(found)}")
    return found or ""


def _judge_of(checker: object, shared: Callable[[], Judge]) -> Judge:
    if checker is None:
        return shared()
    if isinstance(checker, (RiskChecker, AsyncRiskChecker)):
        return checker._judge  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    raise option(f"`checker` must be a RiskChecker or an AsyncRiskChecker, not {shown(checker)}")


def has_forwarded(names: Iterable[str]) -> bool:
    """Whether a request with these headers, in lower case, says that it was forwarded."""
    return not _FORWARDED.isdisjoint(names)


_FORWARDED = frozenset((*FORWARDED_HEADERS, *PROXY_HEADERS))
