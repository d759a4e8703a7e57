"""Gates for Flask."""

import functools
import logging
import os
import shutil
import sys

import httpx
import pytest
from flask import Blueprint, Flask, abort, g, jsonify
from werkzeug.middleware.proxy_fix import ProxyFix

import ip_risk._log
from ip_risk import PASS, ArgumentError, OptionError, RiskChecker, RiskGate, UnknownPolicyError, check_ip_risk
from support.servers import free_port, running, serving

BAD = "2.56.188.34"
VPN = "37.120.202.92"
CLEAN = "8.8.8.8"
UWSGI = os.environ.get("UWSGI") or shutil.which("uwsgi")


def application(**options):
    """An application behind a proxy, with one view that says what the gate set."""
    app = Flask(__name__)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)

    @app.route("/login", methods=["GET", "POST"])
    @check_ip_risk(**options)
    def login():
        return jsonify({name: g.get(name) for name in ("ip_risk", "require_mfa", "hold_for_review")})

    return app


def post(app, ip, path="/login", **headers):
    forwarded = {} if ip is None else {"X-Forwarded-For": ip}
    return app.test_client().post(path, headers={**forwarded, **headers})


@pytest.fixture
def ask(make):
    return lambda ip, **options: post(application(checker=make(), **options), ip)


def test_a_clean_address_reaches_the_view(ask):
    answer = ask(CLEAN)
    assert answer.status_code == 200
    assert (answer.json["require_mfa"], answer.json["hold_for_review"]) == (False, False)
    assert answer.json["ip_risk"]["ip"] == CLEAN
    assert answer.json["ip_risk"]["provenance"] == "trusted-proxy"


def test_a_challenge_reaches_the_view(ask):
    answer = ask(VPN)
    assert answer.status_code == 200
    assert answer.json["require_mfa"] is True


def test_a_block_is_answered_without_a_reason(ask):
    answer = ask(BAD)
    assert answer.status_code == 403
    assert answer.get_data(as_text=True) == '{"error":"Request blocked"}'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_hold_is_answered_with_503(ask, api):
    api.fault(status=500)
    answer = ask(CLEAN, policy="payment")
    assert answer.status_code == 503
    assert answer.get_data(as_text=True) == '{"error":"Request held for review"}'
    assert answer.headers["Cache-Control"] == "no-store"


def test_log_only_passes_everybody_and_sets_only_the_decision(ask):
    answer = ask(BAD, mode="log-only")
    assert answer.status_code == 200
    assert (answer.json["require_mfa"], answer.json["hold_for_review"]) == (None, None)
    assert (answer.json["ip_risk"]["action"], answer.json["ip_risk"]["would_be"]) == ("allow", "block")


def test_the_decorator_needs_no_options(monkeypatch):
    monkeypatch.setenv("IPGEO_API_KEY", "key")
    app = Flask(__name__)

    @app.get("/login")
    @check_ip_risk
    def login():
        return g.ip_risk["policy"]

    assert login.__name__ == "login"
    assert app.test_client().get("/login").text == "login"


def test_an_asynchronous_view_and_hook_work(make):
    app = Flask(__name__)
    seen = []

    async def on_decision(decision, _):
        seen.append(decision["score"])

    @app.get("/")
    @check_ip_risk(checker=make(), client_ip=lambda _: CLEAN, on_decision=on_decision)
    async def view():
        return str(g.ip_risk["score"])

    assert app.test_client().get("/").text == "5"
    assert seen == [5]


def test_a_policy_can_be_written_at_the_route(ask):
    assert ask(CLEAN, deny=["8.8.8.0/24"]).status_code == 403
    assert ask(BAD, max_action="challenge").json["require_mfa"] is True
    assert ask(BAD, policy="payment", allow=[BAD]).json["ip_risk"]["reasons"] == ["allow_list"]


