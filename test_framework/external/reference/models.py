"""What goes in and comes out, as the description says it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "Agent", "AgentChange", "AgentNew", "Conversation", "ConversationChange", "ConversationNew", "Event", "EventNew",
    "Health", "Login", "Member", "MemberNew", "Message", "MessageNew", "Organization", "OrganizationChange",
    "OrganizationNew", "Page", "Refresh", "Signup", "Tokens", "User", "UserChange", "UserNew",
]  # fmt: skip

T = TypeVar("T")

# PostgreSQL stores no NUL.
Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=8_000, pattern=r"^[^\x00]*$")]
Word = Annotated[str, StringConstraints(max_length=64, pattern=r"^[\x20-\x7e]*$")]
Slug = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
Password = Annotated[str, StringConstraints(min_length=6, max_length=200)]
Email = Annotated[
    str,
    StringConstraints(max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$"),
    Field(examples=["ada@company.example"]),
]
Kind = Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z][a-z0-9_.]*$"), Field(examples=["page_view"])]
Plan = Literal["free", "team", "pro", "business", "enterprise"]
UserRole = Literal["user", "staff", "admin"]
MemberRole = Literal["owner", "admin", "member", "viewer"]
AgentStatus = Literal["active", "paused", "retired"]
ConversationStatus = Literal["open", "closed", "archived"]
MessageRole = Literal["system", "user", "assistant", "tool"]


def _storable(moment: datetime) -> datetime:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not 1970 <= aware.year <= 2199:
        raise ValueError("must be between 1970 and 2199")
    return aware


Moment = Annotated[datetime, AfterValidator(_storable)]


class Incoming(BaseModel):
    """What clients send: a misspelt field is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Signup(Incoming):
    email: Email
    password: Password
    name: Line = ""


class UserNew(Incoming):
    email: Email
    name: Line = ""
    password: Password | None = None
    locale: Locale = "en"


class UserChange(Incoming):
    """Only what is given changes."""

    name: Line | None = None
    locale: Locale | None = None
    is_active: bool | None = Field(default=None, description="administrators only")
    role: UserRole | None = Field(default=None, description="administrators only")


class User(BaseModel):
    id: uuid.UUID
    email: str
    name: str
    is_active: bool
    is_verified: bool
    role: UserRole
    locale: str
    created_at: datetime
    updated_at: datetime


class Login(Incoming):
    email: Annotated[str, StringConstraints(max_length=254, pattern=r"^[^\x00]*$")]
    password: Annotated[str, StringConstraints(max_length=200)]


class Refresh(Incoming):
    refresh_token: Annotated[str, StringConstraints(max_length=4096)]


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of the scheme
    expires_in: int = Field(description="seconds that the access token is valid")
    session_id: str
    user: User


class OrganizationNew(Incoming):
    name: Name
    slug: Slug | None = None
    plan: Plan = "free"


class OrganizationChange(Incoming):
    name: Name | None = None
    plan: Plan | None = None


class Organization(BaseModel):
    id: uuid.UUID
    name: str
    slug: str
    plan: Plan
    owner_id: uuid.UUID | None
    created_at: datetime
    updated_at: datetime


class MemberNew(Incoming):
    user_id: uuid.UUID
    role: Literal["admin", "member", "viewer"] = "member"


class Member(BaseModel):
    id: uuid.UUID
    organization_id: uuid.UUID
    user_id: uuid.UUID
    role: MemberRole
    created_at: datetime


class AgentNew(Incoming):
    organization_id: uuid.UUID
    name: Name
    model: Line = "general-small"
    instructions: Annotated[str, StringConstraints(max_length=8_000, pattern=r"^[^\x00]*$")] = ""


class AgentChange(Incoming):
    name: Name | None = None
    status: AgentStatus | None = None
    instructions: Annotated[str, StringConstraints(max_length=8_000, pattern=r"^[^\x00]*$")] | None = None


class Agent(BaseModel):
    id: uuid.UUID
    organization_id: uuid.UUID
    name: str
    type: str
    status: AgentStatus
    model: str
    instructions: str
    created_by: uuid.UUID | None
    created_at: datetime
    updated_at: datetime


class ConversationNew(Incoming):
    title: Line = ""
    organization_id: uuid.UUID | None = None
    agent_id: uuid.UUID | None = None


class ConversationChange(Incoming):
    title: Line | None = None
    status: ConversationStatus | None = None


class Conversation(BaseModel):
    id: uuid.UUID
    user_id: uuid.UUID
    organization_id: uuid.UUID | None
    agent_id: uuid.UUID | None
    title: str
    status: ConversationStatus
    created_at: datetime
    updated_at: datetime


class MessageNew(Incoming):
    content: Text
    role: MessageRole = "user"


class Message(BaseModel):
    id: uuid.UUID
    conversation_id: uuid.UUID
    role: MessageRole
    content: str
    tokens: int
    created_at: datetime


class EventNew(Incoming):
    event_type: Kind
    event_time: Moment | None = Field(default=None, description="when it happened; now, if nobody says")
    user_id: uuid.UUID | None = Field(default=None, description="whoever is logged in, if nobody says")
    organization_id: uuid.UUID | None = None
    session_id: Word = ""
    path: Line = ""
    device: Word = ""
    country: Word = ""
    duration_ms: int = Field(default=0, ge=0, le=4_294_967_295)
    properties: dict[Word, Line] = Field(default={}, max_length=50)


class Event(EventNew):
    event_id: uuid.UUID
    event_time: datetime


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None = Field(description="for the next page; null on the last one")


class Health(BaseModel):
    status: Literal["ok", "failing"]
    services: dict[str, str]
