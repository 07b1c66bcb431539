"""PostgreSQL: the statements that put rows where a test needs them, and assertions on rows."""

from __future__ import annotations

from collections.abc import Sequence

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.schema import Column, Table
from test_framework.migration.rewriter.sql import Statement
from test_framework.migration.rewriter.sql_data import Need, SqlSeeds, same
from test_framework.migration.rewriter.sql_types import column_type, fits
from test_framework.migration.rewriter.values import UNKNOWN, Const, Sym, Value, emit, repr_of
from test_framework.migration.rewriter.wanted import Client, Seeds, is_any, said

__all__ = ["sql_assertion", "sql_lines", "sql_not_called", "sql_total"]

_SOMETHING = {"text": "'something'", "int": "0", "bigint": "0", "date": "current_date", "uuid": "gen_random_uuid()"}


def sql_lines(seeds: SqlSeeds) -> Seeds:
    """All statements, each with the call that needs it. Raises CannotTell."""
    found = Seeds()
    for need in seeds.needs.values():
        table = seeds.schema.find(need.name)
        if table is None or not _is_row_of(seeds, need, table):
            _make_table(seeds, need, found, known=table is not None)
        else:
            _fill_table(seeds, need, table, found)
    return found


def _is_row_of(seeds: SqlSeeds, need: Need, table: Table) -> bool:
    if any(name not in table.columns for name in need.samples):
        return False
    if any(not fits(value, table.columns[name]) for name, values in need.samples.items() for value in values):
        return False
    if need.star and seeds.exact and set(table.columns) - {name for _, row in need.rows for name in row}:
        return False
    if any(seeds.pinned(value) for value in need.defaults.values()):
        return False
    return not need.several or all(_told(row, table) for _, row in need.rows)


def _told(row: dict[str, Value], table: Table) -> bool:
    return all(name in row for name, column in table.columns.items() if column.needed)


def _fill_table(seeds: SqlSeeds, need: Need, table: Table, found: Seeds) -> None:
    if need.everything:
        found.add(need.first, seeds.client.call(f'execute("DELETE FROM {need.name}")'))
    for number, (op, row) in enumerate(need.rows):
        _parents(seeds, op, row, table, found)
        literal = {
            name: _something(column, number)
            for name, column in table.columns.items()
            if column.needed and name not in row
        }
        found.add(op, seeds.client.call(_insert(need.name, row, literal)))
    for row in need.inserted:
        _parents(seeds, need.first, row, table, found)


def _parents(seeds: SqlSeeds, op: Op, row: dict[str, Value], table: Table, found: Seeds) -> None:
    """Rows that this one refers to."""
    for name, value in row.items():
        column = table.columns.get(name)
        if column is None or column.parent is None or (isinstance(value, Const) and value.value is None):
            continue
        parent, key = column.parent
        if any(
            same(value, other.get(key, UNKNOWN))
            for need in seeds.needs.values()
            for _, other in need.rows
            if seeds.schema.find(need.name) is seeds.schema.find(parent)
        ):
            continue
        above = seeds.schema.find(parent)
        if above is None:
            continue
        literal = {
            each.name: _something(each, len(found.lines))
            for each in above.columns.values()
            if each.needed and each.name != key
        }
        found.add(op, seeds.client.call(_insert(parent, {key: value}, literal, more=" ON CONFLICT DO NOTHING")))


def _something(column: Column, number: int) -> str:
    """A value for a column that must have one, of which the mock said nothing."""
    if column.parent is not None:
        return f"(SELECT {column.parent[1]} FROM {column.parent[0]} LIMIT 1)"
    if column.choices:
        return f"'{column.choices[0]}'"
    if column.name == "email":
        return f"'somebody-{number + 1}@example.com'"
    if column.type == "text":
        return f"'{column.name} {number + 1}'"
    for kind, text in _SOMETHING.items():
        if column.type.startswith(kind):
            return text
    raise CannotTell(f"{column.name} needs a value of which the mock said nothing")


def _insert(table: str, row: dict[str, Value], literal: dict[str, str] | None = None, more: str = "") -> str:
    literal = literal or {}
    if not row and not literal:
        return f'execute("INSERT INTO {table} DEFAULT VALUES")'
    names = ", ".join([*row, *literal])
    places = ", ".join([*(f"${n}" for n, _ in enumerate(row, 1)), *literal.values()])
    given = "".join(f", {_made(value, name)}" for name, value in row.items())
    return f'execute("INSERT INTO {table} ({names}) VALUES ({places}){more}"{given})'


def _made(value: Value, name: str) -> str:
    """A value in words; one that is new each time is made here, since nobody else names it."""
    if isinstance(value, Sym) and not value.pure and value.text:
        return value.text
    return said(value, f"the value of {name}")


def _insert_several(table: str, row: dict[str, Value], times: int) -> str:
    """The same row as often as the mock counted it."""
    if times == 1:
        return _insert(table, row)
    if not row:
        return f'execute("INSERT INTO {table} SELECT FROM generate_series(1, {times})")'
    names, places = ", ".join(row), ", ".join(f"${n}" for n, _ in enumerate(row, 1))
    values = ", ".join(said(value, f"the value of {name}") for name, value in row.items())
    return f'executemany("INSERT INTO {table} ({names}) VALUES ({places})", [({values},)] * {times})'


