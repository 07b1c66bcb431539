"""One file by itself: its text to its facts."""

from __future__ import annotations

import ast
import gc
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from test_framework.migration.categories import certain, of_imports, of_layers
from test_framework.migration.collecting import Collector
from test_framework.migration.facts import FileFacts, RawUse, empty
from test_framework.migration.model import Category, Form
from test_framework.migration.pending import Pending
from test_framework.migration.scopes import Scope
from test_framework.migration.visitor import Visitor

__all__ = ["LARGEST", "analyse", "without_collector"]

LARGEST = 8 << 20
"""Bytes; a larger file is data, not a test."""
RECURSION = 12_000
"""Deepest nesting of calls while a file is read; a long chain of ``+`` or of methods nests one call for each."""
_HINT = re.compile(
    rb"mock|Mock|asynctest|monkey|Monkey|patch|sentinel|freez|fakeredis|FakeRedis|moto|responses|respx|httpretty"
    rb"|time_machine|yfakefs|sqlite|:memory:|getfixturevalue"
)
"""A file without any of these holds no use of its own, whatever it imports."""


def analyse(source: bytes, *, is_test: bool, replaced: dict[str, str] | None = None) -> FileFacts:
    """The facts of one file; never raises for what is in it.

    Args:
        is_test: functions called ``test…`` in it are tests.
        replaced: dotted names that other files give another meaning (``.compat.Fake`` is ``unittest.mock.Mock``).
    """
    lines = _lines(source)
    if len(source) > LARGEST:
        return empty(lines=lines, error=f"larger than {LARGEST >> 20} MiB")
    try:
        with without_collector(), _room():
            tree = _parse(source)
            return _facts(tree, source, lines=lines, is_test=is_test, replaced=replaced)
    except (SyntaxError, ValueError, LookupError) as error:
        return empty(lines=lines, error=_said(error, source))
    except (RecursionError, MemoryError):
        return empty(lines=lines, error="nested too deeply to be read")


