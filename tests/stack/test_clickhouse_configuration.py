"""The configuration of the official ClickHouse image, held against the engine itself: no registry is needed for that.

The image's entrypoint runs here with a stand-in for the server program that shows what it was given; what the
entrypoint prepared is then read by the embedded engine, which is the same code as the server's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack.compose_stack import PROJECT, run

IMAGE = PROJECT / "images" / "clickhouse"
# Characters that XML, shells and sed each treat in a way of their own.
PASSWORD = "canary-4711'\"\\&<>%s/$x `;#"

_SERVER = """#!/bin/sh
printf '%s\\n' "$@" >"$RECORD/arguments"
env >"$RECORD/environment"
"""
_ASK = """
import json, sys
from chdb import _chdb

connection = _chdb.connect(sys.argv[1])
rows = connection.query(sys.argv[2], "JSONCompactEachRow").bytes().decode()
print(json.dumps([json.loads(line) for line in rows.splitlines()]))
"""


@dataclass(frozen=True)
class Entrypoint:
    """The image's entrypoint, with the image's directories moved into a temporary one."""

    directory: Path

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def start(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLICKHOUSE_")}
        path = f"{self.directory / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**kept, "PATH": path, "RECORD": str(self.directory), **variables}
        return run("sh", str(self.directory / "entrypoint.sh"), *arguments, environment=environment)

    @property
    def arguments(self) -> list[str]:
        return (self.directory / "arguments").read_text().splitlines()

    @property
    def environment(self) -> dict[str, str]:
        lines = (self.directory / "environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line.startswith("CLICKHOUSE_"))

    def ask(self, query: str, **variables: str) -> list[list[str]]:
        """The answer of the engine under the prepared configuration."""
        config = self.home / "config" / "config.xml"
        done = subprocess.run(
            [sys.executable, "-c", _ASK, f"{self.home / 'data'}?config-file={config}", query],
            cwd=self.directory,
            env={**os.environ, **self.environment, "CLICKHOUSE_DATA_DIR": f"{self.home / 'data'}/", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answer: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
        return answer


@pytest.fixture
def entrypoint(tmp_path: Path) -> Entrypoint:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("config.xml", "users.xml"):
        shutil.copy(IMAGE / name, shipped)
    for name in ("config.d", "users.d"):
        shutil.copytree(IMAGE / name, shipped / name)
    script = (IMAGE / "entrypoint.sh").read_text("utf-8")
    for place, moved in (("/usr/local/share/clickhouse", shipped), ("/var/lib/clickhouse", tmp_path / "home")):
        assert place in script
        script = script.replace(place, str(moved))
    (tmp_path / "entrypoint.sh").write_text(script)
    (tmp_path / "home").mkdir()
    (tmp_path / "bin").mkdir()
    server = tmp_path / "bin" / "clickhouse-server"
    server.write_text(_SERVER)
    server.chmod(0o755)
    return Entrypoint(tmp_path)


def test_the_engine_accepts_the_whole_configuration(entrypoint: Entrypoint) -> None:
    done = entrypoint.start(
        "clickhouse-server",
        # The embedded engine logs in as this user, and without a password.
        CLICKHOUSE_USER="default",
        CLICKHOUSE_PASSWORD=PASSWORD,
        CLICKHOUSE_MAX_MEMORY_USAGE="700000000",
    )
    assert done.returncode == 0, done.stderr
    empty = hashlib.sha256(b"").hexdigest()
    query = """
        SELECT name, value FROM system.settings WHERE name IN ('max_memory_usage', 'mutations_sync', 'max_threads')
        UNION ALL
        SELECT name, value FROM system.server_settings WHERE name IN ('max_server_memory_usage', 'background_pool_size')
    """
    assert dict(entrypoint.ask(query, CLICKHOUSE_PASSWORD_SHA256=empty)) == {
        "max_memory_usage": "700000000",
        "mutations_sync": "2",
        "max_threads": "2",
        "max_server_memory_usage": "2400000000",
        "background_pool_size": "2",
    }


def test_the_user_of_the_environment_is_the_only_one(entrypoint: Entrypoint) -> None:
    assert entrypoint.start(CLICKHOUSE_USER="some-user", CLICKHOUSE_PASSWORD=PASSWORD).returncode == 0
    with pytest.raises(AssertionError, match="default: Authentication failed"):
        entrypoint.ask("SELECT 1")


def test_the_password_is_handed_on_as_its_digest_alone(entrypoint: Entrypoint) -> None:
    assert entrypoint.start("clickhouse-server", CLICKHOUSE_PASSWORD=PASSWORD).returncode == 0
    assert entrypoint.environment["CLICKHOUSE_PASSWORD_SHA256"] == hashlib.sha256(PASSWORD.encode()).hexdigest()
    everything = "\n".join([*entrypoint.arguments, *entrypoint.environment.values()])
    everything += "".join(path.read_text() for path in entrypoint.home.rglob("*") if path.is_file())
    assert "canary" not in everything


def test_the_configuration_is_closed_to_others(entrypoint: Entrypoint) -> None:
    assert entrypoint.start(CLICKHOUSE_PASSWORD=PASSWORD).returncode == 0
    modes = [path.stat().st_mode for path in (entrypoint.home / "config").rglob("*")]
    assert modes
    assert not any(mode & (stat.S_IRWXG | stat.S_IRWXO) for mode in modes)


def test_flags_of_the_command_are_added_behind_ours(entrypoint: Entrypoint) -> None:
    assert entrypoint.start("clickhouse-server", "--mark_cache_size=1", CLICKHOUSE_PASSWORD=PASSWORD).returncode == 0
    config = entrypoint.home / "config" / "config.xml"
    assert entrypoint.arguments == [f"--config-file={config}", "--", "--tcp_port=9000", "--mark_cache_size=1"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CLICKHOUSE_PASSWORD": ""}, "CLICKHOUSE_PASSWORD is empty"),
        ({"CLICKHOUSE_PASSWORD": PASSWORD, "CLICKHOUSE_USER": "a</x>"}, "CLICKHOUSE_USER must be letters"),
        ({"CLICKHOUSE_PASSWORD": PASSWORD, "CLICKHOUSE_USER": "1a"}, "CLICKHOUSE_USER must be letters"),
    ],
)
def test_values_that_cannot_work_are_refused(entrypoint: Entrypoint, variables: dict[str, str], message: str) -> None:
    done = entrypoint.start(**variables)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (entrypoint.directory / "arguments").exists()
