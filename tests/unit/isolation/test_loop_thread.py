"""Work on the broker's thread runs to its end, and what nobody waits for is not lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from test_framework.isolation.loop_thread import LoopThread


async def answer(value: int, delay: float = 0.0) -> int:
    await asyncio.sleep(delay)
    return value


async def fail() -> None:
    raise ZeroDivisionError


def test_a_result_and_an_error_come_back_to_any_thread() -> None:
    thread = LoopThread("worker")
    assert not thread.started
    assert thread.submit(answer(1)).result(10) == 1
    with pytest.raises(ZeroDivisionError):
        thread.submit(fail()).result(10)
    thread.stop(10)


def test_what_a_cancelled_request_brings_is_handed_to_whoever_takes_the_unwanted() -> None:
    thread = LoopThread("worker")
    unwanted: list[int] = []
    arrived = threading.Event()

    def take(value: int) -> None:
        unwanted.append(value)
        arrived.set()

    reply = thread.submit(answer(7, 0.05), unwanted=take)
    assert reply.cancel()
    assert arrived.wait(10)
    assert unwanted == [7]
    thread.stop(10)


def test_stopping_ends_what_still_runs_and_is_harmless_twice() -> None:
    thread = LoopThread("worker")
    reply = thread.submit(answer(1, 3600))
    thread.submit(answer(1)).result(10)
    thread.stop(10)
    thread.stop(10)
    with pytest.raises(RuntimeError, match="stopped"):
        reply.result(0)


def test_a_thread_that_never_started_stops_at_once() -> None:
    LoopThread("worker").stop(0)
