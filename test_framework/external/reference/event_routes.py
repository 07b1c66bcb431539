"""What users do, into ClickHouse, and on to whoever listens."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from test_framework.external.reference.access import Here, MaybeCaller
from test_framework.external.reference.models import Event, EventNew
from test_framework.external.reference.problems import Refused, problems
from test_framework.external.reference.service import Service

__all__ = ["record_event", "router"]

router = APIRouter(prefix="/api/events", tags=["events"])

_NOBODY = uuid.UUID(int=0)
_COLUMNS = (
    "event_id", "event_time", "event_type", "user_id", "organization_id", "session_id", "path", "device", "country",
    "duration_ms", "properties",
)  # fmt: skip


async def record_event(service: Service, new: EventNew, user_id: uuid.UUID | None) -> dict[str, Any]:
    """Write one event, and tell those who listen.

    Raises:
        Refused: 503, there is no ClickHouse.
    """
    client = await service.clickhouse()
    if client is None:
        raise Refused(503, "unavailable", "the service was started without ClickHouse")
    event = {**new.model_dump(), "event_id": uuid.uuid4()}
    # The column holds milliseconds: what is answered is what is stored.
    moment = new.event_time or datetime.now(UTC)
    event["event_time"] = moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)
    event["user_id"] = new.user_id or user_id
    row = [event[name] if event[name] is not None else _NOBODY for name in _COLUMNS]
    await client.insert("user_events", [row], column_names=list(_COLUMNS))
    service.hub.publish(Event.model_validate(event).model_dump(mode="json"))
    return event


# Without a token, or with a good one.
_ANYBODY: dict[str, Any] = {"security": [{}, {"HTTPBearer": []}]}


@router.post("", status_code=201, response_model=Event, responses=problems(401, 503), openapi_extra=_ANYBODY)
async def create_event(new: EventNew, visitor: MaybeCaller, service: Here) -> Any:
    """Record one event. It can be queried when the answer comes."""
    return await record_event(service, new, visitor.id if visitor else None)
