"""`AsyncRiskChecker`, against a real server."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest
import trio
import uvloop

import ip_risk._log
from ip_risk import ArgumentError, AsyncRiskChecker, ClosedError, RiskChecker
from support.servers import wait_until

BAD = "2.56.188.34"
CLEAN = "8.8.8.8"


def test_it_decides_as_the_other_one_does(make_async, make, api):
    async def main():
        async with make_async() as checker:
            first = await checker.check(BAD)
            assert first["source"] == "api"
            assert (await checker.check(BAD))["source"] == "memory"
            assert checker.peek(BAD)["action"] == "block"
            assert [decision["score"] for decision in await checker.check_many([BAD, CLEAN])] == [80, 5]
            assert checker.stats()["upstream"]["calls"] == 2
            same = make().check(BAD)
            assert {**same, "source": "api"} == first
            await checker.invalidate(BAD)
            assert checker.peek(BAD) is None
        with pytest.raises(ClosedError):
            await checker.check(BAD)

    asyncio.run(main())
    assert api.asked(BAD) == 1


def test_the_loop_goes_on_while_a_look_up_is_under_way(make_async, api):
    api.latency(0.3)

    async def main():
        async with make_async() as checker:
            decision = asyncio.ensure_future(checker.check(BAD))
            turns = 0
            while not decision.done():
                turns += 1
                await asyncio.sleep(0.001)
            assert turns > 20
            assert decision.result()["score"] == 80

    asyncio.run(main())


def test_many_at_once_travel_together_and_all_get_their_own_answer(make_async, api):
    async def main():
        async with make_async() as checker:
            ips = [f"5.3.{number // 200}.{number % 200}" for number in range(600)]
            decisions = await asyncio.gather(*[checker.check(ip) for ip in ips])
            assert [decision["ip"] for decision in decisions] == ips

    asyncio.run(main())
    assert len(api.requests()) < 300


def test_a_checker_belongs_to_no_loop(options):
    checker = AsyncRiskChecker(**options)
    for ip in (BAD, CLEAN):
        assert asyncio.run(checker.check(ip))["source"] == "api"
    results = []
    threads = [
        threading.Thread(target=lambda ip=ip: results.append(asyncio.run(checker.check(ip))["ip"]))
        for ip in ("9.9.9.9", "9.9.9.10")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == ["9.9.9.10", "9.9.9.9"]
    asyncio.run(checker.close())
    asyncio.run(checker.close())


def test_cancelling_gives_up_waiting_and_nothing_else(make_async, api):
    api.latency(0.3)

    async def main():
        async with make_async() as checker:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(checker.check(BAD), 0.05)
            assert (await checker.check(BAD))["score"] == 80

    asyncio.run(main())
    assert api.asked(BAD) == 1


def test_a_loop_that_was_closed_is_not_told_any_more(make_async, api):
    api.latency(0.3)
    checker = make_async()

    async def leave():
        asyncio.get_running_loop().create_task(checker.check(BAD))
        await asyncio.sleep(0.05)

    asyncio.run(leave())
    while not api.asked(BAD):
        time.sleep(0.01)
    assert asyncio.run(checker.check(CLEAN))["score"] == 5
    asyncio.run(checker.close())


def test_mistakes_of_the_caller_raise(make_async):
    async def main():
        async with make_async() as checker:
            for call in (
                lambda: checker.check(1),
                lambda: checker.check_many("1.1.1.1"),
                lambda: checker.invalidate(1),
            ):
                with pytest.raises(ArgumentError):
                    await call()
            with pytest.raises(ArgumentError, match="one by one"):
                checker.check_stream("1.1.1.1")
            with pytest.raises(ArgumentError, match=r"`ips\[1\]`"):
                async for _ in checker.check_stream([BAD, 2]):
                    pass

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [True, False])
def test_a_stream_keeps_order_and_is_bounded(make_async, is_async):
    read = 0

    def source():
        nonlocal read
        for number in range(12_000):
            read += 1
            yield f"5.{number // 250}.{number % 250}.7"

    async def async_source():
        for ip in source():
            yield ip

    async def main():
        async with make_async() as checker:
            seen = []
            stream = checker.check_stream(async_source() if is_async else source())
            async for decision in stream:
                seen.append(decision["ip"])
                if len(seen) == 2_500:
                    break
            await stream.aclose()
            assert seen == [f"5.{number // 250}.{number % 250}.7" for number in range(2_500)]
            assert read <= 8_000

    asyncio.run(main())


def test_a_slow_source_gets_its_decisions_without_waiting_for_more(make_async):
    gate = asyncio.Event()
    ended = False

    async def source():
        nonlocal ended
        try:
            yield BAD
            yield CLEAN
            await gate.wait()
            yield BAD
        finally:
            ended = True

    async def main():
        async with make_async() as checker:
            stream = checker.check_stream(source())
            assert (await asyncio.wait_for(anext(stream), 10))["ip"] == BAD
            assert (await asyncio.wait_for(anext(stream), 10))["ip"] == CLEAN
            gate.set()
            assert [decision["source"] async for decision in stream] == ["memory"]
            gate.clear()
            left = checker.check_stream(source())
            await anext(left)
            await left.aclose()
            assert ended

    asyncio.run(main())


def test_an_error_of_a_source_comes_after_the_decisions(make_async):
    async def source():
        yield BAD
        raise LookupError("gone")

    async def main():
        seen = []
        async with make_async() as checker:
            with pytest.raises(LookupError, match="gone"):
                async for decision in checker.check_stream(source()):
                    seen.append(decision["ip"])
        assert seen == [BAD]

    asyncio.run(main())


def test_a_source_that_says_it_was_cancelled_does_not_end_a_stream_as_if_it_were_over(make_async):
    async def source():
        yield BAD
        raise asyncio.CancelledError

    async def main():
        seen = []
        async with make_async() as checker:
            with pytest.raises(RuntimeError, match="the source of addresses raised CancelledError"):
                async for decision in checker.check_stream(source()):
                    seen.append(decision["ip"])
        assert seen == [BAD]

    asyncio.run(main())


LEFT = """
import asyncio, sys
from ip_risk import AsyncRiskChecker
async def main():
    checker = AsyncRiskChecker(api_key="key", endpoint=sys.argv[1], deadline=20, logger=False)
    for number in range(50):
        asyncio.get_running_loop().create_task(checker.check(f"5.9.9.{number}"))
    await asyncio.sleep(float(sys.argv[2]))
