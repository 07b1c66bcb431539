"""What an expression stands for: followed through scopes and aliases to the import that it came from.

A dotted name is the answer: ``unittest.mock.patch``; ``requests_mock.Mocker()`` for an object made by a call; a leading
dot for a relative import. What is bound to anything else stands for nothing: it shadows.
"""

from __future__ import annotations

import ast

from test_framework.migration import catalog
from test_framework.migration.scopes import Binding, Scope

__all__ = ["constant_text", "find", "has_stars", "literal", "resolve", "spelled"]

DEPTH = 24
"""Longest chain of aliases that is followed; it also ends circles."""
WRAPPERS = frozenset(("staticmethod", "functools.partial", "typing.cast", "copy.copy"))


def find(name: str, scope: Scope, line: int) -> tuple[Scope, list[Binding]] | None:
    """The scope that a name read in ``scope`` belongs to and the bindings that may be in force, the likeliest last."""
    at: Scope | None = scope
    while at is not None:
        if name in at.bindings and (at is scope or at.kind != "class"):
            return at, _in_force(at.bindings[name], line if at is scope else None)
        at = at.parent
    return None


def _in_force(bindings: list[Binding], line: int | None) -> list[Binding]:
    """Those that may hold at ``line``; None is later than all of them."""
    if line is not None and len(bindings) > 1:
        bindings = [one for one in bindings if one.line <= line] or bindings[:1]
    last = len(bindings) - 1
    while last > 0 and bindings[last].optional:
        last -= 1
    return bindings[last:]


def resolve(expression: ast.expr, scope: Scope, depth: int = 0) -> str | None:
    """The dotted name that an expression stands for, or None."""
    if depth > DEPTH:
        return None
    if isinstance(expression, ast.Name):
        return _of_variable(expression.id, scope, expression.lineno, depth)
    if isinstance(expression, ast.Attribute):
        return _of_attribute(expression, scope, depth)
    if isinstance(expression, ast.Call):
        return _of_call(expression, scope, depth)
    if isinstance(expression, ast.Await | ast.NamedExpr):
        return resolve(expression.value, scope, depth + 1)
    if isinstance(expression, ast.IfExp):
        return resolve(expression.body, scope, depth + 1) or resolve(expression.orelse, scope, depth + 1)
    return None


def _of_variable(name: str, scope: Scope, line: int, depth: int) -> str | None:
    found = find(name, scope, line)
    if found is None:
        return _unbound(name, scope)
    owner, bindings = found
    key = (name, bindings[0].line, len(bindings))
    if key not in owner.resolved:
        owner.resolved[key] = None  # ends circles
        owner.resolved[key] = _of_bindings(bindings, owner, depth)
    return owner.resolved[key]


def _of_bindings(bindings: list[Binding], owner: Scope, depth: int) -> str | None:
    """The first that is a mock, the likeliest otherwise."""
    answers = [_of_binding(binding, owner, depth) for binding in reversed(bindings)]
    for answer in answers:
        if answer is not None and catalog.known(answer + ".x" if answer.endswith("sentinel") else answer):
            return answer
    return answers[0] or next((answer for answer in answers if answer is not None), None)


def _unbound(name: str, scope: Scope) -> str:
    """A builtin, or something that a star import brought."""
    while scope.parent is not None:
        scope = scope.parent
    return f"{_joined(scope.stars[-1])}{name}" if scope.stars and name in catalog.HINTS else name


def has_stars(scope: Scope) -> bool:
    """Whether the module of ``scope`` has a star import that could bring any name."""
    while scope.parent is not None:
        scope = scope.parent
    return bool(scope.stars)


def _joined(module: str) -> str:
    return module if module.endswith(".") else module + "."


def _of_binding(binding: Binding, owner: Scope, depth: int) -> str | None:
    if binding.dotted is not None:
        return owner.replaced.get(binding.dotted, binding.dotted)
    if binding.how == "class" and isinstance(binding.node, ast.ClassDef):
        return _of_subclass(binding.node, owner, depth)
    if binding.value is None or depth > DEPTH:
        return None
    answer = resolve(binding.value, owner, depth + 1)
    if answer is None or binding.how not in ("value", "with"):
        return None
    if binding.how == "value" and not isinstance(binding.value, ast.Name | ast.Attribute | ast.Call | ast.Await):
        return None
    return catalog.normal(answer)


