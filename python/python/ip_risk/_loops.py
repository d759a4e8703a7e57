"""Waiting on whatever event loop is running."""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import Any

from ip_risk import _native
from ip_risk._errors import argument, coded


async def ended(asked: Any) -> Any:
    """Wait for what is under way; else it is the answer. Who gives up waiting ends it early, where that is possible."""
    if not isinstance(asked, _native.Pending):
        return asked
    trio = _running_trio()
    try:
        return await (_ended_in_asyncio(asked) if trio is None else _ended_in_trio(trio, asked))
    except BaseException:
        asked.stop()
        raise


async def turn() -> None:
    """Let others have the loop."""
    trio = _running_trio()
    await (asyncio.sleep(0) if trio is None else trio.lowlevel.checkpoint())


def require_asyncio(what: str) -> None:
    """Refuse where another loop runs."""
    _asyncio_loop(what)


def _running_trio() -> Any:
    """Return the module where a task of trio runs. It is not imported for that: who uses it has done so.

    Both may run in one thread. Then a task of ``asyncio`` can only wait as one.
    """
    trio: Any = sys.modules.get("trio")
    if trio is None or _is_task_of_asyncio():
        return None
    try:
        trio.lowlevel.current_task()
    except (AttributeError, RuntimeError):
        return None
    return trio


def _is_task_of_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _asyncio_loop(what: str) -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise argument(f"{what}; on other loops, use `RiskChecker` in a thread") from None


async def _ended_in_asyncio(pending: _native.Pending) -> Any:
    loop = _asyncio_loop("no event loop of asyncio or trio is running")
    future: asyncio.Future[Any] = loop.create_future()
    patience = pending.patience()
    timer = None if patience is None else loop.call_later(patience, _give_up, loop, future)
    try:
        pending.deliver(loop.call_soon_threadsafe, functools.partial(_settle, future))
        return await future
    finally:
        if timer is not None:
            timer.cancel()


def _give_up(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
    """Give up behind what is queued: after something held the loop up, that may be the answer."""
    loop.call_soon(_settle, future, _lost())


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if future.done():
        return
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)


async def _ended_in_trio(trio: Any, pending: _native.Pending) -> Any:
    done, told = trio.Event(), list[Any]()

    def settle(value: Any) -> None:
        told.append(value)
        done.set()

    patience = pending.patience()
    pending.deliver(trio.lowlevel.current_trio_token().run_sync_soon, settle)
    with trio.move_on_after(float("inf") if patience is None else patience):
        await done.wait()
    if not told:
        # As in `_give_up`.
        await trio.lowlevel.checkpoint()
    value = told[0] if told else _lost()
    if isinstance(value, BaseException):
        raise value
    return value


def _lost() -> Exception:
    """Make the error for an end that was not told, which only a defect can cause: look-ups have their own deadline."""
    return coded("ERR_IP_RISK_INTERNAL", "a look-up that has ended was not told to the event loop; please report it")
