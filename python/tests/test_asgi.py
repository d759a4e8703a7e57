"""The gate for ASGI."""

import asyncio
import logging

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import ip_risk._log
from ip_risk import PASS, OptionError, RiskMiddleware
from support.servers import serving

BAD = "2.56.188.34"
VPN = "37.120.202.92"
CLEAN = "8.8.8.8"


async def show(request):
    state = request.state
    names = ("ip_risk", "require_mfa", "hold_for_review")
    return JSONResponse({name: getattr(state, name, None) for name in names})


@pytest.fixture
def gate(make_async):
    """Makes an application behind the gate, and what asks it from an address."""
    made = []

    def make_gate(app=None, *, logger=False, **options):
        checker = make_async(logger=logger)
        made.append(checker)
        app = app or Starlette(routes=[Route("/login", show, methods=["GET", "POST"])])
        guarded = RiskMiddleware(app, checker=checker, **options)

        def ask(ip, path="/login", **headers):
            return TestClient(guarded, client=(ip, 50_000)).get(path, headers=headers)

        return ask

    yield make_gate
    for checker in made:
        asyncio.run(checker.close())


def test_actions_are_answered_as_in_flask(gate, api):
    ask = gate()
    assert ask(CLEAN).json()["require_mfa"] is False
    assert ask(CLEAN).json()["ip_risk"]["provenance"] == "socket"
    assert ask(VPN).json()["require_mfa"] is True
    blocked = ask(BAD)
    assert (blocked.status_code, blocked.text) == (403, '{"error":"Request blocked"}')
    assert blocked.headers["cache-control"] == "no-store"
    assert blocked.headers["content-type"] == "application/json; charset=utf-8"
    api.fault(status=500)
    held = gate(policy="payment")("9.9.9.9")
    assert (held.status_code, held.text) == (503, '{"error":"Request held for review"}')


def test_log_only_sets_only_the_decision(gate):
    assert gate(mode="log-only")(BAD).json()["require_mfa"] is None


def test_only_the_paths_that_are_named_are_judged(gate):
    inner = Starlette(routes=[Route("/login", show), Route("/free", show)])
    ask = gate(inner, paths=["/login"])
    assert ask(BAD).status_code == 403
    assert ask(BAD, "/login%0A").status_code == 403  # which Starlette routes to the same handler
    assert ask(BAD, "/free").json()["ip_risk"] is None
    mounted = Starlette(routes=[Mount("/shop", RiskMiddleware(inner, checker=None, paths=["/login"], deny=[BAD]))])
    assert TestClient(mounted, client=(BAD, 1)).get("/shop/login").status_code == 403
    assert TestClient(mounted, client=(BAD, 1)).get("/shop/free").status_code == 200
    with pytest.raises(OptionError, match="`paths` must be a collection"):
        gate(paths="/login")
    for paths in ([], ["login"], ["/login/{tenant}"], [1]):
        with pytest.raises(OptionError, match="`paths`"):
            gate(paths=paths)


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
def test_a_path_is_judged_as_it_came_and_as_it_is_routed(gate, make_async):
    def application(root_path):
        app = FastAPI(root_path=root_path)
        app.get("/login")(lambda: "in")
        app.get("/free")(lambda: "in")
        return app

    for paths in (["/login"], ["/api/login"]):
        ask = gate(application("/api"), paths=paths)
        assert (ask(BAD, "/api/login").status_code, ask(BAD, "/api/free").status_code) == (403, 200)
    # What the server is told.
    guarded = RiskMiddleware(application(""), checker=make_async(), paths=["/api/login"])
    client = TestClient(guarded, client=(BAD, 1), root_path="/api")
    assert (client.get("/api/login").status_code, client.get("/api/free").status_code) == (403, 200)


def test_a_path_that_is_named_is_the_route_of_entries(gate):
    deny = [{"cidr": CLEAN, "routes": ["/login"]}]
    assert gate(deny=deny, paths=["/login"])(CLEAN).status_code == 403
    assert gate(deny=deny, route="/login")(CLEAN).status_code == 403
    assert gate(deny=deny)(CLEAN).status_code == 200


def test_hooks_answer_in_place_of_the_gate(gate):
    async def on_block(decision, scope):
        return PlainTextResponse(f"{decision['action']} {scope['path']}", 418)

    assert gate(on_block=on_block)(BAD).text == "block /login"
    assert gate(on_block=lambda *_: PASS)(BAD).json()["ip_risk"]["action"] == "block"
    assert gate(on_block=lambda *_: None)(BAD).status_code == 403
    assert gate(on_block=lambda *_: 1 / 0)(BAD).status_code == 403
    for nothing in (False, 0, "", {}, True):
        assert gate(on_block=lambda *_, nothing=nothing: nothing)(BAD).status_code == 403
    assert gate(on_challenge=lambda *_: PlainTextResponse("step"))(VPN).text == "step"


class EmptyResponse(PlainTextResponse):
    def __len__(self):
        return 0


class Unwritable:
    def __repr__(self):
        raise ValueError("it cannot be written")


