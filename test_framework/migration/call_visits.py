"""What a call is: a use of a mock, a way to put one in place, or a place where one is handed over."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

from test_framework.migration import calls, catalog
from test_framework.migration.model import Form
from test_framework.migration.pending import Pending, Place
from test_framework.migration.resolving import find, has_stars, literal, resolve, spelled
from test_framework.migration.scopes import Scope

if TYPE_CHECKING:
    from test_framework.migration.visitor import Visitor

__all__ = ["visit_call"]

CONTEXTS = frozenset(("enter_context", "enter_async_context", "enterContext", "enterAsyncContext", "enterClassContext"))
TYPE_CHECKS = frozenset(("isinstance", "issubclass", "assert_type", "cast"))
SQLITE = catalog.Known("sqlite-memory", "library")


def visit_call(visitor: Visitor, node: ast.Call) -> None:
    """Note what ``node`` is and walk on into its parts."""
    function = node.func
    dotted = resolve(function, visitor.scope)
    use = _use(visitor, node, dotted) if id(node) not in visitor.silent else None
    attribute = function.attr if isinstance(function, ast.Attribute) else ""
    if attribute == "start" and isinstance(function, ast.Attribute):
        visitor.forms[id(function.value)] = Form.STARTED
        visitor.note_started(function.value, Form.STARTED)
    elif attribute in CONTEXTS and node.args:
        visitor.forms[id(node.args[0])] = Form.CONTEXT
        visitor.note_started(node.args[0], Form.CONTEXT)
    elif attribute == "getfixturevalue":
        visitor.asked.append((node, visitor.scope))
    if use is not None and use.family == "call":
        _hush(visitor, function)
    _function(visitor, function, keep_place=attribute in ("start", "__enter__"))
    if isinstance(function, ast.Name) and function.id in TYPE_CHECKS:
        for argument in node.args[:1] if function.id != "cast" else node.args[1:]:
            visitor.visit(argument)
        return
    _arguments(visitor, node, use, keep_place=attribute in CONTEXTS)


def _use(visitor: Visitor, node: ast.Call, dotted: str | None) -> Pending | None:
    form = visitor.forms.get(id(node), Form.CALL)
    if dotted is None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "setUpPyfakefs":
            return visitor.made(node, "", catalog.Known("pyfakefs", "library"), form, calls.Read())
        if calls.is_memory_sqlite(node, dotted, visitor.scope):
            return visitor.made(node, "", SQLITE, form, calls.Read(target=spelled(node.func)))
        return None
    known, via, maker = catalog.known(dotted), "", node
    if known is None and dotted == "functools.partial" and node.args:
        inner = resolve(node.args[0], visitor.scope)
        known = catalog.known(inner) if inner else None
        maker = ast.Call(func=node.args[0], args=node.args[1:], keywords=node.keywords)
        visitor.silent.add(id(node.args[0]))
    builtin = hasattr(builtins, dotted.partition(".")[0])
    if known is None and not builtin and _is_bound(node.func, visitor.scope):
        known, via = catalog.hinted(dotted)
    if known is None:
        if calls.is_memory_sqlite(node, dotted, visitor.scope):
            return visitor.made(node, dotted, SQLITE, form, calls.Read(target=dotted.replace("()", "").lstrip(".")))
        return None
    said = calls.read(known.kind, maker, visitor.scope)
    use = visitor.made(node, dotted, known, form, said)
    use.via = via
    use.fixture = _root_parameter(node.func, dotted)
    for given in calls.answers(known.kind, maker):
        visitor.links.append((visitor.scope, given, use))
    return use


def _is_bound(function: ast.expr, scope: Scope) -> bool:
    """Whether the name at the root of a called expression has a meaning in the file, if only by a star import."""
    inner: ast.AST = function
    while isinstance(inner, ast.Attribute | ast.Call):
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    return isinstance(inner, ast.Name) and (find(inner.id, scope, inner.lineno) is not None or has_stars(scope))


def _root_parameter(function: ast.expr, dotted: str) -> str:
    """The fixture that a use is called on, when its name alone says what it is."""
    if not dotted.startswith((catalog.MOCKER, catalog.MONKEYPATCH, "requests_mock.Mocker()", "respx.MockRouter()")):
        return ""
    inner: ast.AST = function
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    return inner.id if isinstance(inner, ast.Name) and catalog.fixture_object(inner.id) else ""


def _hush(visitor: Visitor, function: ast.expr) -> None:
    """``call.a(1).b(2)`` is one use: its inner calls are no others."""
    inner: ast.AST = function
    while isinstance(inner, ast.Attribute | ast.Call):
        visitor.silent.add(id(inner))
        inner = inner.func if isinstance(inner, ast.Call) else inner.value


def _function(visitor: Visitor, function: ast.expr, *, keep_place: bool) -> None:
    """Walk the called expression; its own dotted spelling is no use beside the call."""
    if not isinstance(function, ast.Call):  # a mock that is called where it is made is a use all the same
        visitor.silent.add(id(function))
    if isinstance(function, ast.Attribute):
        inner: ast.expr = function
        while isinstance(inner, ast.Attribute):
            visitor.silent.add(id(inner))
            inner = inner.value
        visitor.silent.add(id(inner)) if isinstance(inner, ast.Name) else None
    place = visitor.place if keep_place else Place()
    visitor.visit_at(function, place, visitor.outer if keep_place else None)


def _arguments(visitor: Visitor, node: ast.Call, use: Pending | None, *, keep_place: bool) -> None:
    arguments = [one for one in node.args if not visitor.is_plain(one)]
    keywords = [word for word in node.keywords if not visitor.is_plain(word.value) or calls.is_memory_url(word.value)]
    if not arguments and not keywords:
        return
    callee = spelled(node.func)
    if use is not None:
        for argument in arguments:
            visitor.visit_at(argument, Place(), use)
        for word in keywords:
            names = (word.arg,) if word.arg and word.arg not in calls.BEHAVIOUR else ()
            visitor.visit_at(word.value, Place(names), use)
        return
    kept = visitor.place.names if keep_place else ()
    if callee == "sys.modules.setdefault" and node.args:
        kept = (literal(node.args[0]) or "",)
    for argument in arguments:
        visitor.visit_at(argument, Place(kept, callee), visitor.outer)
    for word in keywords:
        names = (word.arg,) if word.arg else ()
        visitor.note_address(word.value, names)
        visitor.visit_at(word.value, Place(names, callee), visitor.outer)
