"""What the service answers when it refuses: one shape for everything, and nothing of what went wrong inside."""

from __future__ import annotations

import logging
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

__all__ = ["Invalid", "Problem", "Refused", "add_handlers", "problems"]

_log = logging.getLogger("reference_service")


class Problem(BaseModel):
    """Why a request was refused."""

    code: str = Field(description="for programs", examples=["not_found"])
    detail: str = Field(description="for people")


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="as in body.email")
    what: str


class Invalid(Problem):
    """A request that does not fit the description."""

    errors: list[Mistake] = []


class Refused(Exception):
    """Ends a request with ``status`` and a :class:`Problem`."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


_TEXTS = {
    401: "nobody is logged in, or not any more",
    403: "the user may not do that",
    404: "there is no such thing, or not for this user",
    409: "it would be there twice, or is in use",
    503: "a database is not there",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for the description; 422 is said for all of them."""
    said: dict[int | str, dict[str, Any]] = {422: {"model": Invalid, "description": "the request is not valid"}}
    return said | {status: {"model": Problem, "description": _TEXTS[status]} for status in statuses}


# By PostgreSQL's classes of errors, most special first.
_DATABASE: tuple[tuple[type[asyncpg.PostgresError], int, str, str], ...] = (
    (asyncpg.UniqueViolationError, 409, "conflict", "there is one like this already"),
    (asyncpg.ForeignKeyViolationError, 409, "conflict", "what it refers to is not there, or it is referred to"),
    (asyncpg.IntegrityConstraintViolationError, 422, "invalid", "a value is not allowed"),
    (asyncpg.DataError, 422, "invalid", "a value cannot be stored"),
)


def _answer(status: int, code: str, detail: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"code": code, "detail": detail}, status, headers)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return _answer(error.status, error.code, error.detail, headers)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # the framework says so of a body that is not even text
        return _answer(422, "invalid", "the body cannot be read")
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return _answer(error.status_code, code, str(error.detail), error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Without the values themselves: they may be passwords, or characters that no answer can hold."""
    assert isinstance(error, RequestValidationError)
    mistakes = [{"where": _place(each["loc"]), "what": str(each["msg"])} for each in error.errors()]
    body = {"code": "invalid", "detail": "the request is not valid", "errors": mistakes}
    return JSONResponse(body, 422)


def _place(location: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in location).encode("utf-8", "replace").decode()


async def _database(_: Request, error: Exception) -> JSONResponse:
    for kind, status, code, detail in _DATABASE:
        if isinstance(error, kind):
            return _answer(status, code, detail)
    _log.error("the database failed", exc_info=error)
    return _answer(503, "unavailable", "the database failed")


def add_handlers(app: FastAPI) -> None:
    """Let every refusal have the one shape."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(asyncpg.PostgresError, _database)
