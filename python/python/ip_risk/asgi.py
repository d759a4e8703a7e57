"""A gate for ASGI applications, such as those of FastAPI and Starlette."""

from __future__ import annotations

import functools
import inspect
import ipaddress
import os
import sys
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from copy import copy
from typing import TYPE_CHECKING, Any

from ip_risk._async_checker import AsyncRiskChecker
from ip_risk._errors import option, shown
from ip_risk._guard import ANSWERS, PASS, Answer, Guard, GuardOptions, has_forwarded, hook_for

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ip_risk._judge import Judge
    from ip_risk._types import RequestDecision

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008
_EVERYONE = ("*", "0.0.0.0/0", "::/0")


@functools.cache
def _shared() -> Judge:
    return AsyncRiskChecker()._judge  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class RiskMiddleware:
    """Judges the client address of requests before the application sees them.

    Sets ``ip_risk``, ``require_mfa`` and ``hold_for_review`` on ``request.state``. A block is answered with 403 and a
    hold with 503, both without a reason; a websocket is refused. The address is ``scope["client"]``, which uvicorn sets
    behind the proxies that ``--forwarded-allow-ips`` names. Hooks are given the scope; what they return is an ASGI
    application, such as a response of Starlette.

    ``paths`` are those to be judged, exactly as Starlette and FastAPI route them; without it all are. Leave it out
    where another framework routes, which may take several spellings for one path, as Litestar does.

    Frameworks make their middleware with the first request; ``RiskMiddleware.prepared(...)`` checks options at once.
    """

    def __init__(
        self, app: Application, *, paths: Collection[str] | None = None, **options: Unpack[GuardOptions]
    ) -> None:
        self._app = app
        self._paths = None if paths is None else _read_paths(paths)
        self._guard = Guard(options, _shared)
        self._trusts_everyone = _server_trusts_everyone()

    @classmethod
    def prepared(
        cls, *, paths: Collection[str] | None = None, **options: Unpack[GuardOptions]
    ) -> Callable[[Application], RiskMiddleware]:
        """Check the options and make the checker now, for ``app.add_middleware(RiskMiddleware.prepared(...))``.

        A mistake then stops the deploy, and not each request.
        """
        gate = cls(_nobody, paths=paths, **options)

        def middleware(app: Application) -> RiskMiddleware:
            made = copy(gate)
            made._app = app  # noqa: SLF001 - it is of this class
            return made

        return middleware

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        is_request = scope["type"] in ("http", "websocket")
        path = _path(scope, self._app, self._paths) if is_request and self._paths else None
        if is_request and (self._paths is None or path is not None):
            await self._judge(path, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _judge(self, path: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        decision = await self._decide(path, scope)
        action, hook = hook_for(decision)
        state: dict[str, Any] = scope.setdefault("state", {})
        state.update(self._guard.fields(decision, state))
        await self._call("on_decision", decision, scope)
        answer = None if hook is None else await self._call(hook, decision, scope)
        if hook is not None and answer is not None and answer is not PASS:
            has_answered = await self._answer(hook, answer, scope, receive, send)
        else:
            has_answered = False
        if not has_answered and action in ANSWERS and answer is not PASS:
            await _refuse(ANSWERS[action], scope, send)
        elif not has_answered:
            await self._app(scope, receive, send)

    async def _answer(self, hook: str, answer: Any, scope: Scope, receive: Receive, send: Send) -> bool:
        """Let what a hook returned answer, and say whether it did. What fails before that leaves the usual answer."""
        has_answered = False

        async def note(message: MutableMapping[str, Any]) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        try:
            await answer(scope, receive, note)
        except Exception as error:
            if has_answered:
                raise
            self._guard.failed(hook, error)
        return has_answered

    async def _decide(self, path: str | None, scope: Scope) -> RequestDecision:
        guard = self._guard
        client = scope.get("client")
        text = guard.address(scope, client[0] if client else None)
        if await self._call("skip", scope) is True:
            return guard.skipped(text)
        # What a user wrote, and not what the client did: it is the same text.
        route = guard.route(path)
        told = await guard.judge.check_later(text, guard.policy, route, self._facts(scope))
        return guard.decided(told, text, route)

    def _facts(self, scope: Scope) -> int:
        headers: list[tuple[bytes, bytes]] = list(scope.get("headers", []))
        return self._guard.facts(
            # A private address that a header repeats may as well be that of a proxy which nobody told the server about.
            is_peer=not (_is_replaced(scope.get("client"), headers) and _is_public(scope["client"][0])),
            is_forwarded=has_forwarded(name.decode("latin-1").lower() for name, _ in headers),
            trusts_everyone=self._trusts_everyone,
        )

    async def _call(self, name: str, *arguments: Any) -> Any:
        """Call code of the application. What it raises is reported; the decision stands."""
        hook = self._guard.hook(name)
        if hook is None:
            return None
        try:
            result = hook(*arguments)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:  # noqa: BLE001 - see above
            self._guard.failed(name, error)
            return None


async def _nobody(*_: Any) -> None:
    """Stand in for the application, which is not there yet."""


def _path(scope: Scope, app: Application, paths: Collection[str]) -> str | None:
    """Return the one of ``paths`` that a request is for, if any: as it came, or without what it is mounted at.

    An application that was told what it is mounted at puts that into the scope itself, after the gate. Starlette and
    FastAPI match paths with ``$``, which holds before a newline at the end too.
    """
    whole: str = scope["path"].removesuffix("\n")
    roots = (scope.get("root_path"), getattr(app, "root_path", None))
    routed = [whole[len(root) :] for root in roots if root and whole.startswith(f"{root}/")]
    return next((path for path in (*routed, whole) if path in paths), None)


def _read_paths(paths: Collection[Any]) -> frozenset[str]:
    """Return the paths, or raise for what could match no request."""
    if isinstance(paths, str):
        raise option("`paths` must be a collection of paths, not one; write `[path]`")
    read = frozenset(paths)
    if not read:
        raise option("`paths` is empty, so that nothing would be judged; leave it out to judge everything")
    for path in read:
        if not isinstance(path, str) or not path.startswith("/") or "{" in path:
            raise option(f"`paths` must hold paths as requests have them, such as `/login`, not {shown(path)}")
    return read


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _is_replaced(client: Any, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the server took the client from a forwarded header. It says so only by what it put there."""
    if not client:
        return False
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    hosts = [host.strip() for value in values for host in value.split(",")]
    return any(host == client[0] or host.startswith((f"{client[0]}:", f"[{client[0]}]")) for host in hosts)


def _server_trusts_everyone() -> bool:
    """Whether uvicorn was told to take forwarded addresses from anybody, as far as one can see from inside."""
    name = "--forwarded-allow-ips"
    commands = [" ".join(sys.argv), os.environ.get("GUNICORN_CMD_ARGS", "")]
    arguments = " ".join(commands).replace(f"{name} ", f"{name}=").split()
    values = [argument.removeprefix(f"{name}=") for argument in arguments if argument.startswith(f"{name}=")]
    if not values:
        variables = ("FORWARDED_ALLOW_IPS", "UVICORN_FORWARDED_ALLOW_IPS")
        values = [os.environ.get(variable, "") for variable in variables]
    return any(part.strip(" \"'") in _EVERYONE for value in values for part in value.split(","))


async def _refuse(answer: Answer, scope: Scope, send: Send) -> None:
    status, headers, body = answer
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})
        return
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body.encode()})
