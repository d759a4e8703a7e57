"""The golden vectors of `vectors/`, which run in every face."""

import json
from pathlib import Path

import pytest
from conftest import options_for
from flask import Flask, g, jsonify
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ip_risk import PASS, RiskChecker, RiskMiddleware, check_ip_risk

VECTORS = Path(__file__).parents[2] / "vectors"
ADDRESS = "198.51.100.7"
"""What payloads, policies and failures are about."""
COOL_DOWN = 600
"""Longer than the provider is left alone after any failure of the cases, in seconds."""
SPELLED = {"onFailure": "on_failure", "maxAction": "max_action", "atLeast": "at_least", "atMost": "at_most"}
SPELLED |= {"withinDays": "within_days"}


def cases(name, at_least):
    """The cases of a file, which must not have lost them."""
    found = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    assert len(found) >= at_least
    return [pytest.param(case, id=str(case.get("name", place))) for place, case in enumerate(found)]


POLICIES = cases("policies", 70)


def spelled(written):
    """Options as Python spells them."""
    if isinstance(written, dict):
        return {SPELLED.get(key, key): spelled(value) for key, value in written.items()}
    return [spelled(item) for item in written] if isinstance(written, list) else written


def answer_with(api, case):
    if "text" in case:
        body = case["text"]
    else:
        body = json.dumps(case.get("body", {"ip": ADDRESS, "security": case.get("security")}))
    api.answer_raw(ADDRESS, case.get("status", 200), body)


def decide(checker, api, answer, **options):
    """A decision about `ADDRESS` after a look-up that gets this answer."""
    checker.advance(COOL_DOWN)
    answer_with(api, answer)
    checker.invalidate()
    return checker.check(ADDRESS, **options)


# One checker for the cases of a file: making one for each would take most of the time.


@pytest.fixture(scope="module")
def doors(session_api):
    """How text becomes an address."""
    text = ""
    app = Flask(__name__)

    def by_framework(written):
        nonlocal text
        text = written
        return app.test_client().get("/").json

    with RiskChecker(**options_for(session_api)) as checker:
        gate = check_ip_risk(checker=checker, client_ip=lambda _: text, on_hold=lambda *_: PASS)
        app.get("/")(gate(lambda: jsonify(g.ip_risk)))
        yield checker, {"plain": checker.check, "framework": by_framework}


@pytest.fixture(scope="module")
def world(make_test_checker):
    """A checker with the policies of all cases."""
    policies = {f"case-{place}": spelled(case.values[0]["policy"]) for place, case in enumerate(POLICIES)}
    failing = {mode: {"on_failure": mode} for mode in ("open", "challenge", "closed")}
    return make_test_checker(policies={**policies, **failing})


@pytest.mark.parametrize("case", cases("addresses", 180))
def test_addresses(doors, api, case):
    checker, by_name = doors
    for door, decide_by in by_name.items():
        checker.invalidate()
        seen = len(api.requests())
        decision = decide_by(case["text"])
        asked = [ip for ips in api.requests()[seen:] for ip in ips]
        assert decision["ip"] == case[door]
        if case[door] is None:
            assert decision["failure"] == "ERR_IP_RISK_INVALID_ADDRESS"
            assert asked == []
        else:
            assert decision["source"] == ("api" if case["special"] is None else "special")
            assert asked == ([case["judged"]] if case["special"] is None else [])


@pytest.mark.parametrize("case", cases("payloads", 45))
def test_payloads(world, api, case):
    decision = decide(world, api, case)
    assert decision["failure"] == case.get("failure")
    assert decision["score"] == case.get("score", 0)
    assert decision["flags"] == case.get("flags", {})


@pytest.mark.parametrize(("place", "case"), [(place, case.values[0]) for place, case in enumerate(POLICIES)])
def test_policies(world, api, place, case):
    answer = {"security": case["security"]}
    decision = decide(world, api, answer, policy=f"case-{place}", route=case.get("route"))
    assert decision["action"] == case["action"]
    assert decision["would_be"] == case.get("wouldBe", case["action"])
    assert decision["reasons"] == case["reasons"]
    assert decision["failure"] is None


@pytest.mark.parametrize("case", cases("failures", 30))
def test_failures(world, api, case):
    for policy, action in case["actions"].items():
        # What fails without an answer is asked of the face directly.
        if "answer" in case:
            decision = decide(world, api, case["answer"], policy=policy)
        else:
            decision, _ = world._judge.native.failed(policy, case["code"], is_request=False)
        assert (decision["failure"], decision["action"]) == (case["code"], action)
        assert (decision["failed_open"], decision["failed_closed"]) == (action == "allow", action == "hold")


@pytest.mark.parametrize("case", cases("feeds", 40))
def test_feeds(tmp_path, case):
    files = []
    for place, written in enumerate(case["lists"]):
        path = tmp_path / f"{place}.txt"
        path.write_text("\n".join(written["lines"]))
        files.append({"path": str(path), **{key: value for key, value in written.items() if key != "lines"}})
    with RiskChecker(feeds={"files": files}, logger=False) as checker:
        decision = checker.check(case["address"])
    assert {key: decision[key] for key in ("score", "band", "action", "reasons", "flags")} == {
        key: case[key] for key in ("score", "band", "action", "reasons", "flags")
    }


FIELDS = ("require_mfa", "hold_for_review")


def by_flask(**options):
    app = Flask(__name__)
    gate = check_ip_risk(**options)
    app.get("/")(gate(lambda: jsonify({"ip_risk": g.ip_risk, **{name: g.get(name) for name in FIELDS}})))
    return lambda headers: app.test_client().get("/", headers=headers)


def by_asgi(**options):
    async def view(request):
        fields = {name: getattr(request.state, name, None) for name in FIELDS}
        return JSONResponse({"ip_risk": request.state.ip_risk, **fields})

    gate = RiskMiddleware(Starlette(routes=[Route("/", view)]), **options)
    return lambda headers: TestClient(gate, client=("127.0.0.1", 50_000)).get("/", headers=headers)


def body_of(answer):
    return answer.json if isinstance(answer.json, dict) else answer.json()


@pytest.mark.parametrize("behind", [by_flask, by_asgi])
@pytest.mark.parametrize("case", cases("answers", 10))
def test_answers(world, api, behind, case):
    world.advance(COOL_DOWN)
    world.invalidate()
    answer = {"security": case["security"]} if "security" in case else {"status": 500, "text": ""}
    answer_with(api, answer)
    answer = behind(checker=world, client_ip=lambda _: ADDRESS, **case["policy"])({})
    assert answer.status_code == case["status"]
    assert {name: answer.headers[name] for name in case.get("headers", {})} == case.get("headers", {})
    if case["status"] == 200:
        assert {name: body_of(answer)[name] for name in FIELDS} == {name: case[name] for name in FIELDS}
    else:
        assert answer.text == case["body"]


@pytest.mark.parametrize("behind", [by_flask, by_asgi])
@pytest.mark.parametrize("case", cases("forwarded", 15))
def test_forwarded_headers(make, behind, case):
    headers = {} if case["header"] is None else {case["header"]: "8.8.8.8"}
    answer = behind(checker=make())(headers)
    assert body_of(answer)["ip_risk"]["provenance"] == case["provenance"]
