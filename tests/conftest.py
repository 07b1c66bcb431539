"""Servers for the tests of one file. Started when its first test asks, stopped after its last one."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import psutil
import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
from tests.servers import data_directory, run_clickhouse, run_postgres, run_redis

# What a script starts in the background ignores Ctrl-C, and hands that down to every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
_workers_of_xdist = False


def pytest_configure(config: pytest.Config) -> None:
    global _workers_of_xdist
    _workers_of_xdist = config.pluginmanager.hasplugin("dsession")
    if not hasattr(config, "workerinput"):
        _share_bytecode(config)


def _share_bytecode(config: pytest.Config) -> None:
    """Let all processes of this run, hundreds of them, compile a module once. It is two thirds of what they cost."""
    directory = tempfile.mkdtemp(prefix="tf-bytecode-")
    Path(directory).chmod(0o755)
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    os.environ["PYTHONPYCACHEPREFIX"] = directory
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _end(number: int, frame: FrameType | None) -> None:
    """A run that is told to end takes its servers with it, as an interrupted one does, and so do its workers.

    They are told here: xdist would wait for the tests that run, and kill in the end what still tidies up.
    """
    if _workers_of_xdist:
        for worker in psutil.Process().children():
            worker.send_signal(signal.SIGTERM)
    for again in (signal.SIGTERM, signal.SIGINT):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _end)


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresEndpoint]:
    """An unseeded PostgreSQL, shared by the tests of one file."""
    with data_directory("postgres") as directory, run_postgres(directory) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisEndpoint]:
    """An unseeded Redis, shared by the tests of one file."""
    with data_directory("redis") as directory, run_redis(directory) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def clickhouse_server() -> Iterator[ClickHouseEndpoint]:
    """An unseeded ClickHouse engine, shared by the tests of one file."""
    with data_directory("clickhouse") as directory, run_clickhouse(directory) as endpoint:
        yield endpoint
