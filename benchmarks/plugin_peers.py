"""What people do today for the same: by hand, and with other plugins, on servers like ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.plugin_runs import Trivial
from test_framework.endpoints import RedisEndpoint
from tests.native_stack import NativeStack

__all__ = ["PEERS", "Peer", "per_test", "python_with"]

_INSERT, _COUNT = (
    "INSERT INTO users (email) VALUES ('mine@example.com')",
    "SELECT count(*) FROM users WHERE email LIKE 'mine%'",
)


@dataclass(frozen=True)
class Peer:
    """``head`` of the tests may name ``{dsn}`` and the like; ``package``: a plugin that is not installed here."""

    tests: Trivial
    service: str = "postgres"
    package: str = ""
    workers: tuple[str, ...] = ("0", "2")

    @property
    def kind(self) -> tuple[str, str | None]:
        """Peers of one kind have an empty test in common."""
        return self.package, self.tests.loop

    @property
    def empty(self) -> Peer:
        return replace(self, tests=Trivial(loop=self.tests.loop))


def _psycopg(fixtures: str) -> Trivial:
    body = f'connection.execute("{_INSERT}")\nassert connection.execute("{_COUNT}").fetchone() == (1,)'
    return Trivial("connection", body, f"import psycopg\n{fixtures}", loop=None)


def _asyncpg(fixtures: str, loop: str) -> Trivial:
    body = f'await connection.execute("{_INSERT}")\nassert await connection.fetchval("{_COUNT}") == 1'
    return Trivial("connection", body, f"import asyncpg\nimport pytest_asyncio\n{fixtures}", loop=loop)


_CLICKHOUSE = """
import clickhouse_connect
import pytest_asyncio

@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client():
    client = await clickhouse_connect.get_async_client(
        host="{clickhouse_host}", port={clickhouse_port}, database="{clickhouse_database}",
        username="{clickhouse_user}", password="{clickhouse_password}",
    )
    yield client
    await client.close()
"""


def _redis(fixtures: str) -> Trivial:
    return Trivial("client", "assert client.incr('n') == 1", f"import redis\n{fixtures}", loop=None)


PEERS: Mapping[str, Peer] = {
    "by hand: rollback on one psycopg connection": Peer(
        _psycopg("""
@pytest.fixture(scope="session")
def kept():
    with psycopg.connect("{dsn}") as connection:
        yield connection

@pytest.fixture
def connection(kept):
    yield kept
    kept.rollback()
""")
    ),
    "by hand: rollback on one asyncpg connection": Peer(
        _asyncpg(
            """
@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kept():
    connection = await asyncpg.connect("{dsn}")
    yield connection
    await connection.close()

@pytest_asyncio.fixture
async def connection(kept):
    transaction = kept.transaction()
    await transaction.start()
    yield kept
    await transaction.rollback()
""",
            "session",
        )
    ),
    "by hand: rollback, an asyncpg connection per test": Peer(
        _asyncpg(
            """
@pytest_asyncio.fixture
async def connection():
    connection = await asyncpg.connect("{dsn}")
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()
""",
            "function",
        )
    ),
    "by hand: CREATE DATABASE … TEMPLATE, connect, DROP": Peer(
        _psycopg("""
@pytest.fixture(scope="session")
def admin():
    with psycopg.connect("{admin}", autocommit=True) as connection:
        yield connection

@pytest.fixture
def connection(admin, n):
    name = f"by_hand_{{os.getpid()}}_{{n}}"
    admin.execute(f"CREATE DATABASE {{name}} TEMPLATE {template}")
    with psycopg.connect("{dsn}", dbname=name, options="-c search_path=auth,backend,public") as connection:
        yield connection
    admin.execute(f"DROP DATABASE {{name}} WITH (FORCE)")
""")
    ),
    "pytest-postgresql, noproc": Peer(
        _psycopg("""
from pytest_postgresql import factories

def load(host, port, user, dbname, password, **_):
    with psycopg.connect(host=host, port=port, user=user, dbname=dbname, password=password) as connection:
        connection.execute("CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY, email text UNIQUE)")
        for n in range(20):
            connection.execute(f"CREATE TABLE t{{n}} (id int PRIMARY KEY, v text UNIQUE)")