def test_a_second_gate_takes_nothing_back(make):
    checker = make()
    app = Flask(__name__)
    RiskGate(app, checker=checker, client_ip=lambda _: VPN)

    @app.get("/")
    @check_ip_risk(checker=checker, client_ip=lambda _: CLEAN)
    def view():
        return jsonify(g.require_mfa)

    assert app.test_client().get("/").json is True


def test_a_gate_stands_in_front_of_a_blueprint(make):
    app = Flask(__name__)
    private, public = Blueprint("private", __name__), Blueprint("public", __name__)
    RiskGate(private, checker=make(), client_ip=lambda _: BAD)
    private.get("/private")(lambda: "in")
    public.get("/public")(lambda: "in")
    app.register_blueprint(private)
    app.register_blueprint(public)
    client = app.test_client()
    assert client.get("/private").status_code == 403
    assert client.get("/public").text == "in"


def test_an_entry_for_a_route_holds_where_that_route_matched(make):
    checker = make(policies={"login": {"deny": [{"cidr": CLEAN, "routes": ["/users/<int:user>"]}]}})
    app = Flask(__name__)
    RiskGate(app, checker=checker, client_ip=lambda _: CLEAN)
    app.get("/users/<int:user>", endpoint="user")(lambda user: str(user))  # noqa: PLW0108
    app.get("/other", endpoint="other")(lambda: "other")
    client = app.test_client()
    assert client.get("/users/7").status_code == 403
    assert client.get("/other").status_code == 200


@pytest.mark.parametrize(("ip", "action"), [(BAD, "block"), (VPN, "challenge")])
def test_a_hook_answers_in_place_of_the_gate(ask, ip, action):
    seen = []

    def hook(decision, request):
        seen.append((decision["action"], request.path))
        return "other", 418

    assert ask(ip, **{f"on_{action}": hook}).status_code == 418
    assert seen == [(action, "/login")]


def test_a_hook_may_abort(ask):
    assert ask(BAD, on_block=lambda *_: abort(429)).status_code == 429


def test_a_hook_that_answers_nothing_or_fails_leaves_the_usual_answer(ask):
    assert ask(BAD, on_block=lambda *_: None).status_code == 403
    assert ask(BAD, on_block=lambda *_: 1 / 0).status_code == 403
    assert ask(VPN, on_challenge=lambda *_: None).json["require_mfa"] is True
    assert ask(CLEAN, on_decision=lambda *_: 1 / 0).status_code == 200
    assert ask(CLEAN, skip=lambda _: 1 / 0).json["ip_risk"]["reasons"] == ["below_thresholds"]


class Hostile:
    """An object as no hook should give it: whatever is asked of it fails."""

    def fail(self, *_):
        raise ValueError("it cannot be asked")

    __str__ = __repr__ = __eq__ = __bool__ = __len__ = fail
    __hash__ = None


class HostileError(Exception):
    __str__ = __repr__ = Hostile.fail


def fail(*_):
    raise HostileError


@pytest.mark.parametrize("nonsense", [True, 0, 7, object(), Hostile(), (), (1, 2, 3, 4), [Hostile()], {1, 2}])
def test_an_answer_that_is_none_leaves_the_usual_one(ask, nonsense):
    assert ask(BAD, on_block=lambda *_: nonsense).status_code == 403
    assert ask(VPN, on_challenge=lambda *_: nonsense).json["require_mfa"] is True
    assert ask(CLEAN, on_decision=lambda *_: nonsense, skip=lambda _: nonsense if nonsense is not True else 1).json


def test_what_a_hook_raises_need_not_be_writable(make, lines):
    checker = make(logger=None)
    for hooks in ({"on_block": fail}, {"on_decision": fail}, {"skip": fail}):
        assert post(application(checker=checker, **hooks), BAD).status_code == 403
    assert post(application(checker=checker, client_ip=fail), BAD).json["require_mfa"] is True
    assert lines.text.count('error="HostileError: a value that cannot be written"') == 4


