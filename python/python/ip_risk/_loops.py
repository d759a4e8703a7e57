"""Waiting on whatever event loop is running."""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import TYPE_CHECKING, Any

from ip_risk._errors import argument, coded

if TYPE_CHECKING:
    from ip_risk import _native


async def ended(pending: _native.Pending) -> Any:
    """Wait for something that is under way. Who gives up waiting ends it early, where that is possible."""
    trio = _running_trio()
    try:
        return await (_ended_in_asyncio(pending) if trio is None else _ended_in_trio(trio, pending))
    except BaseException:
        pending.stop()
        raise


async def turn() -> None:
    """Let others have the loop."""
    trio = _running_trio()
    await (asyncio.sleep(0) if trio is None else trio.lowlevel.checkpoint())


def require_asyncio(what: str) -> None:
    """Refuse where another loop runs."""
    _asyncio_loop(what)


def _running_trio() -> Any:
    """Return the module where a task of trio runs. It is not imported for that: who uses it has done so."""
    trio: Any = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_task() else None


def _asyncio_loop(what: str) -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise argument(f"{what}; on other loops, use `RiskChecker` in a thread") from None


async def _ended_in_asyncio(pending: _native.Pending) -> Any:
    loop = _asyncio_loop("no event loop of asyncio or trio is running")
    future: asyncio.Future[Any] = loop.create_future()
    patience = pending.patience()
    timer = None if patience is None else loop.call_later(patience, _settle, future, _lost())
    pending.deliver(loop.call_soon_threadsafe, functools.partial(_settle, future))
    try:
        return await future
    finally:
        if timer is not None:
            timer.cancel()


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
    value = told[0] if told else _lost()
    if isinstance(value, BaseException):
        raise value
    return value


def _lost() -> Exception:
    """Make the error for an end that was not told, which only a defect can cause: look-ups have their own deadline."""
    return coded("ERR_IP_RISK_INTERNAL", "a look-up that has ended was not told to the event loop; please report it")
