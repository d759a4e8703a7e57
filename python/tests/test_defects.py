"""What a defect of our own does: a verdict is never an exception, and nobody waits for ever."""

import asyncio
import time

import pytest
from flask import Flask, g, jsonify

from ip_risk import AsyncRiskChecker, IpRiskError, check_ip_risk
from ip_risk._native import Pending

INTERNAL = "ERR_IP_RISK_INTERNAL"
NOTHING = "192.0.2.1"


def failing(checker, times=1):
    """The checker, whose clock panics at its next uses."""
    checker._judge.native.fail_clock(times)
    return checker


@pytest.fixture(scope="module")
def checker(make_test_checker):
    return make_test_checker()


def test_a_check_that_panics_is_answered_by_the_failure_mode_and_counted(checker):
    before = checker.stats()["policies"]["login"]["action"]["allow"]
    decision = failing(checker).check(NOTHING)
    assert (decision["failure"], decision["failed_open"]) == (INTERNAL, True)
    assert "provenance" not in decision
    assert failing(checker).check(NOTHING, policy="payment")["failed_closed"] is True
    assert failing(checker).peek(NOTHING)["failure"] == INTERNAL
    assert checker.stats()["policies"]["login"]["action"]["allow"] == before + 1


def test_a_look_up_that_panics_is_answered_by_the_failure_mode(checker, api):
    for policy, result in (("login", "failed_open"), ("payment", "failed_closed")):
        api.latency(0.3)
        pending = checker._judge.native.judge("192.0.2.7", policy, None, 0)
        assert isinstance(pending, Pending)
        while not api.requests():
            time.sleep(0.01)
        # The call, and then the ladder.
        failing(checker, 2)
        decision, _ = pending.wait()
        assert (decision["failure"], decision[result]) == (INTERNAL, True)
        assert "provenance" not in decision
        failing(checker, 0)
        api.reset()


def test_a_list_that_panics_is_answered_by_the_failure_mode(checker):
    decisions = failing(checker).check_many([NOTHING] * 3)
    assert [decision["failure"] for decision in decisions] == [INTERNAL] * 3


def test_what_is_no_check_raises_an_error_with_a_code(checker):
    for call in (
        lambda: checker._judge.native.skipped(NOTHING, "login", is_counted=False),
        lambda: checker._judge.native.failed("login", INTERNAL, is_request=False),
        lambda: checker._judge.native.describe_entry(NOTHING, "login", None),
    ):
        failing(checker)
        with pytest.raises(IpRiskError) as raised:
            call()
            raise AssertionError("it does not use the clock")
        assert raised.value.code == INTERNAL


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize(("policy", "status"), [("login", 200), ("payment", 503)])
def test_a_gate_answers_however_often_judging_panics(checker, times, policy, status):
    app = Flask(__name__)
    skips = False
    view = lambda: jsonify(g.ip_risk)  # noqa: E731
    app.get("/")(check_ip_risk(checker=checker, policy=policy, client_ip=lambda _: NOTHING, skip=lambda _: skips)(view))
    failing(checker, times)
    answer = app.test_client().get("/")
    assert answer.status_code == status
    skips = True
    failing(checker, times)
    skipped = app.test_client().get("/").json
    assert (skipped["action"], skipped["reasons"], skipped["provenance"]) == ("allow", ["skipped"], "application")
    failing(checker, 0)


def panics():
    """What pyo3 has for a panic; raised here, it panics again where Rust sees it. Other packages have their own."""
    kinds = [kind for kind in BaseException.__subclasses__() if kind.__name__ == "PanicException"]
    return [kind("as it was told to") for kind in kinds]


def test_a_panic_while_a_loop_is_told_leaves_the_others_their_answers(options, checker, monkeypatch):
    monkeypatch.setattr("ip_risk._errors.coded", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # with which pyo3 makes its class
        checker.check(NOTHING, policy="other")
    monkeypatch.undo()

    async def main():
        tell = asyncio.get_running_loop().call_soon_threadsafe
        left = panics()
        assert left

        def call_soon(*arguments):
            if left:
                raise left.pop()
            tell(*arguments)

        monkeypatch.setattr(asyncio.get_running_loop(), "call_soon_threadsafe", call_soon)
        async with AsyncRiskChecker(**{**options, "deadline": 0.5}) as asynchronous:
            for number in range(len(left)):
                lost = await asyncio.wait_for(asynchronous.check(f"9.9.9.{number}"), 20)
                assert (lost["failure"], lost["failed_open"]) == (INTERNAL, True)
            assert (await asyncio.wait_for(asynchronous.check("9.9.9.99"), 20))["source"] == "api"

    asyncio.run(main())
