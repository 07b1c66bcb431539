"""The libraries that make mocks: which of their dotted names is a use, and of what kind.

Names come in resolved (``m.patch`` with ``from unittest import mock as m`` arrives as ``unittest.mock.patch``). An
object made by a call is written with ``()``: ``requests_mock.Mocker()``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from test_framework.migration.model import Category

__all__ = [
    "HINTS",
    "MOCKER",
    "MOCK_CLASSES",
    "MONKEYPATCH",
    "PLUGIN_FIXTURES",
    "ROOTS",
    "STAR_NAMES",
    "Known",
    "base_class",
    "fixture_object",
    "hinted",
    "is_fixture_decorator",
    "is_mock_module",
    "known",
]


class Known(NamedTuple):
    """A dotted name that is a use of a mock."""

    kind: str
    family: str
    """"mock", "patch", "monkeypatch", "call", "sentinel", "seal", "open", or "library"."""
    bare: bool = False
    """Also a use when it is only named, as a decorator, context manager or value."""


MOCK_MODULES = ("unittest.mock", "mock.mock", "mock", "asynctest.mock", "asynctest")
MOCKER = "pytest_mock.MockerFixture()"
MONKEYPATCH = "pytest.MonkeyPatch()"
MOCK_CLASSES = frozenset(
    (
        "Mock",
        "MagicMock",
        "AsyncMock",
        "NonCallableMock",
        "NonCallableMagicMock",
        "PropertyMock",
        "ThreadingMock",
        "CoroutineMock",
        "create_autospec",
    )
)
PATCHES = frozenset(("patch", "patch.object", "patch.dict", "patch.multiple"))
STAR_NAMES = frozenset(
    (
        "Mock",
        "MagicMock",
        "AsyncMock",
        "NonCallableMock",
        "NonCallableMagicMock",
        "PropertyMock",
        "ThreadingMock",
        "create_autospec",
        "patch",
        "sentinel",
        "call",
        "mock_open",
        "seal",
    )
)
"""What ``from unittest.mock import *`` brings, as far as it is a mock."""

HINTS = STAR_NAMES | {"mock", "CoroutineMock", "freeze_time", "fakeredis", "responses", "respx", "FakeRedis"}
"""Names that, taken from an unknown module, probably are what they are called; the linker looks there."""

MONKEYPATCH_METHODS = frozenset(("setattr", "setitem", "setenv", "delattr", "delitem", "delenv"))
MOCKER_EXTRAS = frozenset(("spy", "stub", "async_stub"))
_MONKEY_NAMES = re.compile(r"^(monkeypatch|monkey(session|module|class|package)|\w+_monkeypatch|monkeypatch_\w+)$")
_MOCKER_NAMES = frozenset(("mocker", "class_mocker", "module_mocker", "package_mocker", "session_mocker"))

_HTTP_VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
_PATTERNS: tuple[tuple[str, str, bool], ...] = (
    # kind, pattern of the full dotted name, whether naming it is enough
    ("fakeredis", r"fakeredis(\.aioredis|\._\w+)?\.(Fake\w*|TcpFakeServer|get_fake_connection)", True),
    ("mongomock", r"mongomock(\.\w+)?\.(MongoClient|patch|Database|Collection)", True),
    ("mongomock", r"mongomock_motor\.(AsyncMongoMockClient|\w*Mock\w*)", True),
    ("moto", r"moto(\.\w+)*\.mock_\w+", True),
    ("moto", r"moto\.server\.ThreadedMotoServer", True),
    ("responses", r"responses\.(activate|RequestsMock|_recorder\.record)", True),
    (
        "responses",
        rf"responses(\.RequestsMock\(\)|\.mock)?\.(add|add_callback|upsert|replace|{'|'.join(_HTTP_VERBS)})",
        False,
    ),
    ("responses", r"responses\.(start|add_passthru)", False),
    ("respx", r"respx\.(mock|MockRouter)", True),
    ("respx", rf"respx(\.mock|\.mock\(\)|\.MockRouter\(\))?\.(route|request|add|{'|'.join(_HTTP_VERBS)})", False),
    ("requests_mock", r"requests_mock(\.mocker)?\.(Mocker|mock|MockerCore|Adapter)(\.start)?", True),
    ("requests_mock", r"requests_mock\.(adapter\.)?Adapter", True),
    (
        "requests_mock",
        rf"requests_mock\.(Mocker|mock|Adapter)\(\)\.(register_uri|add_matcher|request|{'|'.join(_HTTP_VERBS)})",
        False,
    ),
    ("httpretty", r"httpretty(\.core)?\.(activate|httprettified|enabled)", True),
    ("httpretty", r"httpretty(\.core)?(\.HTTPretty|\.httpretty)?\.(register_uri|enable)", False),
    ("aioresponses", r"aioresponses(\.core)?\.aioresponses", True),
    ("aioresponses", rf"aioresponses(\.core)?\.aioresponses\(\)\.(add|{'|'.join(_HTTP_VERBS)})", False),
    ("pytest-httpx", r"pytest_httpx\.HTTPXMock\(\)\.add_(response|callback|exception)", False),
    ("freezegun", r"freezegun(\.api)?\.freeze_time", True),
    ("time-machine", r"time_machine\.travel", True),
    ("pyfakefs", r"pyfakefs\.(fake_filesystem_unittest|fake_filesystem)\.(Patcher|patchfs|FakeFilesystem)", True),
)
_LIBRARIES = tuple((kind, re.compile(pattern), bare) for kind, pattern, bare in _PATTERNS)
ROOTS = frozenset(
    (
        "fakeredis",
        "mongomock",
        "mongomock_motor",
        "moto",
        "responses",
        "respx",
        "requests_mock",
        "httpretty",
        "aioresponses",
        "pytest_httpx",
        "freezegun",
        "time_machine",
        "pyfakefs",
    )
)

LIBRARY_CATEGORIES = {
    "fakeredis": Category.REDIS,
    "mongomock": Category.DATABASE,
    "moto": Category.OTHER,
    "responses": Category.HTTP,
    "respx": Category.HTTP,
    "requests_mock": Category.HTTP,
    "httpretty": Category.HTTP,
    "aioresponses": Category.HTTP,
    "pytest-httpx": Category.HTTP,
    "freezegun": Category.TIME,
    "time-machine": Category.TIME,
    "pyfakefs": Category.FILESYSTEM,
    "sqlite-memory": Category.DATABASE,
}

PLUGIN_FIXTURES = {
    "requests_mock": ("requests_mock", "requests_mock.Mocker()"),
    "respx_mock": ("respx", "respx.MockRouter()"),
    "httpx_mock": ("pytest-httpx", "pytest_httpx.HTTPXMock()"),
    "freezer": ("freezegun", ""),
    "time_machine": ("time-machine", ""),
    "fs": ("pyfakefs", ""),
}
"""Fixtures that plugins bring: name, kind and what the object is. One of the same name in the tree comes first."""


def is_mock_module(dotted: str) -> str | None:
    """The part behind the mock module's name ("" for the module), or None for anything else."""
    for module in MOCK_MODULES:
        if dotted == module:
            return ""
        if dotted.startswith(module + "."):
            rest = dotted[len(module) + 1 :]
            return None if rest.startswith("mock.") and module == "mock" else rest
    return None


