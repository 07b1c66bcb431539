"""What a mock stands in for, decided by evidence: what it replaces, its spec, its names, what is asked of it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from test_framework.migration import lexicon
from test_framework.migration.model import Category

__all__ = ["Evidence", "Finding", "certain", "decide", "of_imports", "of_layers", "of_name"]

STRONG, MIDDLE, WEAK, HINT = 4, 3, 2, 1
LONGEST = 3
ACCESSORS = frozenset(("get", "getboolean", "getfloat", "getint"))
"""What is asked of a module of settings; anything else that is patched in it merely lives there."""
SPECIFIC = (
    Category.CLICKHOUSE, Category.REDIS, Category.WEBSOCKET, Category.LLM, Category.DATABASE, Category.HTTP,
    Category.FILESYSTEM, Category.TIME, Category.ENVIRONMENT, Category.OTHER,
)  # fmt: skip
"""Which word of one name wins: ``clickhouse_db`` is ClickHouse, ``redis_http_client`` is Redis."""
SERVICES = frozenset(SPECIFIC[:6])
_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


class Finding(NamedTuple):
    """A category, why, and how sure: 4 strong, 3, 2 weak, 1 only if the file speaks of that category elsewhere."""

    category: Category
    why: str
    weight: int


@dataclass(slots=True)
class Evidence:
    """Everything that speaks for what one mock stands in for, best source first within each field."""

    fixed: Finding | None = None
    target: str = ""
    modules: Sequence[str] = ()
    """Names of modules that are replaced in ``sys.modules``."""
    spec: str = ""
    names: list[str] = field(default_factory=list)
    """Of the variable, attribute, keyword, parameter or fixture that holds it, the nearest first."""
    attributes: list[str] = field(default_factory=list)
    outer: Finding | None = None
    """What the mock that this one is handed to stands in for."""
    callee: str = ""
    """What it is handed to."""
    around: str = ""
    """Name of the fixture or helper that makes it."""
    imports: Finding | None = None
    supported: frozenset[Category] = frozenset()
    """What the file speaks of elsewhere, in its imports and in what is certain of its other mocks."""


@lru_cache(maxsize=65536)
def words(segment: str) -> tuple[str, ...]:
    """``MockRedis_client`` → mock, redis, client."""
    parts = [word.lower() for word in _WORD.findall(segment)]
    return (*parts, *("".join(pair) for pair in itertools.pairwise(parts)))


@lru_cache(maxsize=65536)
def of_name(dotted: str) -> Finding | None:
    """The category that a dotted name speaks for, or None.

    The end of the name says what it is; what stands further left is where it lives, and weighs less. A root that is
    itself the name of a library (``redis.…``) counts as the end does.
    """
    for category, pattern in lexicon.PHRASES:
        if pattern.search(dotted):
            return Finding(category, dotted, STRONG)
    segments = [part for part in re.split(r"[^\w]+", dotted) if part]
    last = list(reversed(segments[-2:]))
    root = segments[:1] if len(segments) > 2 and not any(_is_private(part) for part in segments) else []
    return (
        _first([*last, *root], lexicon.STRONG, STRONG)
        or _whole(segments)
        or _first(list(reversed(segments[1:-2])), lexicon.STRONG, MIDDLE)
        or _first(last[: 2 if _is_object(segments) else 1], lexicon.WEAK, WEAK)
        or _first(last, lexicon.HINTS, HINT)
    )


def _is_object(segments: list[str]) -> bool:
    """Whether what stands before the last dot is a variable or a class; a module only says where something lives."""
    return len(segments) == 2 or (len(segments) > 2 and segments[-2][0].isupper()) or segments[0] in ("self", "cls")


def _is_private(segment: str) -> bool:
    """Whether a name is private to its package: who replaces it tests that package, not what uses it."""
    return segment.startswith("_") and not segment.startswith("__")


def _first(segments: list[str], table: dict[str, Category], weight: int) -> Finding | None:
    for segment in segments:
        if found := _in_segment(segment, table, weight):
            return found
    return None


def _whole(segments: list[str]) -> Finding | None:
    owner = _is_object(segments) or segments[-1].isupper() or segments[-1] in ACCESSORS
    for segment in reversed(segments[-2 if owner else -1 :]):
        if category := lexicon.WHOLE.get(segment):
            return Finding(category, segment, MIDDLE)
    return None


def _in_segment(segment: str, table: dict[str, Category], weight: int) -> Finding | None:
    parts = words(segment) if weight > WEAK else tuple(part.rstrip("0123456789") for part in core(segment)[-1:])
    if weight == HINT and (lexicon.COMPOUND if len(core(segment)) > 1 else lexicon.ALONE).intersection(parts):
        weight = WEAK
    found = {table[word]: word for word in reversed(parts) if word in table and _fits(word, segment)}
    if segment in table and weight > WEAK:
        found[table[segment]] = segment
    last = segment.lower().rpartition("_")[2]
    if found.get(Category.OTHER) in (last, segment) and Category.OTHER in found:
        return Finding(Category.OTHER, found[Category.OTHER], weight)
    for category in SPECIFIC[:-1]:
        if category in found:
            return Finding(category, found[category], weight)
    return None


def _fits(word: str, segment: str) -> bool:
    return word not in lexicon.EXACT or core(segment) == (word,)


@lru_cache(maxsize=65536)
def core(segment: str) -> tuple[str, ...]:
    """The words that a name is about, without "mock" and the like; () for many words, which say what is done."""
    parts = [word.lower() for word in _WORD.findall(segment)]
    while parts and parts[0] in lexicon.PREFIXES:
        parts.pop(0)
    while len(parts) > 1 and parts[-1] in lexicon.SUFFIXES:
        parts.pop()
    return tuple(parts) if len(parts) <= LONGEST else ()


def of_attributes(attributes: Iterable[str]) -> Finding | None:
    """What most of the attributes used on an object belong to, or None."""
    votes: Counter[Category] = Counter()
    first: dict[Category, str] = {}
    for name in attributes:
        if category := lexicon.ATTRIBUTES.get(name):
            votes[category] += 1
            first.setdefault(category, name)
    if not votes:
        return None
    category = max(SPECIFIC, key=lambda one: votes[one])
    return Finding(category, first[category], STRONG)


def of_imports(modules: Iterable[str]) -> Finding | None:
    """The one kind of service whose libraries a file imports, or None for none and for several."""
    found: dict[Category, str] = {}
    for module in modules:
        name = module.lstrip(".").lower()
        root = name.partition(".")[0]
        category = lexicon.STRONG.get(root) or lexicon.STRONG.get(root.partition("_")[0])
        if root in lexicon.BROKERS:
            found.setdefault(Category.OTHER, module)
        elif category in SERVICES and category is not None and root != "http" and not name.startswith("urllib.parse"):
            found.setdefault(category, module)
    services = [category for category in found if category in SERVICES]
    if len(services) > 1 or not found:
        return None
    category = services[0] if services else Category.OTHER
    return Finding(category, found[category], HINT)


def certain(evidence: Evidence) -> Category | None:
    """What the evidence says by itself and beyond doubt, if anything."""
    if evidence.fixed is not None:
        return evidence.fixed.category
    return next((found.category for found in _sources(evidence) if found.weight >= MIDDLE), None)


def of_layers(modules: Iterable[str]) -> frozenset[Category]:
    """What the modules speak of that a file imports, whether the program's own or others'."""
    found: set[Category] = set()
    for module in modules:
        for part in module.lower().split("."):
            if part in lexicon.LAYERS:
                found.add(Category.DATABASE)
            found.update(category for word in words(part) if (category := lexicon.STRONG.get(word)) in SERVICES)
    return frozenset(found)


def decide(evidence: Evidence) -> Finding:
    """Weigh everything; never None: what nothing speaks for is OTHER."""
    if evidence.fixed is not None:
        return evidence.fixed
    sources = list(_sources(evidence))
    for weight in (STRONG, MIDDLE):
        for found in sources:
            if found.weight >= weight:
                return found
    if evidence.imports is not None and _is_generic(evidence):
        return evidence.imports._replace(why=f"the file imports {evidence.imports.why}")
    for found in sources:
        if found.weight > HINT or found.category in evidence.supported:
            return found
    return Finding(Category.OTHER, "nothing names a service", 0)


def _sources(evidence: Evidence) -> Iterator[Finding]:
    """Everything that speaks, the best witness first."""
    yield from _named((evidence.target,), "it replaces {}")
    yield from _named(evidence.modules, "it replaces the module {}")
    for found in _named((evidence.spec,), "its spec is {}"):
        yield found._replace(weight=max(found.weight, MIDDLE)) if found.weight > HINT else found
    yield from _named(evidence.names, "it is called {}")
    if found_used := of_attributes(evidence.attributes):
        yield found_used._replace(why=f"{found_used.why} is used on it")
    if evidence.outer is not None and evidence.outer.category is not Category.OTHER:
        yield evidence.outer._replace(why=f"it is part of a mock: {evidence.outer.why}")
    yield from _named((evidence.around,), "{} makes it")
    for found in _named((evidence.callee,), "{} takes it"):
        if found.weight == STRONG or (found.weight == WEAK and _is_class(evidence.callee)):
            yield found._replace(weight=min(found.weight, MIDDLE))


def _named(names: Iterable[str], why: str) -> Iterator[Finding]:
    for name in names:
        if name and (found := of_name(name)):
            yield found._replace(why=why.format(name))


def _is_class(dotted: str) -> bool:
    return dotted.rpartition(".")[2][:1].isupper()


def _is_generic(evidence: Evidence) -> bool:
    for name in (evidence.target, evidence.spec, *evidence.names):
        if lexicon.GENERIC.intersection(core(name.rpartition(".")[2])[-1:]) or name.endswith(("client", "Client")):
            return True
    return False
