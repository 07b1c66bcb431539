"""Work in several processes that a signal to all of them, as a terminal sends it, does not tear apart."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TypeVar

__all__ = ["KILLED", "worked"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Part = Sequence[Item]
KILLED = "the process that read it was killed, perhaps for want of memory"
"""What is said of an item that no process lived to answer."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def worked(
    work: Callable[[Part[Item]], Answer],
    parts: Sequence[Part[Item]],
    jobs: int,
    *,
    initializer: Callable[[], None] | None = None,
) -> Generator[tuple[Part[Item], Answer | None], None, None]:
    """Each part with its answer, in any order, from up to ``jobs`` processes. Close the generator to end them.

    When a process is killed, all parts that have no answer yet are asked for again item by item, in one process at a
    time: so it is known which item kills its process. That one's answer is None.
    """
    left: list[Part[Item]] = []
    before = set(multiprocessing.active_children())
    with _process_pool(min(jobs, len(parts)), initializer) as pool:
        waiting: dict[Future[Answer], Part[Item]] = {}
        with _signals_held():
            for part in parts:
                if (future := _submitted(pool, work, part)) is None:
                    left.append(part)
                else:
                    waiting[future] = part
        for done in as_completed(waiting):
            if (answer := _answer(done)) is None:
                left.append(waiting[done])
            else:
                yield waiting[done], answer
        if left:
            _kill(set(multiprocessing.active_children()) - before)
    yield from _one_by_one(work, [[item] for part in left for item in part], initializer)


def _one_by_one(
    work: Callable[[Part[Item]], Answer], parts: Sequence[Part[Item]], initializer: Callable[[], None] | None
) -> Iterator[tuple[Part[Item], Answer | None]]:
    rest = iter(parts)
    part = next(rest, None)
    while part is not None:
        with _process_pool(1, initializer) as pool:
            alive = True
            while alive and part is not None:
                with _signals_held():
                    waiting = pool.submit(work, part)
                answer = _answer(waiting)
                yield part, answer
                alive = answer is not None
                part = next(rest, None)


def _kill(processes: Iterable[BaseProcess]) -> None:
    """End what is left of a broken pool: the pool asks by SIGTERM, which never reaches these processes."""
    for process in processes:
        process.kill()


def _submitted(
    pool: ProcessPoolExecutor, work: Callable[[Part[Item]], Answer], part: Part[Item]
) -> Future[Answer] | None:
    try:
        return pool.submit(work, part)
    except BrokenProcessPool:  # one was killed already
        return None


def _answer(done: Future[Answer]) -> Answer | None:
    try:
        return done.result()
    except BrokenProcessPool:
        return None


@contextmanager
def _process_pool(jobs: int, initializer: Callable[[], None] | None) -> Iterator[ProcessPoolExecutor]:
    """Up to ``jobs`` processes. What has not begun when an exception comes is given up; what has is waited for."""
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks in whatever state they are
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=initializer) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)  # and wait: a pool that nobody holds any more forgets to cancel
            raise


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals wait for the end of the block, and never reach a process that is started in it.

    Processes are started when work is submitted. One that died in the middle of a message would leave the others, and
    us, waiting for its lock.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