def known(dotted: str) -> Known | None:
    """What the resolved name is, or None when it is no use of a mock."""
    rest = is_mock_module(dotted)
    if rest is not None:
        return _of_mock(rest, "")
    if dotted.startswith(MOCKER + "."):
        rest = dotted[len(MOCKER) + 1 :]
        if rest in MOCKER_EXTRAS:
            return Known(f"mocker.{rest}", "patch" if rest == "spy" else "mock")
        return _of_mock(rest, "mocker.")
    if dotted.startswith(MONKEYPATCH + "."):
        rest = dotted[len(MONKEYPATCH) + 1 :]
        return Known(f"monkeypatch.{rest}", "monkeypatch") if rest in MONKEYPATCH_METHODS else None
    if dotted.partition(".")[0] in ROOTS:
        for kind, pattern, bare in _LIBRARIES:
            if pattern.fullmatch(dotted):
                return Known(kind, "library", bare)
    return None


def hinted(dotted: str) -> tuple[Known | None, str]:
    """A name from an unknown module that is called like a mock, and what another file must confirm."""
    parts = dotted.split(".")
    for index, part in enumerate(parts):
        if index and part in HINTS:
            rest = ".".join(parts[index:])
            found = known(rest if part == "mock" else f"mock.{rest}") or known(f"{part}.{rest}") or known(rest)
            if found is None and part == "freeze_time":
                found = known(f"freezegun.{rest}")
            if found is not None:
                return found, dotted
    return None, ""


