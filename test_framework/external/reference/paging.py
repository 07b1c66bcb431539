"""Lists in pages. A cursor names the last row seen, so rows that come and go meanwhile shift nothing."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Query

from test_framework.external.reference.problems import Refused

__all__ = ["Paging", "WholePage", "page_of"]

_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class WholePage:
    """What was asked for: at most ``limit`` rows that come behind (``moment``, ``row_id``), oldest first."""

    limit: int
    moment: datetime
    row_id: uuid.UUID


def _paging(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
) -> WholePage:
    if cursor is None:
        return WholePage(limit, _BEFORE_ALL, uuid.UUID(int=0))
    try:
        moment, _, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        found = datetime.fromisoformat(moment)
        return WholePage(limit, found if found.tzinfo else found.replace(tzinfo=UTC), uuid.UUID(row_id))
    except (ValueError, binascii.Error) as error:
        raise Refused(422, "invalid", "the cursor is not one of ours") from error


Paging = Annotated[WholePage, Depends(_paging)]


def page_of(rows: Sequence[Mapping[str, Any]], paging: WholePage) -> dict[str, Any]:
    """One page. ``rows`` are one more than the limit where there is another."""
    items = rows[: paging.limit]
    more = len(rows) > paging.limit
    return {"items": items, "next_cursor": _cursor(items[-1]) if more else None}


def _cursor(row: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['created_at'].isoformat()}|{row['id']}".encode()).decode()
