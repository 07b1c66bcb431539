"""The reference service as far as tests can be told to hold on it: what it answers, and what it needs for that.

What the service makes by itself (ids, tokens, times) is a text that no test can name.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from test_framework.migration.rewriter.events import CannotTell, Op
from test_framework.migration.rewriter.http_requests import Request, Told, make_answer
from test_framework.migration.rewriter.values import Const, DictV, Instance, Value, repr_of
from test_framework.migration.rewriter.wanted import Client

__all__ = ["MADE", "PUBLIC", "ReferenceService"]

MADE = "\x00"
"""What a text begins with that the service makes."""
TEST_USER = ("test@example.com", "test123", "Test User")
_EMAIL = re.compile(r"[^@\s\x00]+@[^@\s\x00]+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KIND = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_DETAILS = {401: "not_logged_in", 404: "not_found", 409: "conflict", 422: "invalid"}
USER = ("id", "email", "name", "is_active", "is_verified", "role", "locale", "created_at", "updated_at")
PRIVATE = ("/auth/logout", "/api/organizations", "/api/agents", "/api/conversations")


@dataclass
class _User:
    email: str
    password: str | None
    name: str = ""
    id: str = ""


class ReferenceService:
    """Answers one test's requests in their order. Raises CannotTell for what it does not know.

    Args:
        client: how the test says it.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lines: list[tuple[Op | None, str]] = []
        self.fixtures: set[str] = set()
        self.requests: list[Request] = []
        self.users: dict[str, _User] = {}
        self.tokens: dict[str, _User] = {}
        self._made = 0

    def answer(self, request: Request, told: Told) -> Instance:
        """What the service answers, once it holds what makes it answer as told."""
        self.requests.append(request)
        for (method, path), route in PUBLIC.items():
            found = re.fullmatch(path, request.path)
            if method == request.method and found:
                status, body = route(self, request, told, *found.groups())
                break
        else:
            status, body = self._other(request)
        if told.status is not None and (told.status != status and not (told.status == 0 and status >= 400)):
            wanted = told.status or "an error"
            raise CannotTell(f"the service answers {request.method} {request.path} with {status}, not with {wanted}")
        return make_answer(status, body)

    def _other(self, request: Request) -> tuple[int, Value]:
        if request.path.startswith(PRIVATE):
            if self._caller(request) is None:
                return self._refusal(401)
            raise CannotTell(
                f"what {request.method} {request.path} answers whoever is logged in is for a person to say"
            )
        raise CannotTell(f"the reference service has no {request.method} {request.path}: real_services_app names yours")

    # What it makes.

    def made(self, what: str) -> Const:
        self._made += 1
        return Const(f"{MADE}{what}-{self._made}")

    def _refusal(self, status: int, code: str = "") -> tuple[int, Value]:
        items: dict[str, Value] = {"code": Const(code or _DETAILS[status]), "detail": self.made("detail")}
        return status, DictV({**items, "errors": self.made("errors")} if status == 422 else items)

    def _shown(self, user: _User) -> DictV:
        plain = {"id": user.id, "email": user.email, "name": user.name, "role": "user", "locale": "en"}
        known = {**plain, "is_active": True, "is_verified": user.email == TEST_USER[0]}
        return DictV({name: Const(known[name]) if name in known else self.made(name) for name in USER})

    def _add(self, email: str, password: str | None = None, name: str = "", id: str = "") -> _User:
        user = _User(email.lower(), password, name, id or self.made("id").value)
        self.users[user.email] = user
        return user

    def prepare(self, op: Op | None, line: str) -> None:
        if any("\x00" in part for part in (line,)):
            raise CannotTell("what the service made is asked for in a way that is not understood")
        self.lines.append((op, line))

    # What it is asked.

    def _body(self, request: Request) -> dict[str, Value]:
        if request.others and set(request.others) - {"timeout", "follow_redirects"}:
            raise CannotTell(f"what is sent as {', '.join(request.others)} is not understood")
        if request.json is None:
            return {}
        if not isinstance(request.json, DictV):
            raise CannotTell("what is sent cannot be told from the source")
        return dict(request.json.items)

    def _text(self, body: dict[str, Value], name: str) -> str | None:
        value = body.get(name)
        if value is None or (isinstance(value, Const) and not isinstance(value.value, str)):
            return None
        if not isinstance(value, Const):
            raise CannotTell(f"the {name} that is sent cannot be told from the source")
        return str(value.value)

    def _caller(self, request: Request) -> _User | None:
        header = next((each for name, each in request.headers.items() if name.lower() == "authorization"), None)
        if header is None:
            return None
        if not isinstance(header, Const):
            raise CannotTell("the token that is sent cannot be told from the source")
        return self.tokens.get(str(header.value).removeprefix("Bearer "))

    def _new_user(self, request: Request, *, password: bool) -> tuple[str, str | None, str] | None:
        body = self._body(request)
        email, secret, name = (self._text(body, each) for each in ("email", "password", "name"))
        fits = email is not None and _EMAIL.fullmatch(email) and (secret is None or 6 <= len(secret) <= 200)
        allowed = {"email", "password", "name"} | (set() if password else {"locale"})
        if not fits or email is None or (password and secret is None) or body.keys() - allowed:
            return None
        return email.lower(), secret, name or ""

    def signup(self, request: Request, told: Told) -> tuple[int, Value]:
        return self._make_user(request, told, "/api/users", password=True)

    def create_user(self, request: Request, told: Told) -> tuple[int, Value]:
        return self._make_user(request, told, "/auth/signup", password=False)

    def _make_user(self, request: Request, told: Told, other: str, *, password: bool) -> tuple[int, Value]:
        new = self._new_user(request, password=password)
        if new is None:
            return self._refusal(422)
        if told.status == 409 and new[0] not in self.users:
            secret = ', "password": "secret-123"' if other == "/auth/signup" else ""
            self.prepare(request.op, self.client.call(f'post("{other}", json={{"email": {repr_of(new[0])}{secret}}})'))
            self._add(new[0])
        if new[0] in self.users:
            return self._refusal(409)
        return 201, self._shown(self._add(*new))

    def login(self, request: Request, told: Told) -> tuple[int, Value]:
        body = self._body(request)
        email, password = self._text(body, "email"), self._text(body, "password")
        if email is None or password is None or body.keys() - {"email", "password"}:
            return self._refusal(422)
        user = self.users.get(email.lower())
        if user is None and told.status not in (401, 0):
            user = self._who_can_log_in(request, email, password)
        if user is None or user.password != password:
            return self._refusal(401, "wrong_credentials")
        token = self.made("token")
        self.tokens[token.value] = user
        items: dict[str, Value] = {"access_token": token, "refresh_token": self.made("token")}
        rest = {"token_type": Const("bearer"), "expires_in": Const(900), "session_id": self.made("session")}
        return 200, DictV({**items, **rest, "user": self._shown(user)})

    def _who_can_log_in(self, request: Request, email: str, password: str) -> _User:
        if (email.lower(), password) == TEST_USER[:2]:
            self.fixtures.add("test_user")
            return self._add(*TEST_USER)
        if not _EMAIL.fullmatch(email) or len(password) < 6:
            raise CannotTell(f"nobody can have {email} and a password of {len(password)} characters")
        new = f'{{"email": {repr_of(email)}, "password": {repr_of(password)}}}'
        self.prepare(request.op, self.client.call(f'post("/auth/signup", json={new})'))
        return self._add(email, password)

    def me(self, request: Request, told: Told) -> tuple[int, Value]:
        caller = self._caller(request)
        return self._refusal(401) if caller is None else (200, self._shown(caller))

    def user(self, request: Request, told: Told, segment: str) -> tuple[int, Value]:
        known = next((each for each in self.users.values() if each.id == segment), None)
        if known is not None:
            return 200, self._shown(known)
        part = request.parts[int(segment[1:-1])] if re.fullmatch(r"\{\d+\}", segment) else Const(segment)
        if isinstance(part, Const) and not _UUID.fullmatch(segment):
            return self._refusal(422)
        if told.status in (404, 0):
            return self._refusal(404)
        return 200, self._shown(self._stored(request, told, part))

    def _stored(self, request: Request, told: Told, id: Value) -> _User:
        """A user of this id, with what the mock says of it."""
        body = told.body.items if isinstance(told.body, DictV) else {}
        email, name = self._text(body, "email"), self._text(body, "name") or ""
        if not isinstance(id, Const):
            raise CannotTell("whether the test finds the id that it asks for cannot be told from the source")
        if not self.client.waits:
            raise CannotTell("the user who is asked for must be a row: let the test insert it")
        address = email or f"{uuid.UUID(id.value).hex[:8]}@company.example"
        self.fixtures.add("real_postgres")
        values = ", ".join(map(repr_of, (id.value, address, name)))
        insert = '"INSERT INTO users (id, email, name) VALUES ($1, $2, $3)"'
        self.prepare(request.op, f"await real_postgres.execute({insert}, {values})")
        return self._add(address, name=name, id=id.value.lower())

    def event(self, request: Request, told: Told) -> tuple[int, Value]:
        body = self._body(request)
        kind = self._text(body, "event_type")
        fields = {"path", "device", "country"}
        if kind is None or not _KIND.fullmatch(kind) or body.keys() - fields - {"event_type", "properties"}:
            return self._refusal(422)
        if request.headers or any(self._text(body, each) is None for each in body.keys() & fields):
            raise CannotTell("what the service makes of this event is for a person to say")
        given = {name: body.get(name, Const("")) for name in sorted(fields)}
        known = {"properties": body.get("properties", DictV({})), "duration_ms": Const(0), "session_id": Const("")}
        nobody = {"user_id": Const(None), "organization_id": Const(None)}
        made = {"event_id": self.made("id"), "event_time": self.made("time")}
        return 201, DictV({"event_type": Const(kind), **given, **known, **nobody, **made})

    def health(self, request: Request, told: Told) -> tuple[int, Value]:
        services = DictV({name: Const("ok") for name in ("postgres", "redis", "clickhouse")})
        return 200, DictV({"status": Const("ok"), "services": services})


_Route = Callable[..., tuple[int, Value]]
PUBLIC: dict[tuple[str, str], _Route] = {
    ("POST", "/auth/signup"): ReferenceService.signup,
    ("POST", "/auth/login"): ReferenceService.login,
    ("GET", "/auth/me"): ReferenceService.me,
    ("POST", "/api/users"): ReferenceService.create_user,
    ("GET", r"/api/users/([^/]+)"): ReferenceService.user,
    ("POST", "/api/events"): ReferenceService.event,
    ("GET", "/healthz"): ReferenceService.health,
}