def test_an_address_is_not_found_asynchronously(ask, make, lines):
    async def find(_):
        return CLEAN

    class Finder:
        async def __call__(self, _):
            return CLEAN

    for asynchronous in (find, functools.partial(find), Finder()):
        with pytest.raises(OptionError, match="`client_ip` must return a str, and not be asynchronous"):
            ask(None, client_ip=asynchronous)
    answer = post(application(checker=make(logger=None), client_ip=lambda request: find(request)), None)  # noqa: PLW0108
    assert answer.json["ip_risk"]["failure"] == "ERR_IP_RISK_INVALID_ADDRESS"
    assert "`client_ip` must return a str, not something to wait for" in lines.text


def test_a_request_that_matches_nothing_is_no_mistake_of_the_set_up(make, lines):
    checker = make(logger=None, policies={"login": {"deny": [{"cidr": BAD, "routes": ["/login"]}]}})
    app = Flask(__name__)
    RiskGate(app, checker=checker, client_ip=lambda _: CLEAN)
    assert app.test_client().get("/nothing").status_code == 404
    assert "ERR_IP_RISK_ROUTE" not in lines.text


def test_a_hook_may_hand_a_request_on(ask, api):
    assert ask(BAD, on_block=lambda *_: PASS).json["ip_risk"]["action"] == "block"
    api.fault(status=500)
    answer = ask(CLEAN, policy="payment", on_hold=lambda *_: PASS)
    assert answer.json["hold_for_review"] is True


def test_what_watches_changes_nothing(ask):
    def watch(decision, _):
        decision.update(action="allow", mode="log-only")

    assert ask(BAD, on_decision=watch).status_code == 403


def test_a_request_may_be_skipped(ask):
    skipped = ask(BAD, skip=lambda request: request.path == "/login").json
    assert (skipped["ip_risk"]["reasons"], skipped["ip_risk"]["action"]) == (["skipped"], "allow")
    assert ask(BAD, skip=lambda _: 1).status_code == 403


def test_the_application_may_find_the_address_itself(ask):
    found = ask(None, client_ip=lambda request: request.headers.get("X-Missing", CLEAN)).json["ip_risk"]
    assert (found["ip"], found["provenance"]) == (CLEAN, "custom")
    for broken in (lambda _: 1 / 0, lambda _: 7, lambda _: None):
        answer = ask(None, client_ip=broken).json
        assert answer["ip_risk"]["failure"] == "ERR_IP_RISK_INVALID_ADDRESS"
        assert answer["require_mfa"] is True


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(ip_risk._log, "_warned", set())
    caplog.set_level(logging.INFO, "ip_risk")
    return caplog


def plain(checker, peer, **headers):
    """What a gate says that is not told of any proxy."""
    app = Flask(__name__)
    app.get("/")(check_ip_risk(checker=checker)(lambda: jsonify(g.ip_risk)))
    return app.test_client().get("/", headers=headers, environ_base={"REMOTE_ADDR": peer})


def test_the_peer_of_the_socket_is_known(make):
    assert plain(make(), CLEAN).json["provenance"] == "socket"
    own = plain(make(), "127.0.0.1").json
    assert (own["action"], own["reasons"], own["source"]) == ("allow", ["special_use"], "special")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP"])
def test_a_forwarded_header_that_nobody_trusts_is_warned_of_once(make, lines, header):
    checker = make(logger=None)
    for _ in range(2):
        decision = plain(checker, "10.0.0.5", **{header: CLEAN}).json
        assert (decision["provenance"], decision["action"]) == ("unverified", "allow")
    warnings = [line for line in lines.messages if "code=ERR_IP_RISK_UNTRUSTED_FORWARDED" in line]
    assert len(warnings) == 1
    assert "ProxyFix(app.wsgi_app, x_for=1)" in warnings[0]


