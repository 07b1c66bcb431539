"""The tables that are there when a test begins: from the SQL files that seed the stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

__all__ = ["Column", "Schema", "Table", "load_schema", "shipped_schema"]

SHIPPED = Path(__file__).resolve().parents[2] / "fixtures"
SEARCH_PATH = ("auth", "backend", "analytics", "public", "")


@dataclass(frozen=True)
class Column:
    """``needed``: an INSERT must give it. ``parent``: table and column that it refers to."""

    name: str
    type: str
    needed: bool = False
    parent: tuple[str, str] | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    name: str
    columns: Mapping[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class Schema:
    """Tables by their full names."""

    tables: Mapping[str, Table] = field(default_factory=dict)

    def find(self, name: str) -> Table | None:
        """The table that an unqualified name means."""
        name = name.lower()
        if "." in name:
            return self.tables.get(name)
        return next(
            (self.tables[key] for s in SEARCH_PATH if (key := f"{s}.{name}" if s else name) in self.tables), None
        )


@lru_cache(maxsize=4)
def shipped_schema(service: str) -> Schema:
    """What the package's own seed has for ``postgres`` or ``clickhouse``."""
    return load_schema(sorted((SHIPPED / service).glob("*.sql")), dialect=service)


def load_schema(files: Iterable[Path], *, dialect: str = "postgres") -> Schema:
    """The tables that SQL files create; what cannot be read is passed over."""
    tables: dict[str, Table] = {}
    for file in files:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for table in _tables(text, dialect):
            tables[table.name.lower()] = table
    return Schema(tables)


def _tables(text: str, dialect: str) -> list[Table]:
    import logging

    import sqlglot
    from sqlglot import exp

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it keeps as text
    found = []
    for part in text.split(";"):
        if "create table" not in part.lower():
            continue
        try:
            tree = sqlglot.parse_one(part, read="postgres" if dialect == "postgres" else "clickhouse")
        except (sqlglot.errors.SqlglotError, RecursionError):
            continue
        if isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema):
            table = tree.this.this
            name = f"{table.db}.{table.name}" if table.db else table.name
            columns = {each.name: _column(each) for each in tree.this.expressions if isinstance(each, exp.ColumnDef)}
            found.append(Table(name, columns))
    return found


def _column(node: object) -> Column:
    from sqlglot import exp

    assert isinstance(node, exp.ColumnDef)
    kinds = [each.args.get("kind") for each in node.args.get("constraints") or ()]
    has_default = any(
        isinstance(each, exp.DefaultColumnConstraint | exp.GeneratedAsIdentityColumnConstraint) for each in kinds
    )
    strict = any(
        (isinstance(each, exp.NotNullColumnConstraint) and not each.args.get("allow_null"))
        or isinstance(each, exp.PrimaryKeyColumnConstraint)
        for each in kinds
    )
    kind = str(node.args["kind"].sql("postgres")).lower() if node.args.get("kind") else "text"
    parent = None
    choices: tuple[str, ...] = ()
    for each in kinds:
        if isinstance(each, exp.Reference) and isinstance(each.this, exp.Schema):
            other = each.this.this
            parent = (f"{other.db}.{other.name}" if other.db else other.name, each.this.expressions[0].name)
        if isinstance(each, exp.CheckColumnConstraint) and isinstance(each.this, exp.In):
            choices = tuple(str(option.this) for option in each.this.expressions)
    return Column(node.name, kind, strict and not has_default and "serial" not in kind, parent, choices)
