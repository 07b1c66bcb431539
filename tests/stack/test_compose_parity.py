"""Our reading of the compose files is Compose's own reading, for everything the native backend takes from them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from test_framework.stack.definition import ServiceDefinition, load_definition
from test_framework.stack.shipped import shipped_directory

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

OVERRIDES = {
    "none": "",
    "comment": "# nothing\n",
    "ports override": 'services: {test-postgres: {ports: !override ["15432:5432"]}}',
    "ports appended": 'services: {test-postgres: {ports: ["127.0.0.1:15432:5432"]}}',
    "ports reset": "services: {test-postgres: {ports: !reset []}}",
    "ports long form": (
        "services: {test-redis: {ports: !override [{target: 6379, published: '16381', host_ip: 127.0.0.1}]}}"
    ),
    "ports with protocol": 'services: {test-redis: {ports: !override ["127.0.0.1:16381:6379/tcp"]}}',
    "ports without host": 'services: {test-redis: {ports: !override ["16381:6379"]}}',
    "ports only target": 'services: {test-redis: {ports: !override ["6379"]}}',
    "port from variable": 'services: {test-redis: {ports: !override ["${NEW_PORT:-17000}:6379"]}}',
    "environment map": (
        "services: {test-postgres: {environment: {POSTGRES_SHARED_BUFFERS: 512MB, POSTGRES_WORK_MEM: 8MB}}}"
    ),
    "environment list": "services: {test-postgres: {environment: [POSTGRES_SHARED_BUFFERS=512MB, EXTRA=a=b]}}",
    "environment number": "services: {test-clickhouse: {environment: {CLICKHOUSE_MAX_MEMORY_USAGE: 2000000000}}}",
    "environment boolean": "services: {test-clickhouse: {environment: {SOME_FLAG: true}}}",
    "environment quoted boolean": "services: {test-clickhouse: {environment: {SOME_FLAG: 'yes'}}}",
    "environment override": "services: {test-clickhouse: {environment: !override {ONLY: this}}}",
    "environment reset one": "services: {test-postgres: {environment: {POSTGRES_WORK_MEM: !reset null}}}",
    "command text": "services: {test-redis: {command: redis-server --maxmemory 1gb --maxmemory-policy allkeys-lru}}",
    "command quoted": "services: {test-redis: {command: redis-server --requirepass 'a b \"c\"'}}",
    "command list": "services: {test-redis: {command: [redis-server, --maxmemory, 1gb]}}",
    "command reset": "services: {test-redis: {command: !reset null}}",
    "memory limit": "services: {test-postgres: {mem_limit: 3g}}",
    "memory limit bytes": "services: {test-postgres: {mem_limit: 3221225472}}",
    "memory limit fraction": "services: {test-redis: {mem_limit: 1.5gb}}",
    "interpolation chain": (
        "services: {test-postgres: {environment: {X: '${A:-${B:-c}}', Y: '$$literal', Z: '${HOME_LIKE-dash}'}}}"
    ),
    "interpolation plus": "services: {test-postgres: {environment: {X: '${NEW_PORT:+set}', Y: '${UNSET_THING:+set}'}}}",
    "anchor": "x-e: &e {E1: one}\nservices: {test-postgres: {environment: {<<: *e, E2: two}}}",
    "tmpfs list": "services: {test-redis: {tmpfs: !override ['/data:size=300m,mode=0700']}}",
    "tmpfs size": "services: {test-postgres: {volumes: [{type: tmpfs, target: /data, tmpfs: {size: 2g}}]}}",
    "tmpfs in bytes": "services: {test-redis: {volumes: [{type: tmpfs, target: /data, tmpfs: {size: 134217728}}]}}",
    "another volume": "services: {test-redis: {volumes: ['/tmp:/host:ro']}}",
    "two services": "services: {test-redis: {command: redis-server --hz 1}, test-postgres: {environment: {A: b}}}",
}
ENVIRONMENTS = [{}, {"NEW_PORT": "18000", "TEST_POSTGRES_PORT": "0", "B": "bee"}]


def compose_reads(directory: Path, environment: dict[str, str]) -> dict[str, Any]:
    files = [shipped_directory() / "docker-compose.test.yml", directory / "docker-compose.test.override.yml"]
    arguments = [word for file in files for word in ("-f", str(file))]
    done = subprocess.run(
        ["docker", "compose", *arguments, "config", "--format", "json"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=directory,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def ours(service: ServiceDefinition) -> dict[str, Any]:
    return {
        "environment": dict(service.environment),
        "command": list(service.command),
        "ports": [(port.target, port.published, port.host_ip) for port in service.ports],
        "tmpfs": sorted((each.target, each.size) for each in service.tmpfs),
        "mem_limit": service.memory_limit,
    }


def theirs(block: dict[str, Any]) -> dict[str, Any]:
    ports = [
        (row["target"], int(row.get("published") or 0), row.get("host_ip", "0.0.0.0")) for row in block.get("ports", [])
    ]
    short = [item.partition(":") for item in block.get("tmpfs", [])]
    sizes = {target: dict(o.partition("=")[::2] for o in options.split(",")) for target, _, options in short}
    mounts = [row for row in block.get("volumes", []) if row["type"] == "tmpfs"]
    tmpfs = [(target, parse_bytes(options.get("size"))) for target, options in sizes.items()]
    tmpfs += [(row["target"], parse_bytes(row.get("tmpfs", {}).get("size"))) for row in mounts]
    limit = block.get("mem_limit") or block.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory")
    return {
        # "config" writes a dollar as two, so that its output can be read as a compose file again.
        "environment": {n: v.replace("$$", "$") for n, v in block.get("environment", {}).items() if v is not None},
        "command": block.get("command") or [],
        "ports": ports,
        "tmpfs": sorted(tmpfs),
        "mem_limit": int(limit) if limit else None,
    }


def parse_bytes(text: str | None) -> int | None:
    if text is None:
        return None
    unit = {"k": 1024, "m": 1024**2, "g": 1024**3}.get(text[-1].lower())
    return int(text[:-1]) * unit if unit else int(text)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=["plain", "with variables"])
@pytest.mark.parametrize("name", OVERRIDES)
def test_our_reading_is_composes_reading(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "docker-compose.test.override.yml").write_text(OVERRIDES[name])
    expected = compose_reads(tmp_path, environment)
    read = load_definition(tmp_path, {**os.environ, **environment})
    for service, block in expected.items():
        assert ours(read.services[service]) == theirs(block), service
