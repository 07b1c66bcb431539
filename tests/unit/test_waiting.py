"""The polling loop asks at least once, ends at its deadline, and lets errors through."""

from __future__ import annotations

import asyncio

import pytest

from test_framework.waiting import Deadline, wait_until


async def test_the_first_true_answer_ends_the_wait() -> None:
    answers = iter([None, None, "yes", "never asked"])

    async def check() -> str | None:
        return next(answers)

    assert await wait_until(check, Deadline.after(10), interval=0) == "yes"
    assert next(answers) == "never asked"


async def test_a_deadline_that_has_passed_still_asks_once() -> None:
    asked = []

    async def check() -> None:
        asked.append(1)

    assert await wait_until(check, Deadline.after(0)) is None
    assert asked == [1]


async def test_a_slow_last_answer_counts() -> None:
    deadline = Deadline.after(0.02)

    async def check() -> str | None:
        if deadline.expired:
            return "late but true"
        await asyncio.sleep(0.05)
        return None

    assert await wait_until(check, deadline) == "late but true"


async def test_an_error_ends_the_wait_at_once() -> None:
    asked = []

    async def check() -> None:
        asked.append(1)
        raise RuntimeError("it died")

    with pytest.raises(RuntimeError, match="it died"):
        await wait_until(check, Deadline.after(60))
    assert asked == [1]


def test_remaining_is_never_negative() -> None:
    assert Deadline.after(-5).remaining == 0.0
    assert Deadline.after(-5).expired
    assert 0 < Deadline.after(60).remaining <= 60