def base_class(dotted: str) -> tuple[Known | None, str]:
    """The mock that a class with this base is, certain or hinted, and what another file must confirm."""
    found, via = known(dotted), ""
    if found is None:
        found, via = hinted(dotted)
    return (found, via) if found is not None and found.family == "mock" else (None, "")


def _of_mock(rest: str, prefix: str) -> Known | None:
    if rest in MOCK_CLASSES:
        return Known(prefix + rest, "mock")
    if rest in PATCHES:
        return Known(prefix + rest, "patch")
    if rest in ("mock_open", "seal"):
        return Known(prefix + rest, "open" if rest == "mock_open" else "seal")
    head, _, tail = rest.partition(".")
    if head == "call":
        return Known(prefix + "call", "call", bare=bool(tail))
    if head == "sentinel" and tail:
        return Known(prefix + "sentinel", "sentinel", bare=True)
    return None


def fixture_object(name: str) -> str | None:
    """What a parameter of this name is, when pytest or a plugin provides it: a dotted name ending in ``()``."""
    if name in _MOCKER_NAMES:
        return MOCKER
    if _MONKEY_NAMES.match(name):
        return MONKEYPATCH
    if name in PLUGIN_FIXTURES:
        return PLUGIN_FIXTURES[name][1] or None
    return None


def annotated_object(dotted: str) -> str | None:
    """What a parameter with this annotation is, or None."""
    last = dotted.rpartition(".")[2]
    if last in ("MockerFixture", "MockFixture") and dotted.startswith("pytest_mock"):
        return MOCKER
    if last == "MonkeyPatch" and dotted.split(".")[0] in ("pytest", "_pytest"):
        return MONKEYPATCH
    if dotted in ("pytest_httpx.HTTPXMock", "respx.MockRouter", "requests_mock.Mocker", "responses.RequestsMock"):
        return dotted + "()"
    return "aioresponses.aioresponses()" if dotted == "aioresponses.aioresponses" else None


def is_fixture_decorator(dotted: str) -> bool:
    """Whether a decorator of this resolved name makes a fixture."""
    return dotted in (
        "pytest.fixture",
        "pytest.yield_fixture",
        "pytest_asyncio.fixture",
        "_pytest.fixtures.fixture",
        "pytest_asyncio.plugin.fixture",
        "pytest_cases.fixture",
        "pytest_twisted.async_fixture",
        "pytest_twisted.async_yield_fixture",
        "anyio.pytest_plugin.fixture",
    )


_OBJECTS = {
    "_pytest.monkeypatch.MonkeyPatch()": MONKEYPATCH,
    "_pytest.monkeypatch.monkeypatch()": MONKEYPATCH,
    "pytest.MonkeyPatch.context()": MONKEYPATCH,
    "_pytest.monkeypatch.MonkeyPatch.context()": MONKEYPATCH,
    MONKEYPATCH + ".context()": MONKEYPATCH,
    "pytest_mock.MockFixture()": MOCKER,
    "pytest_mock.plugin.MockerFixture()": MOCKER,
    "pytest_mock.plugin.MockFixture()": MOCKER,
}


def normal(dotted: str) -> str:
    """One name for objects that can be had in several ways."""
    return _OBJECTS.get(dotted, dotted)
