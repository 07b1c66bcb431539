"""Answers about texts of statements, remembered: programs, and tests above all, send the same few again and again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

__all__ = ["remembering"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
#: Bytes of a text and number of texts that are remembered at most.
_SMALL, _MANY = 4096, 512


def remembering(answer: Callable[Concatenate[bytes, _P], _T]) -> Callable[Concatenate[bytes, _P], _T]:
    """Ask a function of a text, and of nothing else that changes, once for each small text."""
    known = functools.lru_cache(maxsize=_MANY)(answer)

    @functools.wraps(answer)
    def ask(sql: bytes, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return (known if len(sql) <= _SMALL else answer)(sql, *args, **kwargs)  # type: ignore[arg-type] # hashable by use

    return ask
