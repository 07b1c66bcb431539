"""A starting point for the tests of one file, from what its mocks stand in for and what they were told."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from test_framework.migration.model import Category, FileReport

__all__ = ["template"]

FIXTURES = {
    Category.DATABASE: "real_postgres",
    Category.REDIS: "real_redis",
    Category.CLICKHOUSE: "real_clickhouse",
    Category.WEBSOCKET: "real_websocket_client",
    Category.HTTP: "real_http_client",
    Category.FILESYSTEM: "tmp_path",
    Category.ENVIRONMENT: "monkeypatch",
}
MARKERS = {
    Category.DATABASE: "requires_postgres",
    Category.REDIS: "requires_redis",
    Category.CLICKHOUSE: "requires_clickhouse",
}
ADVICE = {
    Category.WEBSOCKET: "connect to a service that really answers",
    Category.HTTP: "a service of your own: ask it; somebody else's: keep the mock",
    Category.LLM: "record answers once and replay them",
    Category.TIME: "no service replaces a clock: keep this mock",
    Category.ENVIRONMENT: "monkeypatch.setenv is real",
    Category.OTHER: "nothing of the stack stands for this: keep the mock, or use the real object",
}
_WIDTH = 110
_LINES = 12
_TELLING = ("return_value", "side_effect", "Mock(")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class _Skeleton:
    """One test: where it is, what it needs, what its mocks were told and asked."""

    node: Function
    cls: str | None
    categories: list[Category] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)

    @property
    def scope(self) -> str:
        return f"{self.cls}.{self.node.name}" if self.cls else self.node.name


def template(report: FileReport, source: str) -> str:
    """A test file to start from: fixtures, markers, and a skeleton for each test that uses mocks.

    Every skeleton is skipped and says so; a person writes it and takes the mark away.

    Raises:
        ValueError: the source cannot be parsed.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"{report.path} cannot be parsed: {error}") from error
    skeletons = [each for each in _skeletons(tree, report) if each.categories]
    lines = [f'"""{_title(report, skeletons)}"""', "", "import pytest"]
    done: str | None = None
    for each in skeletons:
        if each.cls is not None and each.cls != done:
            lines += ["", "", f"class {each.cls}:"]
        elif each.cls is None:
            lines += ["", ""]
        else:
            lines.append("")
        done = each.cls
        lines += [f"{'    ' if each.cls else ''}{line}" if line else "" for line in _lines(each)]
    return "\n".join(lines) + "\n"


def _title(report: FileReport, skeletons: Sequence[_Skeleton]) -> str:
    name = report.path.replace("\\", "/").replace('"', "'")
    if not skeletons:
        return f"{name} has no test that uses mocks: there is nothing to write anew."
    return f"A starting point for {name}: {len(skeletons)} of its tests use mocks."


def _skeletons(tree: ast.Module, report: FileReport) -> Iterator[_Skeleton]:
    seen: set[str] = set()
    for cls, node in _tests(tree):
        skeleton = _Skeleton(node, cls)
        if skeleton.scope in seen:
            continue
        seen.add(skeleton.scope)
        around = {skeleton.scope, *([f"{cls}.setUp", f"{cls}.setup_method", f"{cls}.asyncSetUp", cls] if cls else [])}
        for use in report.uses:
            if use.scope in around or use.scope.startswith(f"{skeleton.scope}."):
                if use.category not in skeleton.categories:
                    skeleton.categories.append(use.category)
                if use.target and use.target not in skeleton.targets:
                    skeleton.targets.append(use.target)
        yield skeleton


def _tests(tree: ast.Module) -> Iterator[tuple[str | None, Function]]:
    for statement in tree.body:
        if isinstance(statement, Function) and statement.name.startswith("test"):
            yield None, statement
        elif isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                if isinstance(inner, Function) and inner.name.startswith("test"):
                    yield statement.name, inner


def _lines(skeleton: _Skeleton) -> list[str]:
    fixtures = [FIXTURES[each] for each in skeleton.categories if each in FIXTURES]
    markers = [MARKERS[each] for each in skeleton.categories if each in MARKERS]
    parameters = [*(["self"] if skeleton.cls else []), *dict.fromkeys(fixtures)]
    lines = ['@pytest.mark.skip(reason="todo: written by a template, a person must finish it")']
    lines += [f"@pytest.mark.{each}" for each in markers]
    lines.append(f"async def {skeleton.node.name}({', '.join(parameters)}):")
    lines += [f"    {line}" for line in _body(skeleton)]
    return lines


def _body(skeleton: _Skeleton) -> list[str]:
    told, asked, rest = _sorted(skeleton.node)
    lines = [f"# {each.value}: {ADVICE[each]}" for each in skeleton.categories if each in ADVICE]
    for title, statements in (
        ("Given: rows and keys instead of what the mocks were told.", told),
        ("When: what the test did.", rest),
        ("Then: assertions on data instead of calls.", asked),
    ):
        lines.append(f"# {title}")
        lines += [f"#   {line}" for each in statements for line in _shown(each)]
    return [*lines, "raise NotImplementedError"]


def _sorted(node: Function) -> tuple[list[ast.stmt], list[ast.stmt], list[ast.stmt]]:
    """Statements that tell a mock something, that assert, and all others; as they stand at the top of the test."""
    told: list[ast.stmt] = []
    asked: list[ast.stmt] = []
    rest: list[ast.stmt] = []
    for each in node.body:
        text = ast.unparse(each)
        if isinstance(each, ast.Assign | ast.AnnAssign) and any(
            w in text for w in ("return_value", "side_effect", "Mock(")
        ):
            told.append(each)
        elif isinstance(each, ast.Assert) or (isinstance(each, ast.Expr) and ".assert" in text):
            asked.append(each)
        elif not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)):
            rest.append(each)
    return told, asked, rest


def _shown(node: ast.stmt) -> list[str]:
    """The statement as comment lines: one that is long is cut."""
    lines = ast.unparse(node).splitlines()
    return [line if len(line) <= _WIDTH else f"{line[:_WIDTH]} …" for line in lines[:12]] + (
        ["…"] if len(lines) > 12 else []
    )
