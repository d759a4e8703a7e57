"""Gates for Flask."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from flask import Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from ip_risk._checker import RiskChecker
from ip_risk._errors import argument, shown
from ip_risk._guard import ANSWERS, FORWARDED_HEADERS, PASS, PROXY_HEADERS, Guard, GuardOptions, hook_for

if TYPE_CHECKING:
    from flask import Blueprint, Flask
    from typing_extensions import Unpack

    from ip_risk._judge import Judge
    from ip_risk._types import RequestDecision

_Parameters = ParamSpec("_Parameters")
_View = TypeVar("_View", bound=Callable[..., Any])


def _keys(names: Iterable[str]) -> tuple[str, ...]:
    return tuple("HTTP_" + name.upper().replace("-", "_") for name in names)


_ADDRESS_KEYS = _keys(FORWARDED_HEADERS)
_PROXY_KEYS = _keys(PROXY_HEADERS)
_FIELDS = ("require_mfa", "hold_for_review")


@functools.cache
def _shared() -> Judge:
    return RiskChecker()._judge  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class RiskGate:
    """Judges the client address of every request of an application or a blueprint before its view runs.

    Sets ``g.ip_risk``, ``g.require_mfa`` and ``g.hold_for_review``. A block is answered with 403 and a hold with 503,
    both without a reason. The address is ``request.remote_addr``: behind a proxy, wrap the application in Werkzeug's
    ``ProxyFix``.

    Policies compile, and the shared checker is made, when this is called: a mistake stops the deploy, never a request.
    """

    def __init__(self, app: Flask | Blueprint | None = None, **options: Unpack[GuardOptions]) -> None:
        self._guard = Guard(options, _shared)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask | Blueprint) -> None:
        """Stand in front of every view of ``app``."""
        app.before_request(self.judge)

    def judge(self) -> Any:
        """Judge the request that is handled now, and return a response in place of its view's, or ``None``."""
        decision = self._decide()
        action, hook = hook_for(decision)
        for name, value in self._guard.fields(decision, {name: g.get(name) for name in _FIELDS}).items():
            setattr(g, name, value)
        self._call("on_decision", decision, request)
        if hook is None:
            return None
        answer = self._call(hook, decision, request, is_answer=True)
        if answer is PASS:
            return None
        if answer is None and action in ANSWERS:
            status, headers, body = ANSWERS[action]
            return Response(body, status, list(headers))
        return answer

    def _decide(self) -> RequestDecision:
        guard = self._guard
        text = guard.address(request, request.remote_addr)
        if self._call("skip", request) is True:
            return guard.skipped(text)
        rule = request.url_rule
        # Where nothing matched, no policy names it either.
        route = guard.route(rule.rule if rule is not None else "")
        told = guard.judge.check(text, guard.policy, route, self._facts())
        return guard.decided(told, text, route)

    def _facts(self) -> int:
        environ = request.environ
        # Where `ProxyFix` keeps what it replaced.
        original = environ.get("werkzeug.proxy_fix.orig", environ)
        # A proxy that is trusted, and forwards no address, speaks for itself.
        keys = _ADDRESS_KEYS if original is not environ else (*_ADDRESS_KEYS, *_PROXY_KEYS)
        return self._guard.facts(
            is_peer=original.get("REMOTE_ADDR") == environ.get("REMOTE_ADDR"),
            is_forwarded=any(key in environ for key in keys),
        )

    def _call(self, name: str, *arguments: Any, is_answer: bool = False) -> Any:
        """Call code of the application. What it raises is reported, and the decision stands.

        What answers is made a response here, so that one that cannot be made leaves the usual answer standing, and
        ``abort()`` is an answer.
        """
        hook = self._guard.hook(name)
        if hook is None:
            return None
        try:
            result = _result(current_app.ensure_sync(hook), arguments, is_answer=is_answer)
            return result if not is_answer or result is None or result is PASS else current_app.make_response(result)
        except Exception as error:  # noqa: BLE001 - see above
            self._guard.failed(name, error)
            return None


def _result(hook: Callable[..., Any], arguments: Sequence[Any], *, is_answer: bool) -> Any:
    try:
        return hook(*arguments)
    except HTTPException as answer:
        if is_answer:
            return answer.get_response()
        raise


@overload
def check_ip_risk(view: _View, /) -> _View: ...
@overload
def check_ip_risk(**options: Unpack[GuardOptions]) -> Callable[[_View], _View]: ...
def check_ip_risk(view: Any = None, /, **options: Any) -> Any:
    """Judge the client address before a view runs, as ``@check_ip_risk`` or ``@check_ip_risk(policy="payment")``.

    Stands below ``@app.route``. What it does is what ``RiskGate`` does.
    """
    if not (view is None or callable(view)):
        raise argument(f"`check_ip_risk` takes options by name, as `policy='payment'`, and not {shown(view)} alone")
    gate = RiskGate(**cast("GuardOptions", options))

    def decorate(view: Callable[_Parameters, Any]) -> Callable[_Parameters, Any]:
        @functools.wraps(view)
        def judged(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> Any:
            answer = gate.judge()
            return current_app.ensure_sync(view)(*arguments, **named) if answer is None else answer

        return judged

    return decorate if view is None else decorate(view)
