"""Names of types, as the Native format spells them, taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from test_framework.embedded_clickhouse.lexer import PUNCT, QUOTED, STRING, WORD, Token, identifier_text, tokens

__all__ = ["TypeName", "parse_type"]


@dataclass(frozen=True, slots=True)
class TypeName:
    """One type: ``Tuple(a UInt8, String)`` has two types; ``Decimal(9, 2)`` has two parameters and no types.

    The typed paths of a JSON type come in the order in which it writes them, sorted by path.
    """

    name: str
    types: tuple[TypeName, ...] = ()
    parameters: tuple[str, ...] = ()


def parse_type(name: str) -> TypeName:
    """Take a type's name apart."""
    sql = name.encode()
    found = list(tokens(sql))
    return _type(sql, found)


def _type(sql: bytes, found: list[Token]) -> TypeName:
    head = _text(sql, found[0])
    arguments = list(_arguments(sql, found[2:-1])) if len(found) > 1 else []
    if head == "JSON":
        paths = {path: of for path, of in (_path(sql, argument) for argument in arguments) if of is not None}
        return TypeName(head, tuple(paths[path] for path in sorted(paths)))
    types = tuple(_element(sql, argument) for argument in arguments if _is_type(argument))
    parameters = tuple(_text(sql, argument[0]) for argument in arguments if not _is_type(argument))
    return TypeName(head, types, parameters)


def _text(sql: bytes, token: Token) -> str:
    return identifier_text(sql, token).decode("utf-8", "surrogateescape")


def _arguments(sql: bytes, found: list[Token]) -> Iterator[list[Token]]:
    """The tokens between the commas outside all brackets."""
    depth, current = 0, list[Token]()
    for token in found:
        sign = sql[token[1] : token[2]] if token[0] == PUNCT else b""
        depth += {b"(": 1, b")": -1}.get(sign, 0)
        if depth == 0 and sign == b",":
            yield current
            current = []
        else:
            current.append(token)
    if current:
        yield current


def _is_type(argument: list[Token]) -> bool:
    return argument[0][0] in (WORD, QUOTED)


def _element(sql: bytes, argument: list[Token]) -> TypeName:
    """A type, with or without the name of the element before it."""
    named = len(argument) > 1 and argument[1][0] == WORD
    return _type(sql, argument[1:] if named else argument)


def _path(sql: bytes, argument: list[Token]) -> tuple[str, TypeName | None]:
    """A path of a JSON type and its type; no type for SKIP and for limits."""
    signs = [sql[token[1] : token[2]] for token in argument]
    end = 1
    while end + 1 < len(argument) and signs[end] == b".":
        end += 2
    path = "".join(_text(sql, token) for token in argument[:end])
    is_other = end >= len(argument) or argument[end][0] in (PUNCT, STRING) or signs[0] == b"SKIP"
    return path, None if is_other else _type(sql, argument[end:])