def _make_table(seeds: SqlSeeds, need: Need, found: Seeds, *, known: bool) -> None:
    if known and (seeds.shared or "." in need.name):
        raise CannotTell(f"what the mock said is no row of {need.name}: a person must choose other values")
    if not known and "." in need.name:
        raise CannotTell(f"there is no table {need.name} in the seed")
    need.made = True
    columns = []
    order = [*{name: None for _, row in need.rows for name in row}, *need.samples]
    for name in dict.fromkeys(order):
        kind = column_type(name, need.samples.get(name, []))
        default = f" DEFAULT {_literal(need.defaults[name])}" if name in need.defaults else ""
        columns.append(f"{name} {kind}{default}")
    kind = "TEMPORARY TABLE" if known else "TABLE"
    text = f"CREATE {kind} {need.name} ({', '.join(columns)})"
    found.add(need.first, seeds.client.call(f"execute({'f' if '{' in text else ''}{repr_of(text)})"))
    plain = [row for _, row in need.rows]
    for op, row in need.rows:
        found.add(op, seeds.client.call(_insert_several(need.name, row, plain.count(row))))


def _literal(value: Value) -> str:
    if isinstance(value, Const):
        if value.value is None:
            return "NULL"
        if isinstance(value.value, bool):
            return "true" if value.value else "false"
        if isinstance(value.value, int | float):
            return str(value.value)
        if isinstance(value.value, str) and "\\" not in value.value and '"' not in value.value:
            return "'" + value.value.replace("'", "''") + "'"
        return f"'{value.value}'"
    if isinstance(value, Sym) and value.src is not None and value.pytype in ("UUID", "str"):
        return f"'{{{value.src}}}'"
    raise CannotTell("what the server shall give by itself cannot be told from the source")


def _counting(client: Client, table: str, where: dict[str, Value], filled: Sequence[str] = ()) -> str:
    args, parts = "", [f"{name} IS NOT NULL" for name in filled]
    number = 0
    for name, value in where.items():
        if isinstance(value, Const) and value.value is None:
            parts.append(f"{name} IS NULL")
            continue
        number += 1
        parts.append(f"{name} = ${number}")
        args += f", {said(value, f'the value of {name}')}"
    condition = f" WHERE {' AND '.join(parts)}" if parts else ""
    return client.call(f'fetchval("SELECT count(*) FROM {table}{condition}"{args})')


def _known(values: dict[str, Value]) -> dict[str, Value]:
    return {
        name: value
        for name, value in values.items()
        if value is not UNKNOWN and not is_any(value) and emit(value) is not None
    }


def sql_assertion(statement: Statement, seeds: SqlSeeds) -> list[str]:
    """An assertion that holds when the statement was executed. Raises CannotTell."""
    if statement.shape == "constant":
        raise CannotTell("a query without a table leaves nothing that could be asserted")
    client, table = seeds.client, statement.table
    if statement.verb == "insert":
        known = _known(statement.given)
        if not known:
            raise CannotTell("nothing is known of the row that was inserted")
        return [f"assert {_counting(client, table, known)} == {max(seeds.matching(table, known), 1)}"]
    if statement.verb == "delete":
        return [f"assert {_counting(client, table, _known(statement.where))} == 0"]
    if statement.verb == "update":
        known = _known(statement.given)
        if not known:
            # What was set cannot be named; that something was set can be seen.
            where = _known(statement.where)
            names = sorted(statement.given)
            if not names:
                raise CannotTell("the server computes all that UPDATE sets")
            return [f"assert {_counting(client, table, where, filled=names)} == {seeds.matching(table, where)}"]
        where = {name: value for name, value in _known(statement.where).items() if name not in known}
        return [f"assert {_counting(client, table, {**where, **known})} == {seeds.matching(table, {**where, **known})}"]
    where = _known(statement.where)
    if statement.others:
        raise CannotTell("a person must say which rows the query finds")
    return [f"assert {_counting(client, table, where)} == {seeds.matching(table, where)}"]


def sql_total(ops: Sequence[Op], seeds: SqlSeeds) -> list[str]:
    """How many rows there are when all of ``ops`` inserted into one table of the test's own."""
    statements = [statement for op in ops for statement in seeds.read(op)]
    tables = {statement.table for statement in statements}
    if (
        len(tables) != 1
        or any(each.verb != "insert" or each.conflict for each in statements)
        or any(op.conditional or op.raises for op in ops)
    ):
        return []
    table = tables.pop()
    need = seeds.needs[table.lower()]
    if not need.made or need.deleted:
        return []
    return [f"assert {_counting(seeds.client, table, {})} == {seeds.matching(table, {})}"]


def sql_not_called(verbs: Sequence[Statement], seeds: SqlSeeds) -> tuple[list[str], list[str]]:
    """Statements before, and assertions after, when none of ``verbs`` was sent."""
    before: list[str] = []
    after: list[str] = []
    for statement in verbs:
        table = statement.table
        if table.lower() in seeds.needs:
            after.append(f"assert {_counting(seeds.client, table, {})} == {len(seeds.needs[table.lower()].rows)}")
            if seeds.schema.find(table) is not None:
                raise CannotTell(f"that nothing was sent to {table} cannot be seen among its other rows")
        elif seeds.schema.find(table) is None:
            asked = f'fetchval("SELECT to_regclass({_quoted(table)})")'
            after.append(f"assert {seeds.client.call(asked)} is None")
        else:
            before.append(seeds.client.call(f'execute("DELETE FROM {table}")'))
            after.append(f"assert {_counting(seeds.client, table, {})} == 0")
    if not after:
        raise CannotTell("which table would have been used cannot be told from the source")
    return list(dict.fromkeys(before)), list(dict.fromkeys(after))


def _quoted(name: str) -> str:
    return f"'{name}'"
