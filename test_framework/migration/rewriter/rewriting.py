"""One file: plans of all its tests, made to agree, applied and checked."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import libcst as cst

from test_framework.migration.model import Category, FileReport, MockUse
from test_framework.migration.rewritable import KINDS
from test_framework.migration.rewriter.agreement import Agreement
from test_framework.migration.rewriter.context import Context
from test_framework.migration.rewriter.edits import Edits, Positions, apply
from test_framework.migration.rewriter.events import CannotTell, Finish, Raised, Trace
from test_framework.migration.rewriter.finishing import finished
from test_framework.migration.rewriter.http_data import Service
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.plan import Plan, Planner, make_plan, our_roots
from test_framework.migration.rewriter.reading import Fixtures, Function, Reading, TestCase, find_tests, fixture_options
from test_framework.migration.rewriter.safety import troubles

__all__ = ["MARK", "Rewrite", "rewrite_file"]

MARK = "# real-services:"
_OURS = frozenset({Category.DATABASE, Category.REDIS, Category.CLICKHOUSE, Category.WEBSOCKET, Category.HTTP})
_SERVICES = _OURS - {Category.HTTP}
_HINTS = ("mock", "Mock", "patch")


@dataclass(frozen=True)
class Rewrite:
    """What became of a file.

    Args:
        text: the new source; the old one when nothing changed.
        changed: whether ``text`` differs from the source.
        rewritten: tests that use real services now.
        marked: tests that a person must decide on; each has one comment that begins with ``# real-services:``.
        untouched: mocks that stand in for what is not ours (third parties, time, …): left alone.
        complete: no mock of our kinds is left, and no assertion was lost.
        notes: one line for each mark, and one for the whole file if something kept it from being rewritten.
        left_alone: what the untouched mocks stand in for.
    """

    text: str
    changed: bool = False
    rewritten: int = 0
    marked: int = 0
    untouched: int = 0
    complete: bool = False
    notes: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()


def rewrite_file(source: str, report: FileReport | None = None, context: Context | None = None) -> Rewrite:
    """Rewrite one test file. Never raises for what a file holds; what cannot be done is marked and said.

    Args:
        report: the scanner's, for what is left alone; not needed.
        context: of the file; without one only the file itself is seen.
    """
    others = _left_alone(report)
    plain = Rewrite(source, untouched=len(others), left_alone=tuple(sorted(set(others))))
    context = context or Context()
    if not any(hint in source for hint in _HINTS) and not _asks_conftest(source, context):
        return plain
    try:
        tree = ast.parse(source)
        if cst.parse_module(source).code != source:
            return replace(plain, notes=("the file would not come back byte for byte",))
    except (SyntaxError, ValueError, RecursionError, cst.ParserSyntaxError) as error:
        return replace(plain, notes=(f"the file cannot be parsed: {error}".splitlines()[0],))
    try:
        return _File(source, tree, context, plain).run()
    except Exception as error:  # whatever a file holds, it is handed back rather than lost
        return replace(plain, notes=(f"the rewriter failed on this file: {type(error).__name__}: {error}",))


def _left_alone(report: FileReport | None) -> list[str]:
    uses = report.uses if report else ()
    return [use.category.value for use in uses if use.category not in _OURS or _is_faked_elsewhere(use)]


def _is_faked_elsewhere(use: MockUse) -> bool:
    """``responses``, ``respx`` and their like answer below the client, for whoever it asks."""
    return use.category is Category.HTTP and use.kind not in KINDS and not use.kind.startswith("monkeypatch")


def _asks_conftest(source: str, context: Context) -> bool:
    return any("ock" in name and name in source for each in context.conftests for name in each.definitions)


class _File:
    def __init__(self, source: str, tree: ast.Module, context: Context, plain: Rewrite) -> None:
        self.source = source
        self.tree = tree
        self.context = context
        self.plain = plain
        self.module = Module(context.name, tree)
        self.positions = Positions(source)
        self.own = {id(node) for node in ast.walk(tree)}
        self.functions = dict(_scopes(tree))
        # Mocks of somebody else's service, by where they are made.
        self.foreign: set[int] = set()
        self.fixtures = Fixtures()
        for conftest in context.conftests:
            self.fixtures.add(conftest, conftest.tree.body, foreign=True)
        self.fixtures.add(self.module, tree.body)

    def run(self) -> Rewrite:
        plans = [plan for plan in self._plans() if plan.ours]
        if self.foreign:
            others = sorted({*self.plain.left_alone, Category.HTTP.value})
            number = self.plain.untouched + len(self.foreign)
            self.plain = replace(self.plain, untouched=number, left_alone=tuple(others))
        if not plans:
            return self._given() if self.context.name == "conftest" else self.plain
        Agreement(self.functions, self.module, self.positions).reach(plans)
        rewrite = self._result(plans)
        for _ in plans:
            wrong = troubles(self.source, rewrite.text)
            if not wrong:
                return rewrite
            for plan in plans:
                why = wrong.get(plan.test.scope) or wrong.get("")
                if why is not None and plan.reason is None:
                    plan.reason = f"the rewriter gave up here: {why}"
            if not any(plan.test.scope in wrong for plan in plans):
                for plan in plans:
                    plan.reason = plan.reason or "the rewriter gave up on this file"
            Agreement(self.functions, self.module, self.positions).reach(plans)
            rewrite = self._result(plans)
        return rewrite

    def _given(self) -> Rewrite:
        """A conftest: its fixtures that give mocks are needed until no test asks for them."""
        edits, notes = Edits(), []
        for name, fixture in self.fixtures.found.items():
            if fixture.module is not self.module:
                continue
            reading = Reading(self.module, self.context.library(), self.fixtures, TestCase(fixture.node, None))
            with contextlib.suppress(CannotTell, Finish, Raised, RecursionError):
                reading.value_of(name)
            kinds = {root.kind for root in our_roots(reading.trace) if root.given_by == fixture.scope == root.scope}
            real = _GIVES.get(next(iter(kinds), None) or "")
            if real is not None:
                notes.append(f"{name}: tests take {real} instead: remove this fixture when none asks for it")
                if not self._is_marked_already(fixture.node):
                    edits.marks[self.positions.of(fixture.node)] = f"{MARK} {notes[-1].partition(': ')[2]}"
        text = apply(self.source, edits) if edits.marks else self.source
        return replace(self.plain, text=text, changed=text != self.source, marked=len(notes), notes=tuple(notes))

    def _plans(self) -> Iterator[Plan]:
        for test in find_tests(self.module):
            library = self.context.library()
            library.add(self.module)
            reading = Reading(self.module, library, self.fixtures, test)
            reading.machine.own_modules += self.context.conftests
            try:
                trace = reading.run()
            except RecursionError:
                trace = reading.trace
                trace.problems.append("the test and what it calls are nested too deep to follow")
            plan = Plan(test, trace, ours=our_roots(trace))
            self.foreign |= {id(root.node) for root in trace.roots if root.foreign}
            if plan.ours:
                planner = Planner(
                    plan,
                    positions=self.positions,
                    own=self.own,
                    schema=self.context.schema,
                    functions=self.functions,
                    visited=reading.machine.visited,
                    again=partial(self._again, test),
                    application=self.context.application,
                    asyncio_marked=self.context.asyncio_auto or _is_marked(test.node, test.cls, self.tree),
                )
                make_plan(planner)
            yield plan

    def _again(self, test: TestCase, service: Service) -> Trace:
        """The test as it would go with the answers of ``service``."""
        library = self.context.library()
        library.add(self.module)
        reading = Reading(self.module, library, self.fixtures, test)
        reading.machine.own_modules += self.context.conftests
        reading.machine.service = service
        return reading.run()

    def _result(self, plans: list[Plan]) -> Rewrite:
        edits = Edits()
        good = [plan for plan in plans if plan.reason is None]
        for plan in good:
            edits.merge(plan.edits)
        removed = self._unneeded(good, [plan for plan in plans if plan.reason])
        edits.delete |= removed
        notes = []
        for plan in plans:
            if plan.reason is not None:
                notes.append(f"{plan.test.scope}: {plan.reason}")
                pos = self.positions.of(plan.test.node)
                if not self._is_marked_already(plan.test.node):
                    edits.marks[pos] = f"{MARK} {plan.reason}"
        text = apply(self.source, edits)
        if good:
            fixtures = {name for plan in good for name in plan.local_fixtures}
            text = finished(text, self.tree, fixtures, anyio="mark.anyio" in self.source)
        marked = len(notes)
        left = [] if notes else _mocks_of_ours(text, self.context.name)
        notes += [
            f"line {use.line}: this mock seems to stand in for {use.category.value}, and stays" for use in left[:1]
        ]
        return replace(
            self.plain,
            text=text,
            changed=text != self.source,
            rewritten=len(good),
            marked=marked,
            complete=not notes,
            notes=tuple(notes),
        )

    def _is_marked_already(self, node: Function) -> bool:
        line = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 2
        lines = self.source.splitlines()
        while 0 <= line < len(lines) and lines[line].lstrip().startswith("#"):
            if lines[line].lstrip().startswith(MARK):
                return True
            line -= 1
        return False

    def _unneeded(self, good: list[Plan], bad: list[Plan]) -> set[tuple[int, int]]:
        """Fixtures that only gave mocks, and that nobody asks for any more."""
        given = {scope for plan in good for scope in plan.provided}
        kept = {scope for plan in bad for scope in plan.trace.fixtures}
        changed = {plan.test.scope for plan in good} | {scope for plan in good for scope in plan.touched} | given
        asked = {
            each.arg
            for scope, node in self.functions.items()
            if scope not in changed and (node.name.startswith("test") or fixture_options(node, self.module) is not None)
            for each in [*node.args.args, *node.args.kwonlyargs]
        }
        asked |= {
            part.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("usefixtures", "getfixturevalue"))
            for part in node.args
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        }
        return {
            self.positions.of(self.functions[scope])
            for scope in given - kept
            if scope.rpartition(".")[2] not in asked and scope in self.functions
        }


_GIVES = {
    "postgres": "real_postgres",
    "redis": "real_redis",
    "clickhouse": "real_clickhouse",
    "http": "real_http_client",
    "websocket": "isolated_websocket",
}


def _mocks_of_ours(text: str, name: str) -> list[MockUse]:
    """The mocks of a service that the scanner still sees."""
    from test_framework.migration.scanner import scan_source

    uses = scan_source(text, name).uses
    return [use for use in uses if use.category in _SERVICES and not use.kind.startswith("monkeypatch")]


def _scopes(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    for statement in tree.body:
        if isinstance(statement, Function):
            yield statement.name, statement
        elif isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                if isinstance(inner, Function):
                    yield f"{statement.name}.{inner.name}", inner


def _is_marked(node: Function, cls: ast.ClassDef | None, tree: ast.Module) -> bool:
    """Whether pytest-asyncio or anyio runs the test anyway."""
    texts = [ast.unparse(each) for each in [*node.decorator_list, *(cls.decorator_list if cls else [])]]
    texts += [
        ast.unparse(each) for each in tree.body if isinstance(each, ast.Assign) and "pytestmark" in ast.unparse(each)
    ]
    return any("asyncio" in text or "anyio" in text for text in texts)
