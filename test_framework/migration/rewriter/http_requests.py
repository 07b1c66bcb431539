"""A call of an HTTP client as a request, what a mock was told to answer it, and whose service it goes to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from test_framework.migration.rewriter.events import CannotTell, Check, Op
from test_framework.migration.rewriter.kinds import HTTP_METHODS, normal
from test_framework.migration.rewriter.modules import Module
from test_framework.migration.rewriter.values import (
    UNKNOWN,
    ClassV,
    Const,
    DictV,
    Func,
    Instance,
    StandIn,
    Sym,
    Value,
    emit,
)

if TYPE_CHECKING:
    from test_framework.migration.rewriter.machine import Machine

__all__ = [
    "OWN",
    "Request",
    "Told",
    "answer_class",
    "asks_url",
    "is_foreign",
    "is_request",
    "make_answer",
    "request_of",
    "told_by",
    "url_of",
]

OWN = re.compile(r"https?://(testserver|test|localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(:\d+)?(?=/|$)")
_ANSWERS = """
class Response:
    def __init__(self, status_code=None, *, json=None, text="", content=None, headers=None, request=None):
        self.status_code = status_code
        self.body = json

    @property
    def is_success(self):
        return 200 <= self.status_code < 300

    @property
    def is_error(self):
        return self.status_code >= 400

    def json(self):
        return self.body

    def raise_for_status(self):
        if self.status_code >= 400:
            raise HTTPStatusError
        return self

    def __aenter__(self):
        return something_that_is_not_known

    def __enter__(self):
        return something_that_is_not_known
"""


@cache
def answer_class() -> ClassV:
    """What the code under test sees of an answer of httpx; whatever is not said here is not known."""
    module = Module("<answers>", ast.parse(_ANSWERS))
    node = module.definitions["Response"]
    assert isinstance(node, ast.ClassDef)
    return ClassV(module, node)


def make_answer(status: int, body: Value) -> Instance:
    return Instance(answer_class(), {"status_code": Const(status), "body": body})


@dataclass(frozen=True)
class Told:
    """What a mock was told to answer; ``None`` where it was not told."""

    status: int | None
    body: Value


def told_by(machine: Machine, value: Value | None) -> Told:
    """The status and the body of a mock of an answer, or of an object that stands in for one."""
    status: Value | None = None
    body: Value = UNKNOWN
    fails = False
    if isinstance(value, StandIn):
        results, path = value.root.results, value.path
        status = results.get((*path, "status_code")) or results.get((*path, "status"))
        body = _result_of(machine, results.get((*path, "json"))) or results.get((*path, "json", "()")) or UNKNOWN
        fails = (*path, "raise_for_status") in value.root.effects
    elif isinstance(value, Instance):
        status = value.attributes.get("status_code", value.attributes.get("status"))
        body = machine.call_method(value, "json")
    known = status.value if isinstance(status, Const) and isinstance(status.value, int) else None
    return Told(known if known is not None or not fails else 0, body)


def _result_of(machine: Machine, value: Value | None) -> Value | None:
    return machine.call_function(value, []) if isinstance(value, Func) else None


@dataclass(frozen=True)
class Request:
    """``path`` is decoded; where only the test can say a part of it, the part is ``{0}``, ``{1}`` … of ``parts``."""

    method: str
    path: str
    params: dict[str, Value]
    json: Value | None
    headers: dict[str, Value]
    parts: tuple[Value, ...] = ()
    others: tuple[str, ...] = ()
    op: Op | None = field(default=None, compare=False)
    url: Value | None = None


def is_request(path: tuple[str, ...]) -> bool:
    """Whether a call of this path of a mock sends a request."""
    return normal(path)[1] in HTTP_METHODS


def url_of(path: tuple[str, ...], args: list[Value], kwargs: dict[str, Value]) -> Value | None:
    """The address of a request."""
    at = 1 if normal(path)[1] == "request" else 0
    return args[at] if len(args) > at else kwargs.get("url")


def asks_url(event: Op | Check) -> bool:
    """Whether it is called with an address."""
    url = url_of(event.path, event.args, event.kwargs)
    text = url.value if isinstance(url, Const) else None
    if isinstance(url, Sym):
        text = url.pattern or url.text.lstrip("f'\"")
    return isinstance(text, str) and re.match(r"/|https?://", text) is not None


def is_foreign(events: Iterable[Op | Check]) -> bool:
    """Whether all these calls go to somebody else's service."""
    urls = [url_of(each.path, each.args, each.kwargs) for each in events]
    known = [each.value for each in urls if isinstance(each, Const) and isinstance(each.value, str)]
    known += [each.pattern or each.text.lstrip("f'\"") for each in urls if isinstance(each, Sym)]
    absolute = [each for each in known if re.match(r"(https?|wss?)://", each)]
    return bool(absolute) and len(absolute) == len(known) and not any(OWN.match(each) for each in absolute)


def request_of(path: tuple[str, ...], args: list[Value], kwargs: dict[str, Value], op: Op | None = None) -> Request:
    """A call, or an assertion about one. Raises CannotTell."""
    method = normal(path)[1] or ""
    url = url_of(path, args, kwargs)
    if method == "request":
        first = args[0] if args else kwargs.get("method")
        if not isinstance(first, Const):
            raise CannotTell("the method of a request cannot be told from the source")
        method = str(first.value)
    template, parts = _template(url)
    split = urlsplit(OWN.sub("", template))
    params = {name: Const(value) for name, value in parse_qsl(split.query, keep_blank_values=True)}
    given = kwargs.get("params")
    if given is not None and not isinstance(given, DictV):
        raise CannotTell("the parameters of a request cannot be told from the source")
    headers = kwargs.get("headers")
    if headers is not None and not isinstance(headers, DictV):
        raise CannotTell("the headers of a request cannot be told from the source")
    return Request(
        method.upper(),
        split.path,
        {**params, **(given.items if isinstance(given, DictV) else {})},
        kwargs.get("json"),
        {str(name): each for name, each in headers.items.items()} if isinstance(headers, DictV) else {},
        parts,
        tuple(sorted(kwargs.keys() - {"json", "params", "headers", "url", "method"})),
        op,
        url,
    )


def _template(url: Value | None) -> tuple[str, tuple[Value, ...]]:
    if isinstance(url, Const) and isinstance(url.value, str):
        return url.value, ()
    if isinstance(url, Sym) and url.pattern:
        pieces = url.pattern.split("*")
        unknown = tuple(Sym("", pure=False) for _ in pieces[1:])
        return "".join(f"{{{n - 1}}}{piece}" if n else piece for n, piece in enumerate(pieces)), unknown
    text = emit(url) if isinstance(url, Sym) else None
    if url is None or text is None:
        raise CannotTell("which address is asked cannot be told from the source")
    node = ast.parse(text if text != url.src or not isinstance(url, Sym) else url.text, mode="eval").body
    if not isinstance(node, ast.JoinedStr):
        raise CannotTell("which address is asked cannot be told from the source")
    parts: list[Value] = []
    template = ""
    for each in node.values:
        if isinstance(each, ast.Constant):
            template += str(each.value)
        else:
            assert isinstance(each, ast.FormattedValue)
            template += f"{{{len(parts)}}}"
            parts.append(Sym(ast.unparse(each.value)))
    return template, tuple(parts)
