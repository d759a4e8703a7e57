"""A checker that is made before a process forks works on both sides."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from ip_risk import AsyncRiskChecker, ClosedError, RiskChecker, UnknownPolicyError
from support.servers import redis_server

BAD = "2.56.188.34"
CLEAN = "8.8.8.8"
PATIENCE = 20


def in_child(call):
    """What `call` gives in a child that was forked now; it must end by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(call()).encode())
        except BaseException as error:  # noqa: BLE001 - the parent is told
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    until = time.monotonic() + PATIENCE
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.01)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_child_has_an_engine_of_its_own(checker, api):
    assert checker.check(BAD)["source"] == "api"
    assert in_child(lambda: checker.check(BAD)["source"]) == "api"
    assert in_child(lambda: [checker.check(BAD)["source"] for _ in range(2)]) == "['api', 'memory']"
    assert checker.check(BAD)["source"] == "memory"
    assert api.asked(BAD) == 3


def test_a_checker_that_was_never_used_works_in_every_child(checker):
    assert [in_child(lambda: checker.check(BAD)["action"]) for _ in range(3)] == ["block"] * 3


def test_a_child_of_a_child_works(checker):
    checker.check(BAD)
    assert in_child(lambda: (checker.check(BAD)["source"], in_child(lambda: checker.check(CLEAN)["source"]))) == str(
        ("api", "api")
    )


def test_policies_of_gates_and_counts_begin_anew(checker):
    checker.check(BAD)
    name = checker._judge.native.add_policy("login", '{"max_action": "log"}')
    assert in_child(lambda: checker.check(BAD, policy=name)["action"]) == "log"
    counts = in_child(lambda: checker.stats()["policies"]["login"]["action"]["block"])
    assert counts == "0"
    assert checker.stats()["policies"]["login"]["action"]["block"] == 1


def test_a_process_may_fork_while_look_ups_are_under_way(checker, api):
    api.latency(0.3)
    threads = [threading.Thread(target=checker.check, args=(f"5.5.5.{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    while not api.requests():
        time.sleep(0.01)
    assert [in_child(lambda: checker.check(CLEAN)["score"]) for _ in range(3)] == ["5"] * 3
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_what_began_before_the_fork_is_not_waited_for_after_it(checker, api):
    api.latency(0.2)
    stream = checker.check_stream(iter([CLEAN] * 3_000))
    next(stream)
    assert "waited for" in in_child(lambda: list(stream))
    assert len(list(stream)) == 2_999


def test_closing_in_a_child_leaves_the_parent_alone(checker):
    checker.check(BAD)

    def close():
        checker.close()
        try:
            checker.check(BAD)
        except ClosedError as error:
            return error.code

    assert in_child(close) == "ERR_IP_RISK_CLOSED"
    assert checker.check(BAD)["source"] == "memory"
    checker.close()
    assert "ERR_IP_RISK_CLOSED" in in_child(lambda: _code_of(checker))


def _code_of(checker):
    try:
        return checker.check(BAD)
    except ClosedError as error:
        return error.code


def test_a_checker_that_a_child_drops_does_no_harm(make):
    checkers = [make()]
    checkers[0].check(BAD)

    def drop():
        checkers.clear()
        return "dropped"

    assert in_child(drop) == "dropped"
    assert checkers[0].check(BAD)["source"] == "memory"


def _check_in_worker(ip):
    return WORLD["checker"].check(ip)["score"]


WORLD = {}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_pools_of_processes_work(checker):
    checker.check(BAD)
    WORLD["checker"] = checker
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(_check_in_worker, [BAD, CLEAN, BAD, CLEAN, "nonsense"] * 4) == [80, 5, 80, 5, 0] * 4


@pytest.fixture
def feed(tmp_path):
    """A feed of one's own: without it, no engine can be made."""
    feed = tmp_path / "own.txt"
    feed.write_text("9.9.9.0/24\n")
    return feed


def with_feed(options, feed):
    return {**options, "feeds": {"files": [{"path": str(feed), "flags": ["is_known_attacker"]}]}}


def test_a_child_that_cannot_make_an_engine_answers_with_the_failure_mode_and_tries_again_later(options, feed):
    checker = RiskChecker(**with_feed(options, feed))

    def ask():
        feed.unlink()
        first = checker.check(BAD), checker.check(BAD, policy="payment")
        feed.write_text("9.9.9.0/24\n")
        # Not every request tries.
        assert checker.check(BAD)["failure"] == "ERR_IP_RISK_OPTION"
        until = time.monotonic() + PATIENCE
        while checker.check(BAD)["source"] == "none":
            assert time.monotonic() < until
            time.sleep(0.05)
        return [(decision["failure"], decision["action"]) for decision in first]

    assert in_child(ask) == str([("ERR_IP_RISK_OPTION", "allow"), ("ERR_IP_RISK_OPTION", "hold")])
    checker.close()


def test_a_child_without_an_engine_answers_whatever_it_is_asked_and_says_why_once(options, feed, caplog):
    options = {**with_feed(options, feed), "logger": None}
    checker, asynchronous = RiskChecker(**options), AsyncRiskChecker(**options)

    async def ask_later():
        return [
            await asynchronous.check(BAD),
            *await asynchronous.check_many([BAD] * 3),
            *[decision async for decision in asynchronous.check_stream([BAD] * 3)],
        ]

    def ask():
        feed.unlink()
        decisions = [checker.check(BAD), checker.peek(BAD), *checker.check_many([BAD] * 3)]
        decisions += [*checker.check_stream([BAD] * 3), *asyncio.run(ask_later())]
        answers = {(decision["failure"], decision["action"]) for decision in decisions}
        lines = [line for line in caplog.messages if "requests are not judged: `feeds.files[0]` names" in line]
        return len(decisions), answers, len(lines)

    assert in_child(ask) == str((15, {("ERR_IP_RISK_OPTION", "allow")}, 1))
    checker.close()
    asyncio.run(asynchronous.close())


def test_a_child_without_an_engine_knows_which_policies_there_are(options, feed):
    checker = RiskChecker(**with_feed(options, feed))

    def ask():
        feed.unlink()
        for call in (checker.check, checker.peek, lambda ip, policy: checker.check_many([ip], policy=policy)):
            with pytest.raises(UnknownPolicyError, match="no policy is called `pay`; known are `login`, `payment`"):
                call(BAD, policy="pay")
        return "refused"

    assert in_child(ask) == "refused"
    checker.close()


FORKS_IN_A_WAIT = """
import os, signal, sys
from ip_risk import RiskChecker
checker = RiskChecker(api_key="key", endpoint=sys.argv[1], deadline=20, logger=False)
children = []
def fork(*_):
    children.append(os.fork())
    # One that hangs is ended.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(10)
signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.2)
decision = checker.check("2.56.188.34")
if children != [0]:
    os.waitpid(children[0], 0)
print(decision["failure"], flush=True)
"""


def test_a_handler_of_signals_may_fork_while_a_check_waits(api):
    api.latency(1)
    command = [sys.executable, "-c", FORKS_IN_A_WAIT, api.url]
    assert subprocess.check_output(command, text=True, timeout=30) == "ERR_IP_RISK_INTERNAL\nNone\n"


def test_children_do_not_share_a_lease_of_the_budget(make, api, tmp_path):
    with redis_server(tmp_path) as url:
        checker = make(redis={"url": url, "timeout": 5}, budget={"per_day": 4, "reserved": 0})
        for child in range(3):
            in_child(lambda child=child: [checker.check(f"5.8.{child}.{number}")["source"] for number in range(6)])
        assert len(api.requests()) == 4