asyncio.run(main())
"""


@pytest.mark.parametrize("wait", [0, 0.01, 0.05])
def test_a_process_ends_while_look_ups_are_under_way(api, wait):
    api.latency(0.05)
    for _ in range(5):
        subprocess.run([sys.executable, "-c", LEFT, api.url, str(wait)], check=True, timeout=20)


def test_threads_and_loops_share_an_engine(make_async, make, api):
    make().check(BAD)

    async def main():
        async with make_async() as checker:
            assert (await checker.check(BAD))["source"] == "memory"

    asyncio.run(main())
    assert api.asked(BAD) == 1
    assert isinstance(make(), RiskChecker)


def test_trio_is_an_event_loop_too(make_async, api):
    async def main():
        async with make_async() as checker:
            assert [decision["score"] for decision in await checker.check_many([BAD, CLEAN])] == [80, 5]
            with pytest.raises(ArgumentError, match="`check_stream` needs an event loop of asyncio"):
                async for _ in checker.check_stream([BAD]):
                    pass
            api.latency(0.3)
            with trio.move_on_after(0.05) as scope:
                await checker.check("9.9.9.9")
            assert scope.cancelled_caught
            assert (await checker.check("9.9.9.9"))["source"] in ("api", "memory")

    trio.run(main)


def test_every_trio_that_somebody_imported_leaves_asyncio_alone(make_async, monkeypatch):
    async def main():
        async with make_async() as checker:
            return await checker.check(BAD)

    # Which older ones do not have.
    monkeypatch.delattr(trio.lowlevel, "in_trio_task", raising=False)
    assert asyncio.run(main())["failure"] is None
    assert trio.run(main)["failure"] is None
    # As where another package imports it at this moment.
    monkeypatch.delattr(trio, "lowlevel")
    assert asyncio.run(main())["failure"] is None


def test_asyncio_and_trio_may_share_a_thread(make_async):
    checker = make_async()

    async def in_trio():
        return await checker.check(BAD), asyncio.run(in_asyncio())

    async def in_asyncio():
        return await checker.check(CLEAN)

    async def host():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        trio.lowlevel.start_guest_run(
            guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        return await checker.check("9.9.9.31"), (await done).unwrap()

    async def guest():
        return await checker.check("9.9.9.32")

    for decisions in (trio.run(in_trio), asyncio.run(host())):
        assert [decision["failure"] for decision in decisions] == [None, None]


def hold_up():
    """Hold the loop up for longer than one waits for a look-up of half a second."""
    time.sleep(1.7)


# Loops differ in what they do first after that: timers, or what other threads told them.
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_an_answer_that_waited_for_a_loop_that_was_held_up_counts(make_async, run):
    async def main():
        async with make_async(deadline=0.5) as checker:
            checked = asyncio.ensure_future(checker.check(BAD))
            await asyncio.sleep(0)
            hold_up()
            assert (await checked)["source"] == "api"

    run(main())


@pytest.mark.parametrize("chance", [0, 0.9])
def test_an_answer_that_waited_for_trio_counts(make_async, monkeypatch, chance):
    async def main():
        async with make_async(deadline=0.5) as checker, trio.open_nursery() as nursery:

            async def check():
                assert (await checker.check(BAD))["source"] == "api"

            nursery.start_soon(check)
            for _ in range(2):
                await trio.lowlevel.checkpoint()
            # By which it orders what can run.
            monkeypatch.setattr(trio._core._run._r, "random", lambda: chance)
            hold_up()

    trio.run(main)


def test_what_is_wrong_with_waiting_is_answered_by_the_failure_mode(make_async, monkeypatch, caplog):
    async def main():
        async with make_async(logger=None) as checker:
            monkeypatch.setattr(asyncio.get_running_loop(), "create_future", lambda: 1 / 0)
            decision = await checker.check(BAD)
            monkeypatch.undo()
            return decision

    monkeypatch.setattr(ip_risk._log, "_warned", set())
    decision = asyncio.run(main())
    assert (decision["failure"], decision["failed_open"]) == ("ERR_IP_RISK_INTERNAL", True)
    assert "requests are not judged: division by zero" in caplog.text


def test_a_close_that_was_given_up_is_taken_up_again(make_async, api):
    async def main():
        checker = make_async()
        api.latency(1)
        checked = asyncio.ensure_future(checker.check(BAD))
        await asyncio.sleep(0)
        wait_until(lambda: api.asked(BAD), "it is asked")
        began = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(checker.close(), 0.05)
        await checker.close()
        assert time.monotonic() - began > 0.5
        assert (await checked)["score"] == 80

    asyncio.run(main())


def test_without_a_loop_there_is_a_clear_error(make_async):
    with pytest.raises(ArgumentError, match=r"no event loop of asyncio or trio is running.*`RiskChecker` in a thread"):
        make_async().check(BAD).send(None)


def test_the_loop_goes_on_while_a_long_list_becomes_objects(make_async, monkeypatch):
    async def main():
        async with make_async() as checker:
            delivered, deliver = 0, checker._judge.deliver

            def count(*arguments):
                nonlocal delivered
                delivered += 1
                return deliver(*arguments)

            monkeypatch.setattr(checker._judge, "deliver", count)
            listed = asyncio.ensure_future(checker.check_many(["127.0.0.1"] * 10_000))
            before, most = 0, 0
            while not listed.done():
                await asyncio.sleep(0)
                most, before = max(most, delivered - before), delivered
            assert len(listed.result()) == delivered == 10_000
            assert most < 1_000

    asyncio.run(main())
