"""Whether the rewriter has a rule for a use. The scanner asks; the rewriter's rules decide in the end."""

from __future__ import annotations

from test_framework.migration.model import Category, Form

__all__ = ["is_rewritable"]

OURS = frozenset({Category.DATABASE, Category.REDIS, Category.CLICKHOUSE, Category.WEBSOCKET, Category.HTTP})
"""The kinds of service that the real stack has an answer for."""

MOCKS = frozenset({"Mock", "MagicMock", "AsyncMock", "create_autospec"})
PATCHES = frozenset({"patch", "patch.object"})
KINDS = MOCKS | PATCHES | {f"mocker.{kind}" for kind in MOCKS | PATCHES} | {"fixture", "fakeredis"}


def is_rewritable(kind: str, form: Form, category: Category) -> bool:
    """Whether the rewriter has a rule for this kind and form of mock, standing in for this category."""
    if category not in OURS or kind not in KINDS:
        return False
    return form in (Form.CALL, Form.FIXTURE, Form.PARAMETER, Form.DECORATOR, Form.CONTEXT)
