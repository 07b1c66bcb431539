"""What the plugin costs: pytest's start with nothing to do, and trivial tests of every kind, in runs of pytest."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import plugin_peers
from benchmarks.common import Section, compiled_once, interleaved, machine, median, table
from benchmarks.plugin_peers import PEERS, Peer
from benchmarks.plugin_runs import N, Trivial, pytest, seeded
from tests.plugin.harness import without_services
from tests.servers import data_directory, run_redis

STARTS = 15
ROUNDS = 2
UNUSED = 60  # milliseconds that the plugin may add to pytest's start
LOOPS = ("session", "function")

_INSERT = "INSERT INTO users (email) VALUES ('mine@example.com')"
_COUNT = "SELECT count(*) FROM users WHERE email = 'mine@example.com'"
_PLAIN = ("postgres_savepoints = false",)


@dataclass(frozen=True)
class Case:
    """Trivial tests with ours.

    Args:
        aims: milliseconds per test, by the life of the event loop.
        two: the aim with two workers, a loop for the session.
        parts: so many fixtures share the figure.
    """

    tests: Trivial
    aims: Mapping[str, float] = field(default_factory=dict)
    two: float | None = None
    parts: int = 1


def _rollback(ini: tuple[str, ...] = ()) -> Trivial:
    body = f'await real_postgres.execute("{_INSERT}")\nassert await real_postgres.fetchval("{_COUNT}") == 1'
    return Trivial("real_postgres", body, ini=ini)


CASES: Mapping[str, Case] = {
    "real_postgres without savepoints, 1 INSERT + 1 count": Case(_rollback(_PLAIN), {"session": 1.0, "function": 6}),
    "real_postgres, 1 INSERT + 1 count": Case(_rollback(), {"session": 1.5, "function": 6}),
    "postgres_dsn, connect + 1 INSERT + 1 count": Case(
        Trivial(
            "postgres_dsn",
            f"""
            connection = await asyncpg.connect(postgres_dsn)
            await connection.execute("{_INSERT}")
            assert await connection.fetchval("{_COUNT}") == 1
            await connection.close()
            """,
            "import asyncpg",
        ),
        {"session": 20, "function": 20},
        two=11,
    ),
    "real_redis, 1 INCR": Case(
        Trivial("real_redis", "assert await real_redis.incr('n') == 1"), {"session": 0.6, "function": 1.8}
    ),
    "redis_url, a client per test, 1 INCR": Case(
        Trivial(
            "redis_url",
            "async with redis.asyncio.Redis.from_url(redis_url) as client:\n    assert await client.incr('n') == 1",
            "import redis.asyncio",
        ),
        {"session": 1.8, "function": 1.8},
    ),
    "real_clickhouse, 1 SELECT (from the pool)": Case(
        Trivial("real_clickhouse", "assert await real_clickhouse.execute('SELECT 1') == [(1,)]"), {"session": 3}
    ),
    "real_clickhouse, 1 INSERT (put back behind it)": Case(
        Trivial(
            "real_clickhouse",
            "await real_clickhouse.execute(\"INSERT INTO user_events (event_type) VALUES ('mine')\")",
        ),
        {"session": 15},
    ),
    "test_user": Case(Trivial("test_user"), {"session": 1, "function": 1}),
    "test_user … test_conversation, each of 4": Case(
        Trivial("test_conversation"), {"session": 1, "function": 1}, parts=4
    ),
}
_EMPTY = Case(Trivial())


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(directory: Path, *arguments: str) -> float:
    """Processor seconds, which a busy machine distorts less than those on the wall."""
    before = processor_seconds()
    pytest(directory, without_services(os.environ), *arguments)
    return processor_seconds() - before


def starts(directory: Path) -> Section:
    directory.joinpath("pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    directory.joinpath("test_nothing.py").write_text("def test_nothing():\n    pass\n")
    found = interleaved(
        {
            "with the plugin, unused": lambda: start(directory),
            "without it": lambda: start(directory, "-p", "no:test_framework"),
        },
        STARTS,
    )
    used, without = (median(values) * 1000 for values in found.values())
    rows = [(name, f"{median(values) * 1000:.0f}", "") for name, values in found.items()]
    difference = ("difference", f"{used - without:.0f}", f"≤ {UNUSED}")
    body = table(("pytest with one empty test", "processor ms", "aim"), [*rows, difference])
    return Section("Plugin: pytest's start", f"{machine()}\n\n{STARTS} starts each, interleaved; medians.\n\n{body}")


def totals(directory: Path) -> Section:
    """Every fixture, with both lives of an event loop."""

    def run(case: Case, loop: str) -> Callable[[], float]:
        return lambda: replace(case.tests, loop=loop).per_test(directory, environment)

    with seeded(directory) as (_, environment):
        actions = {
            f"{name}|{loop}": run(case, loop) for name, case in {"empty": _EMPTY, **CASES}.items() for loop in LOOPS
        }
        best = {name: min(values) for name, values in interleaved(actions, ROUNDS).items()}
    rows = [
        (name, *(cell for loop in LOOPS for cell in _cells(best, name, loop, case.aims.get(loop), case.parts)))
        for name, case in CASES.items()
    ]
    empty = ", ".join(f"{best[f'empty|{loop}']:.2f} ms with a loop per {loop}" for loop in LOOPS)
    text = f"Wall per test over {N} tests in a row, less that of an empty one ({empty}); the faster of {ROUNDS} runs."
    header = ("fixture and what the test does", *(word for loop in LOOPS for word in (f"loop per {loop}, ms", "aim")))
    return Section("Plugin: trivial tests", f"{machine()}\n\n{text}\n\n{table(header, rows)}")


def _cells(best: Mapping[str, float], name: str, column: str, aim: float | None, parts: int = 1) -> tuple[str, str]:
    """A figure, and what it should be at most."""
    total = (best[f"{name}|{column}"] - best[f"empty|{column}"]) / parts
    return f"{total:.2f}", "" if aim is None else f"≤ {aim:g}"


_COMPARED = {
    "postgres": tuple(name for name in CASES if "postgres" in name),
    "redis": tuple(name for name in CASES if "redis" in name),
    "clickhouse": tuple(name for name in CASES if "clickhouse" in name),
}
_WORKERS = ("0", "2")


def _available(directory: Path, reasons: list[str]) -> dict[str, Peer]:
    """The peers that can be installed here; of the others, why not."""
    found = {}
    for name, peer in PEERS.items():
        try:
            plugin_peers.python_with(peer.package, directory)
            found[name] = peer
        except RuntimeError as error:
            reasons.append(str(error))
    return found


def compared(directory: Path) -> Section:
    """Ours and the peers by turns, with one worker and with two; each less an empty test with the same plugins."""
    reasons = [
        "testcontainers: a container per test or worker is another order of magnitude, and needs an engine",
        "pytest-redis with two workers: it empties all databases behind each test, so that tests of the other fail",
    ]
    peers = _available(directory, reasons)
    empties = {f"empty {peer.kind}": peer.empty for peer in peers.values()}
    ours = {"empty": _EMPTY, **{name: CASES[name] for names in _COMPARED.values() for name in names}}
    with seeded(directory) as (stack, environment), data_directory("redis") as place, run_redis(place) as redis:

        def run(case: Case, workers: str) -> Callable[[], float]:
            return lambda: case.tests.per_test(directory, environment, "-n", workers)

        def run_peer(peer: Peer, workers: str) -> Callable[[], float]:
            return lambda: plugin_peers.per_test(peer, directory, stack, redis, "-n", workers)

        actions = {f"{name}|{workers}": run(case, workers) for workers in _WORKERS for name, case in ours.items()}
        for name, peer in {**empties, **peers}.items():
            actions.update({f"{name}|{workers}": run_peer(peer, workers) for workers in peer.workers})
        best = {name: min(values) for name, values in interleaved(actions, ROUNDS).items()}
    rows = []
    for service, names in _COMPARED.items():
        for name in names:
            aims = (CASES[name].aims["session"], CASES[name].two)
            rows.append(
                (f"**{name}**", *(c for w, aim in zip(_WORKERS, aims, strict=True) for c in _cells(best, name, w, aim)))
            )
        for name, peer in peers.items():
            if peer.service == service:
                figures = [
                    f"{best[f'{name}|{w}'] - best[f'empty {peer.kind}|{w}']:.2f}" if w in peer.workers else ""
                    for w in _WORKERS
                ]
                rows.append((name, figures[0], "", figures[1], ""))
    text = (
        f"One INSERT and one count, one INCR, or as said; {N} tests, wall per test less that of an empty one with the"
        f" same plugins, the faster of {ROUNDS} runs by turns. Ours (bold) with a loop per session."
    )
    body = table(("", "one worker, ms", "aim", "-n 2, ms", "aim"), rows)
    left = "\n".join(f"- not measured: {reason}" for reason in reasons)
    return Section("Plugin: beside its peers", f"{machine()}\n\n{text}\n\n{body}\n\n{left}")


def measure() -> Iterator[Section]:
    for part in (starts, totals, compared):
        with tempfile.TemporaryDirectory() as name:
            yield part(Path(name))


if __name__ == "__main__":
    wanted = {"starts": starts, "totals": totals, "compared": compared}
    for chosen in sys.argv[1:] or wanted:
        with tempfile.TemporaryDirectory() as place, compiled_once():
            section = wanted[chosen](Path(place))
        print(f"## {section.title}\n\n{section.body}\n", flush=True)