def _parse(source: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the file's own literals deserve is not our caller's concern
        return ast.parse(source)


@contextmanager
def without_collector() -> Iterator[None]:
    """No collection of garbage meanwhile: it would look through many objects again and again, all of them live."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _room() -> Iterator[None]:
    """Deep recursion allowed."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _said(error: Exception, source: bytes) -> str:
    if b"\0" in source[:LARGEST]:
        return "holds null bytes"
    if not isinstance(error, SyntaxError):
        return f"cannot be decoded: {error}"
    where = f"line {error.lineno}: " if error.lineno else ""
    return f"{where}{error.msg}"


def _lines(source: bytes) -> int:
    count = source.count(b"\n") or source.count(b"\r")
    return count + (1 if source and not source.endswith((b"\n", b"\r")) else 0)


def _facts(tree: ast.Module, source: bytes, *, lines: int, is_test: bool, replaced: dict[str, str] | None) -> FileFacts:
    visitor = Visitor(tree, replaced=replaced)
    if replaced or _HINT.search(source):
        visitor.run()
    columns = Columns(source)
    _finish(visitor)
    collector = Collector(visitor, columns, is_test=is_test)
    collector.run()
    uses = [_raw(use, columns) for use in visitor.uses]
    uses.sort(key=lambda use: (use.line, use.column))
    names = collector.names()
    visitor.release()
    return FileFacts(
        collector.tests, lines, None, uses, collector.requests, collector.fixtures, collector.functions, names,
        visitor.module.stars, collector.bases, collector.plugins,
    )  # fmt: skip


def _finish(visitor: Visitor) -> None:
    """What is only known at the end: how patchers were used, what was asked of mocks, what the file imports."""
    dotted = {one.dotted for bindings in visitor.module.bindings.values() for one in bindings if one.dotted}
    imports = of_imports(sorted(dotted))
    holders: dict[str, list[Pending]] = {}
    for use in visitor.uses:
        use.evidence.imports = imports
        if use.scope.kind == "function" and not use.scope.name.startswith(("test", "setUp", "setup")):
            use.evidence.around = use.scope.name
        for _, name in use.holders:
            holders.setdefault(name, []).append(use)
    for use in visitor.uses:
        _place(use, holders)
    _link(visitor, holders)
    for scope, name, form in visitor.started:
        for use in _held(holders, name, scope):
            if use.family == "patch" and use.form is Form.CALL:
                use.form = form
    for scope, name, attribute in visitor.attributes:
        for use in _held(holders, name, scope):
            use.evidence.attributes.append(attribute)
    _support(visitor, of_layers(dotted))


def _link(visitor: Visitor, holders: dict[str, list[Pending]]) -> None:
    """Make mocks that lie in a variable part of the mock that the variable is put into."""
    for scope, name, into in visitor.links:
        outer = into if isinstance(into, Pending) else next(iter(_held(holders, _beginning(into), scope)), None)
        for use in _held(holders, name, scope):
            if outer is not None and use.outer is None and not outer.lies_in(use):
                use.outer = outer
                outer.parts.append(use)


def _support(visitor: Visitor, imported: frozenset[Category]) -> None:
    """Tell every use what the file speaks of beyond doubt."""
    spoken = {found for use in visitor.uses if (found := certain(use.evidence)) is not None}
    visitor.supported = imported | spoken
    for use in visitor.uses:
        use.evidence.supported = visitor.supported


def _place(use: Pending, holders: dict[str, list[Pending]]) -> None:
    """Find the mock that a use is part of, when it is not an argument of it but assigned into it."""
    if use.outer is not None:
        use.outer.parts.append(use)
    elif root := _root(use):
        use.outer = next((one for one in _held(holders, root, use.scope) if one is not use), None)


def _root(use: Pending) -> str:
    """The variable that a use is assigned into or compared with: ``conn`` of ``conn.cursor.return_value``."""
    if use.family == "seal":
        return use.evidence.names[0] if use.evidence.names else ""
    return _beginning(use.evidence.callee or next((name for _, name in use.holders if "." in name), ""))


def _beginning(text: str) -> str:
    """The variable that a dotted name begins with: ``conn``, ``self.conn``."""
    parts = text.split(".")
    return ".".join(parts[:2]) if parts[0] in ("self", "cls") and len(parts) > 2 else parts[0] if len(parts) > 1 else ""


def _held(holders: dict[str, list[Pending]], name: str, scope: Scope) -> list[Pending]:
    """The uses that ``name``, read in ``scope``, may hold."""
    found = holders.get(name)
    if not found:
        return []
    return [use for use in found if any(held == name and _sees(scope, where, name) for where, held in use.holders)]


def _sees(scope: Scope, where: Scope, name: str) -> bool:
    if name.startswith(("self.", "cls.")):
        return scope.enclosing_class() is where.enclosing_class()
    at: Scope | None = scope
    while at is not None:
        if at is where:
            return True
        at = at.parent
    return where.kind == "class" and name in where.bindings


def _raw(use: Pending, columns: Columns) -> RawUse:
    line, column, end = columns.of(use.node)
    found = use.decided()
    return RawUse(
        line,
        column,
        end,
        use.kind,
        use.form.value,
        use.target,
        found.category.value,
        found.why,
        use.scope.qualified,
        use.via,
        use.fixture,
    )


class Columns:
    """Positions in characters; the parser counts bytes of UTF-8."""

    def __init__(self, source: bytes) -> None:
        self.lines: list[bytes] | None = None
        if not source.isascii():
            text = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            self.lines = text.split(b"\n")

    def of(self, node: ast.AST) -> tuple[int, int, int]:
        """Line, column and last line of a node; for a definition those of its ``def``."""
        line: int = getattr(node, "lineno", 1)
        column: int = getattr(node, "col_offset", 0)
        if self.lines is not None and line <= len(self.lines):
            column = len(self.lines[line - 1][:column].decode("utf-8", "ignore"))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return line, column, line
        return line, column, getattr(node, "end_lineno", None) or line