def _of_subclass(node: ast.ClassDef, owner: Scope, depth: int) -> str | None:
    """A class derived from a mock is that mock by another name; any other class stands for itself."""
    for base in node.bases:
        dotted = resolve(base, owner, depth + 1)
        if dotted and catalog.base_class(dotted)[0] is not None:
            return dotted
    return None


def _of_attribute(expression: ast.Attribute, scope: Scope, depth: int) -> str | None:
    value = expression.value
    if isinstance(value, ast.Name) and value.id in ("self", "cls"):
        owner = scope.enclosing_class()
        return _of_member(expression.attr, owner, expression.lineno, depth) if owner is not None else None
    base = resolve(value, scope, depth + 1)
    if base is None:
        return None
    dotted = f"{base}.{expression.attr}"
    return scope.replaced.get(dotted) or catalog.normal(dotted)


def _of_member(name: str, owner: Scope, line: int, depth: int) -> str | None:
    """``self.name``: what the class body or a method gave it, where that is a mock's maker or a stand-in's object."""
    if name in owner.bindings and owner.bindings[name][-1].how in ("value", "import"):
        return _of_variable(name, owner, 1 << 30, depth + 1)
    for value, where in owner.attributes.get(name, ()):
        if answer := resolve(value, where, depth + 4):
            return answer
    return None


def _of_call(expression: ast.Call, scope: Scope, depth: int) -> str | None:
    function = resolve(expression.func, scope, depth + 1)
    if function is None:
        return None
    if function in ("importlib.import_module", "pytest.importorskip", "__import__") and expression.args:
        return literal(expression.args[0])
    if function in WRAPPERS and expression.args:
        return resolve(expression.args[-1 if function.endswith("cast") else 0], scope, depth + 1)
    if function.endswith((".enter_context", ".enter_async_context", ".enterContext")) and expression.args:
        return resolve(expression.args[0], scope, depth + 1)
    if function.endswith(("().start", "().__enter__")):
        return function.rpartition(".")[0]
    return catalog.normal(function + "()")


def literal(expression: ast.expr | None) -> str | None:
    """The text of a string literal, or None."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return expression.value
    return None


def constant_text(expression: ast.expr | None, scope: Scope, depth: int = 0) -> str | None:
    """The text that an expression has as far as the file says; what it does not say becomes ``*``. None: not text."""
    if expression is None or depth > DEPTH:
        return None
    if isinstance(expression, ast.Constant):
        return expression.value if isinstance(expression.value, str) else None
    if isinstance(expression, ast.JoinedStr):
        return "".join(_of_part(part, scope, depth) for part in expression.values)
    if isinstance(expression, ast.BinOp):
        return _of_operation(expression, scope, depth)
    if isinstance(expression, ast.Name):
        if expression.id == "__name__":
            return "__name__"
        found = find(expression.id, scope, expression.lineno)
        if found is not None and found[1][-1].how == "value":
            return constant_text(found[1][-1].value, found[0], depth + 1)
    if (
        isinstance(expression, ast.Call)
        and isinstance(expression.func, ast.Attribute)
        and expression.func.attr == "format"
    ):
        text = constant_text(expression.func.value, scope, depth + 1)
        return _filled(text, "{}", expression.args, scope, depth) if text else None
    return None


def _of_part(part: ast.expr, scope: Scope, depth: int) -> str:
    if isinstance(part, ast.FormattedValue):
        return constant_text(part.value, scope, depth + 1) or "*"
    return literal(part) or ""


def _of_operation(expression: ast.BinOp, scope: Scope, depth: int) -> str | None:
    left = constant_text(expression.left, scope, depth + 1)
    if isinstance(expression.op, ast.Mod) and left is not None:
        right = expression.right
        return _filled(left, "%s", right.elts if isinstance(right, ast.Tuple) else [right], scope, depth)
    if not isinstance(expression.op, ast.Add):
        return None
    right_text = constant_text(expression.right, scope, depth + 1)
    if left is None and right_text is None:
        return None
    return (left or "*") + (right_text or "*")


def _filled(text: str, mark: str, values: list[ast.expr], scope: Scope, depth: int) -> str:
    for value in values:
        text = text.replace(mark, constant_text(value, scope, depth + 1) or "*", 1)
    return text


def spelled(expression: ast.expr) -> str:
    """The dotted spelling of an expression as it stands in the file, without calls' arguments; "" when it has none."""
    parts: list[str] = []
    node: ast.AST = expression
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Subscript):
            text = literal(node.slice)
            if text is not None:
                parts.append(text)
            node = node.value
        elif isinstance(node, ast.Await | ast.Starred):
            node = node.value
        else:
            break
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))