server = factories.postgresql_noproc(
    host="{host}", port={port}, user="{user}", password="{password}", dbname=f"peer_{{os.getpid()}}", load=[load],
)
connection = factories.postgresql("server")
"""),
        package="pytest-postgresql",
    ),
    "by hand: FLUSHDB on one redis-py client": Peer(
        _redis("""
@pytest.fixture(scope="session")
def kept():
    number = 1 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    with redis.Redis(host="{redis_host}", port={redis_port}, password="{redis_password}", db=number) as client:
        yield client

@pytest.fixture
def client(kept):
    yield kept
    kept.flushdb()
"""),
        service="redis",
    ),
    # It empties all databases of the server behind each test, so that two workers cannot share one.
    "pytest-redis, noproc": Peer(
        _redis("""
from pytest_redis import factories

server = factories.redis_noproc(host="{redis_host}", port={redis_port}, password="{redis_password}")
client = factories.redisdb("server")
"""),
        service="redis",
        package="pytest-redis",
        workers=("0",),
    ),
    "by hand: one clickhouse-connect client, 1 SELECT, nothing isolated": Peer(
        Trivial("client", "assert (await client.query('SELECT 1')).result_rows == [(1,)]", _CLICKHOUSE),
        service="clickhouse",
    ),
    "by hand: CREATE DATABASE, CREATE TABLE … CLONE AS, 1 INSERT, DROP": Peer(
        Trivial(
            "client, name",
            """await client.command(f"INSERT INTO {name}.user_events (event_type) VALUES ('mine')")""",
            f"""{_CLICKHOUSE}
@pytest_asyncio.fixture(loop_scope="session")
async def name(client, n):
    name = f"by_hand_{{{{os.getpid()}}}}_{{{{n}}}}"
    await client.command(f"CREATE DATABASE {{{{name}}}}")
    for table in ("user_events", "agent_usage", "daily_events"):
        await client.command(f"CREATE TABLE {{{{name}}}}.{{{{table}}}} CLONE AS {{clickhouse_database}}.{{{{table}}}}")
    yield name
    await client.command(f"DROP DATABASE {{{{name}}}} SYNC")
""",
        ),
        service="clickhouse",
    ),
}


def python_with(package: str, directory: Path) -> str:
    """An interpreter that has ``package``: ours, or one of a virtual environment made for this run.

    Raises:
        RuntimeError: it cannot be installed here.
    """
    if not package:
        return sys.executable
    place = directory / f"venv-{package}"
    python = place / "bin" / "python"
    if python.exists():
        return str(python)
    needed = [package, "psycopg[binary]", "pytest", "pytest-xdist"]
    for command in ([sys.executable, "-m", "venv", str(place)], [str(python), "-m", "pip", "install", "-q", *needed]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"{package} cannot be installed: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
            )
    return str(python)


def per_test(peer: Peer, directory: Path, stack: NativeStack, redis: RedisEndpoint, *arguments: str) -> float:
    """Milliseconds of wall per test in the steady state. Peers have a Redis that they may empty."""
    endpoint, clickhouse = stack.state.endpoints.postgres, stack.state.endpoints.clickhouse
    ((template,),) = stack.postgres("SELECT datname FROM pg_database WHERE datname LIKE 'tf_template%'")
    values = {
        "dsn": endpoint.dsn, "admin": endpoint.dsn.replace(endpoint.database, "postgres"), "template": template,
        "host": endpoint.host, "port": endpoint.port, "user": endpoint.user, "password": endpoint.password.reveal(),
        "clickhouse_host": clickhouse.host, "clickhouse_port": clickhouse.port, "clickhouse_user": clickhouse.user,
        "clickhouse_password": clickhouse.password.reveal(), "clickhouse_database": clickhouse.database,
        "redis_host": redis.host, "redis_port": redis.port, "redis_password": redis.password.reveal(),
    }  # fmt: skip
    tests = replace(peer.tests, head=peer.tests.head.format(**values))
    environment = {name: value for name, value in stack.environment.items() if not name.startswith("PYTHON")}
    extra = () if peer.package else ("-p", "no:test_framework")
    python = python_with(peer.package, directory)
    return tests.per_test(directory / "peer", environment, *extra, *arguments, python=python)
