"""The rows behind the data fixtures, and the statements that make them in the shipped tables."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from test_framework.errors import FrameworkError

__all__ = ["PASSWORD", "USER", "Insert", "agent", "conversation", "missing_table", "organization", "row_of", "user"]

PASSWORD: Final = "test123"  # noqa: S105 - a promise of the documentation, worth nothing outside of tests
# As the reference service makes it, at a price for tests. Written down, since it is the same for every test.
PASSWORD_HASH: Final = (
    "$argon2id$v=19$m=1024,t=1,p=1$5EdskId+XyyUTfETqGBjUg$54XBQe5mAtX49UzuH/IWsJnSFr89gohSPs6BalOkr1U"  # noqa: S105 - as above
)
USER: Final[Mapping[str, Any]] = {"email": "test@example.com", "name": "Test User", "is_active": True}
MESSAGES: Final = (
    ("user", "Hello, can you help me with my first report?"),
    ("assistant", "Of course. Which figures should it show?"),
    ("user", "The conversations of last week, by day."),
)
# Values of these types come from the driver as JSON text.
_JSON: Final = {"metadata", "settings", "config"}


@dataclass(frozen=True)
class Insert:
    """One statement that makes a row, gives it back whole, and the table it goes to."""

    table: str
    sql: str
    arguments: tuple[Any, ...]


def user() -> Insert:
    """The user everybody knows the password of."""
    return Insert(
        "auth.users",
        "INSERT INTO auth.users (email, name, is_active, is_verified, password_hash)"
        " VALUES ($1, $2, $3, true, $4) RETURNING *",
        (USER["email"], USER["name"], USER["is_active"], PASSWORD_HASH),
    )


def organization(owner: uuid.UUID) -> Insert:
    """An organisation on the free plan, with its owner as a member."""
    return Insert(
        "backend.organizations",
        "WITH made AS (INSERT INTO backend.organizations (name, plan, owner_id) VALUES ($1, 'free', $2) RETURNING *),"
        " joined AS (INSERT INTO backend.organization_memberships (organization_id, user_id, role)"
        " SELECT id, owner_id, 'owner' FROM made RETURNING *)"
        " SELECT made.*, to_jsonb(joined) AS membership FROM made, joined",
        ("Test Organization", owner),
    )


def agent(organization_id: uuid.UUID, creator: uuid.UUID) -> Insert:
    """An active agent of the organisation."""
    return Insert(
        "backend.agents",
        "INSERT INTO backend.agents (organization_id, name, instructions, created_by)"
        " VALUES ($1, $2, $3, $4) RETURNING *",
        (organization_id, "Test Agent", "Answer briefly.", creator),
    )


def conversation(author: uuid.UUID, organization_id: uuid.UUID, agent_id: uuid.UUID) -> Insert:
    """An open conversation between the user and the agent, with messages a millisecond apart."""
    roles, contents = [role for role, _ in MESSAGES], [content for _, content in MESSAGES]
    return Insert(
        "backend.conversations",
        "WITH made AS (INSERT INTO backend.conversations (user_id, organization_id, agent_id, title)"
        " VALUES ($1, $2, $3, $4) RETURNING *),"
        " said AS (INSERT INTO backend.messages (conversation_id, role, content, tokens, created_at)"
        " SELECT made.id, role, content, length(content) / 4 + 1, made.created_at + n * interval '1 millisecond'"
        " FROM made, unnest($5::text[], $6::text[]) WITH ORDINALITY AS line (role, content, n) RETURNING *)"
        " SELECT made.*, (SELECT jsonb_agg(to_jsonb(said) ORDER BY said.created_at) FROM said) AS messages FROM made",
        (author, organization_id, agent_id, "Test Conversation", roles, contents),
    )


def row_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a dict, JSON columns as Python values, rows inside them with real UUIDs."""
    row = {name: json.loads(value) if name in _JSON else value for name, value in record.items()}
    for name in ("membership", "messages"):
        if name in row:
            row[name] = _typed(json.loads(row[name]))
    return row


def _typed(value: Any) -> Any:
    """A row inside a row came as JSON: give it the types that the driver gives."""
    if isinstance(value, list):
        return [_typed(each) for each in value]
    return {name: _typed_value(name, each) for name, each in dict(value).items()}


def _typed_value(name: str, value: Any) -> Any:
    if name == "id" or name.endswith("_id"):
        return uuid.UUID(value)
    return datetime.fromisoformat(value) if name.endswith("_at") else value


def missing_table(fixture: str, insert: Insert, cause: BaseException) -> FrameworkError:
    """The seed is the user's own and has no place for ``fixture``."""
    return FrameworkError(
        f"the fixture {fixture} needs the shipped table {insert.table}, and this database has another schema",
        cause=str(cause),
        fix=f"define a fixture {fixture} of your own in conftest.py, or seed with TEST_FIXTURES_MODE=extend",
    )
