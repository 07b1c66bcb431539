"""Fixtures that several tests share: they change for all, or a changed copy stands beside them."""

from __future__ import annotations

from collections.abc import Mapping

from test_framework.migration.rewriter.edits import Positions
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.reading import Function, fixture_options
from test_framework.migration.rewriter.roots import Plan

__all__ = ["Agreement"]


class Agreement:
    """Among the plans of one file's tests."""

    def __init__(self, functions: Mapping[str, Function], module: Module, positions: Positions) -> None:
        self.functions = functions
        self.module = module
        self.positions = positions

    def reach(self, plans: list[Plan]) -> None:
        """A fixture that a marked test needs as it was stays, beside a changed copy for all others."""
        while True:
            stuck = {scope for plan in plans if plan.reason for scope in plan.trace.fixtures}
            failing = [plan for plan in plans if plan.reason is None and self._fixed(plan, stuck)]
            for plan in failing:
                shared = ", ".join(sorted(self._fixed(plan, stuck)))
                plan.reason = f"{shared} is shared with a test that a person must decide on"
            if not failing:
                break
        for plan in plans:
            if plan.reason is None:
                self._use_copies(plan, stuck)

    def _fixed(self, plan: Plan, stuck: set[str]) -> set[str]:
        """Fixtures that ought to change for this test, and can neither change nor be copied."""
        return self._needed(plan) & stuck - self._copies(plan).keys()

    def _needed(self, plan: Plan) -> set[str]:
        """Fixtures that change for this test, with those that lead to them."""
        needed = set(plan.touched)
        while True:
            names = {scope.rpartition(".")[2] for scope in needed}
            more = {
                scope
                for scope in plan.trace.fixtures - needed - plan.provided
                if plan.trace.depends.get(scope, set()) & names
            }
            if not more:
                return needed
            needed |= more

    def _copies(self, plan: Plan) -> dict[str, str]:
        """Names for changed copies of the fixtures that this test needs and that can be copied."""
        found: dict[str, str] = {}
        for scope in self._needed(plan):
            node = self.functions.get(scope)
            options = fixture_options(node, self.module) if node is not None else None
            if node is not None and options is not None and not options.get("autouse") and not options.get("name"):
                name = f"real_{node.name.removeprefix('mock_')}"
                if not any(each.rpartition(".")[2] == name for each in self.functions):
                    found[scope] = name
        return found

    def _use_copies(self, plan: Plan, stuck: set[str]) -> None:
        copies = {scope: name for scope, name in self._copies(plan).items() if scope in stuck}
        for scope, name in copies.items():
            plan.edits.copies[self.positions.of(self.functions[scope])] = name
            short = scope.rpartition(".")[2]
            for user in {plan.test.scope, *self._needed(plan)}:
                node = self.functions.get(user)
                if node is not None and any(each.arg == short for each in node.args.args):
                    plan.edits.function(self.positions.of(node)).rename[short] = name
