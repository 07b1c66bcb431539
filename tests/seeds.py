"""Fixture folders and plans for tests about seeding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from test_framework.seeding import Plan, build_plan

__all__ = ["Seeds", "holding", "plan_of", "small_plan", "write_files"]


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """The settings a plan is made from, and nothing else."""

    project_dir: Path
    fixtures_dirs: tuple[Path, ...] = ()
    fixtures_mode: str = "replace"
    migrate_command: str | None = None
    migrate_paths: tuple[Path, ...] = ()
    seed_callable: str | None = None


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write ``files`` by their path below ``folder``, and return it. A path that ends with a slash is a folder."""
    for name, content in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def plan_of(folder: Path, files: Mapping[str, str | bytes], *services: str) -> Plan:
    """The plan of ``files``, for ``services``, or for all with nothing shipped."""
    write_files(folder, {"postgres/": "", "redis/": "", "clickhouse/": "", **files})
    plan = build_plan(Seeds(project_dir=folder, fixtures_dirs=(folder,)))
    return plan.only(*services) if services else plan


def small_plan(folder: Path, value: int) -> Plan:
    """One table, one key, one table, all holding ``value``."""
    table = "CREATE TABLE t (v Int32) ENGINE = MergeTree ORDER BY v"
    return plan_of(
        folder,
        {
            "postgres/01_t.sql": f"CREATE TABLE t (v int PRIMARY KEY);\nINSERT INTO t VALUES ({value});",
            "redis/01_k.yaml": f"k: {{type: string, value: {value}}}",
            "clickhouse/01_t.sql": f"{table};\nINSERT INTO t VALUES ({value});",
        },
    )


def holding(value: int) -> dict[str, object]:
    """What :func:`tests.integration.seeding.looking.snapshot` finds when that plan is loaded."""
    return {"postgres": [(value,)], "redis": {"k": str(value)}, "clickhouse": [(value,)]}
