"""Fixtures: rows that many tests need. Each is a dict of a real row, made through the test's own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from test_framework.plugin.owned import Owned

if TYPE_CHECKING:
    from test_framework.plugin.rows import Insert

__all__ = ["test_agent", "test_conversation", "test_organization", "test_user", "test_user_token"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


def _insert(owned: Owned, fixture: str, insert: Insert) -> dict[str, Any]:
    import asyncpg

    from test_framework.plugin import rows

    owned.require("postgres")
    try:
        record = owned.holdings.run(lambda connection: connection.fetchrow(insert.sql, *insert.arguments))
    except (
        asyncpg.UndefinedTableError,
        asyncpg.UndefinedColumnError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.DatatypeMismatchError,
        asyncpg.NotNullViolationError,
    ) as error:
        raise rows.missing_table(fixture, insert, error) from error
    return rows.row_of(record)


@pytest.fixture
def test_user(test_isolation: Owned) -> dict[str, Any]:
    """A row of ``auth.users``: ``test@example.com``, active; and its ``password`` in clear, ``test123``."""
    from test_framework.plugin import rows

    return {**_insert(test_isolation, "test_user", rows.user()), "password": rows.PASSWORD}


@pytest.fixture
def test_organization(test_isolation: Owned, test_user: dict[str, Any]) -> dict[str, Any]:
    """A row of ``backend.organizations`` on the free plan, owned by ``test_user``; and its ``membership`` row."""
    from test_framework.plugin import rows

    return _insert(test_isolation, "test_organization", rows.organization(test_user["id"]))


@pytest.fixture
def test_agent(test_isolation: Owned, test_organization: dict[str, Any], test_user: dict[str, Any]) -> dict[str, Any]:
    """A row of ``backend.agents`` in ``test_organization``."""
    from test_framework.plugin import rows

    return _insert(test_isolation, "test_agent", rows.agent(test_organization["id"], test_user["id"]))


@pytest.fixture
def test_conversation(
    test_isolation: Owned, test_user: dict[str, Any], test_organization: dict[str, Any], test_agent: dict[str, Any]
) -> dict[str, Any]:
    """A row of ``backend.conversations`` between ``test_user`` and ``test_agent``; and its rows of ``messages``."""
    from test_framework.plugin import rows

    insert = rows.conversation(test_user["id"], test_organization["id"], test_agent["id"])
    return _insert(test_isolation, "test_conversation", insert)


@pytest.fixture
def test_user_token(request: pytest.FixtureRequest, test_user: dict[str, Any]) -> str:
    """A JWT of ``test_user``, valid for an hour, signed (HS256) with ``TEST_JWT_SECRET``."""
    from test_framework.plugin.run import run_of
    from test_framework.plugin.tokens import signed_token

    return signed_token(test_user, run_of(request.config).settings.jwt_secret)
