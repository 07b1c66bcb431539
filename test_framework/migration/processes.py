"""Work in several processes that a signal to all of them, as a terminal sends it, does not tear apart."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

__all__ = ["process_pool", "signals_held"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def process_pool(jobs: int, *, initializer: Callable[[], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Up to ``jobs`` processes. What has not begun when an exception comes is given up; what has is waited for."""
    context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks in whatever state they are
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=initializer) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)  # and wait: a pool that nobody holds any more forgets to cancel
            raise


@contextmanager
def signals_held() -> Iterator[None]:
    """Signals wait for the end of the block, and never reach a process that is started in it.

    Processes are started when work is submitted. One that died in the middle of a message would leave the others, and
    us, waiting for its lock.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