def test_a_header_behind_a_public_peer_says_nothing(make, lines):
    assert plain(make(logger=None), CLEAN, **{"X-Forwarded-For": "10.0.0.1"}).json["provenance"] == "socket"
    assert not lines.messages


def test_behind_proxy_fix_a_request_without_the_header_is_that_of_the_peer(make):
    answer = application(checker=make()).test_client().get("/login", environ_base={"REMOTE_ADDR": CLEAN})
    assert answer.json["ip_risk"]["provenance"] == "socket"


def test_mistakes_stop_the_deploy(make):
    for options, kind in (
        ({"polic": "login"}, OptionError),
        ({"policy": "other"}, UnknownPolicyError),
        ({"policy": 1}, OptionError),
        ({"on_block": "no"}, OptionError),
        ({"checker": "x"}, OptionError),
        ({"block_unverified": 1}, OptionError),
        ({"thresholds": {"block": 101}}, OptionError),
    ):
        with pytest.raises(kind):
            check_ip_risk(**{"checker": make(), **options})
    with pytest.raises(OptionError, match=r"the policy `payment` closes.*`feeds=\{'primary': True\}`"):
        check_ip_risk(checker=RiskChecker(logger=False), policy="payment")


def test_options_are_given_by_name():
    with pytest.raises(ArgumentError, match="takes options by name, as `policy='payment'`, and not 'login' alone"):
        check_ip_risk("login")


def test_a_closed_checker_answers_with_the_failure_mode(make):
    checker = make()
    app, closing = application(checker=checker), application(checker=checker, policy="payment")
    checker.close()
    answer = post(app, BAD)
    assert (answer.status_code, answer.json["ip_risk"]["failure"]) == (200, "ERR_IP_RISK_CLOSED")
    assert post(closing, BAD).status_code == 503


def test_gunicorn_with_two_workers_that_were_forked_after_import(api):
    words = ["-w", "2", "--preload", "flask_app:app"]
    with serving("gunicorn", *words, env={"ENDPOINT": api.url}) as client:
        login = lambda ip: client.post("/api/login", headers={"X-Forwarded-For": ip})  # noqa: E731
        assert login(BAD).status_code == 403
        assert login(VPN).json() == {"step": "mfa", "score": 50, "ip": VPN}
        welcome = login(CLEAN).json()
        assert (welcome["step"], welcome["score"], welcome["failed_open"]) == ("welcome", 5, False)
        processes = set()
        for _ in range(400):
            processes.add(client.get("/process", headers={"Connection": "close"}).json()["process"])
            if len(processes) == 2:
                break
        assert len(processes) == 2
        api.fault(status=500)
        assert client.post("/pay", headers={"X-Forwarded-For": "9.8.7.6"}).json() == {"held": True}


def test_gunicorn_with_threads(api):
    with serving("gunicorn", "--threads", "8", "flask_app:health", env={"ENDPOINT": api.url}) as client:
        decision = client.get("/").json()
        assert (decision["provenance"], decision["reasons"]) == ("socket", ["special_use"])


@pytest.mark.skipif(UWSGI is None, reason="`UWSGI` names no uwsgi of this Python, and none is on `PATH`")
@pytest.mark.parametrize("words", [[], ["--enable-threads", "--threads=4"]])
def test_uwsgi_that_forks_after_import(api, words):
    port = free_port()
    command = [UWSGI, f"--http-socket=127.0.0.1:{port}", "--master", "--processes=2", "--die-on-term"]
    command += ["--module=flask_app:app", f"--virtualenv={sys.prefix}", *words]
    with running(command, port, {"ENDPOINT": api.url}):
        # One connection each: this server closes them.
        login = lambda ip: httpx.post(f"http://127.0.0.1:{port}/api/login", headers={"X-Forwarded-For": ip}, timeout=20)  # noqa: E731
        assert [login(BAD).status_code for _ in range(20)] == [403] * 20
        welcome = login(CLEAN).json()
        assert (welcome["step"], welcome["failed_open"]) == ("welcome", False)