def test_what_cannot_answer_leaves_the_usual_answer(gate):
    assert gate(on_block=lambda *_: EmptyResponse("empty", 418))(BAD).status_code == 418
    for nonsense in (Unwritable(), PlainTextResponse, lambda: None, lambda *_: None):
        assert gate(on_block=lambda *_, nonsense=nonsense: nonsense)(BAD).status_code == 403
        assert gate(on_challenge=lambda *_, nonsense=nonsense: nonsense)(VPN).json()["require_mfa"] is True

    async def breaks_off(_, __, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("gone")

    with pytest.raises(LookupError):
        gate(on_block=lambda *_: breaks_off)(BAD)


def test_an_address_is_not_found_asynchronously(gate):
    async def find(_):
        return CLEAN

    with pytest.raises(OptionError, match="`client_ip` must return a str, and not be asynchronous"):
        gate(client_ip=find)
    found = gate(client_ip=lambda scope: find(scope))(CLEAN)  # noqa: PLW0108
    assert found.json()["ip_risk"]["failure"] == "ERR_IP_RISK_INVALID_ADDRESS"


def test_mistakes_stop_the_deploy_where_the_gate_is_prepared(make_async):
    checker = make_async()
    for options in ({"polic": "login"}, {"thresholds": {"block": 101}}, {"paths": "/login"}, {"on_block": 1}):
        with pytest.raises(OptionError):
            RiskMiddleware.prepared(checker=checker, **options)
    app = FastAPI()
    app.add_middleware(RiskMiddleware.prepared(checker=checker, paths=["/login"], client_ip=lambda _: BAD))
    app.get("/login")(lambda: "in")
    app.get("/free")(lambda: "in")
    client = TestClient(app)
    assert (client.get("/login").status_code, client.get("/free").json()) == (403, "in")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_gate_works_on_every_loop(make_async, backend):
    guarded = RiskMiddleware(Starlette(routes=[Route("/login", show)]), checker=make_async())
    answer = TestClient(guarded, client=(CLEAN, 50_000), backend=backend).get("/login").json()
    assert (answer["ip_risk"]["score"], answer["ip_risk"]["failed_open"]) == (5, False)


def test_a_loop_that_is_not_known_is_told_of_and_answered_by_the_failure_mode(make_async, caplog, monkeypatch):
    monkeypatch.setattr(ip_risk._log, "_warned", set())
    sent = []

    async def send(message):
        sent.append(message)

    async def reached(*_):
        sent.append("reached")

    checker = make_async(logger=None)
    for policy, ip in (("login", "9.9.9.21"), ("payment", "9.9.9.22")):
        scope = {"type": "http", "path": "/", "headers": [], "client": (ip, 1)}
        with pytest.raises(StopIteration):
            RiskMiddleware(reached, checker=checker, policy=policy)(scope, None, send).send(None)
    assert sent[0] == "reached"
    assert sent[1]["status"] == 503
    lines = [line for line in caplog.messages if "requests are not judged: no event loop of asyncio or trio" in line]
    assert len(lines) == 1


def test_a_request_may_be_skipped(gate):
    async def skip(scope):
        return scope["path"] == "/login"

    assert gate(skip=skip)(BAD).json()["ip_risk"]["reasons"] == ["skipped"]


def test_the_application_may_find_the_address_itself(gate):
    found = gate(client_ip=lambda scope: dict(scope["headers"])[b"x-own"].decode())("10.0.0.1", **{"X-Own": CLEAN})
    assert found.json()["ip_risk"]["provenance"] == "custom"


def test_a_server_that_replaced_the_client_is_a_trusted_proxy(gate):
    ask = gate()
    assert ask(CLEAN, **{"X-Forwarded-For": f"9.9.9.9, {CLEAN}"}).json()["ip_risk"]["provenance"] == "trusted-proxy"
    assert ask(CLEAN, **{"X-Forwarded-For": f"{CLEAN}:443"}).json()["ip_risk"]["provenance"] == "trusted-proxy"
    assert ask(CLEAN, **{"X-Forwarded-For": "9.9.9.9"}).json()["ip_risk"]["provenance"] == "socket"


def test_a_forwarded_header_that_nobody_trusts_is_warned_of(gate, caplog, monkeypatch):
    monkeypatch.setattr(ip_risk._log, "_warned", set())
    caplog.set_level(logging.INFO, "ip_risk")
    ask = gate(logger=None)
    # Also where the client writes the address of the proxy there.
    for forwarded in (CLEAN, "10.0.0.5"):
        assert ask("10.0.0.5", **{"X-Forwarded-For": forwarded}).json()["ip_risk"]["provenance"] == "unverified"
    assert "code=ERR_IP_RISK_UNTRUSTED_FORWARDED" in caplog.text


@pytest.mark.parametrize("trusted", ["*", "127.0.0.1,0.0.0.0/0"])
def test_a_server_that_trusts_everybody_is_warned_of(gate, caplog, monkeypatch, trusted):
    monkeypatch.setattr(ip_risk._log, "_warned", set())
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    decision = gate(logger=None)(BAD).json()
    assert (decision["ip_risk"]["provenance"], decision["require_mfa"]) == ("unverified", True)
    assert "code=ERR_IP_RISK_TRUST_ALL" in caplog.text


def test_fastapi_under_uvicorn(api):
    with serving("uvicorn", "fastapi_app:app", env={"ENDPOINT": api.url}) as client:
        login = lambda ip: client.post("/login", headers={"X-Forwarded-For": ip})  # noqa: E731
        assert login(BAD).status_code == 403
        assert login(VPN).json()["mfa"] is True
        clean = login(CLEAN).json()
        assert (clean["mfa"], clean["risk"]["ip"], clean["risk"]["provenance"]) == (False, CLEAN, "trusted-proxy")
        assert client.get("/free").json() == {"judged": False}
        assert client.post("/login").json()["risk"]["reasons"] == ["special_use"]
        upgrade = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "X-Forwarded-For": BAD,
        }  # fmt: skip
        assert client.get("/socket", headers=upgrade).status_code == 403


def test_uvicorn_that_trusts_everybody_challenges(api):
    words = ["fastapi_app:app", "--forwarded-allow-ips", "*"]
    with serving("uvicorn", *words, env={"ENDPOINT": api.url}) as client:
        answer = client.post("/login", headers={"X-Forwarded-For": BAD}).json()
        assert (answer["mfa"], answer["risk"]["provenance"]) == (True, "unverified")
