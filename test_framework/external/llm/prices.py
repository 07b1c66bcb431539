"""What tokens cost: a table that the user writes, since prices change. Money is counted in decimals, not in floats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any

from test_framework.errors import SettingsError

__all__ = ["Price", "PriceTable", "Usage", "parse_money"]

_MILLION = Decimal(1_000_000)
_FORM = "MODEL = INPUT OUTPUT [MAX_OUTPUT]"
# What a model may answer at most when the request sets no limit; the documented limits of today's models are below it.
DEFAULT_MAX_OUTPUT = 131_072


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one call, or of several."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )

    @classmethod
    def of(cls, answer: Any) -> Usage | None:
        """What an answer, or the last event of a stream, says; ``None`` when it says nothing."""
        found = answer.get("usage") if isinstance(answer, dict) else None
        if not isinstance(found, dict) or not isinstance(found.get("prompt_tokens"), int):
            return None
        return cls(prompt_tokens=found["prompt_tokens"], completion_tokens=int(found.get("completion_tokens") or 0))


@dataclass(frozen=True, kw_only=True)
class Price:
    """Of one model, in one currency.

    Args:
        input: for a million tokens that are sent.
        output: for a million tokens that come back.
        max_output: tokens that come back at most when the request sets no limit.
    """

    input: Decimal
    output: Decimal
    max_output: int = DEFAULT_MAX_OUTPUT

    def cost(self, usage: Usage) -> Decimal:
        """The exact price, not rounded."""
        return (self.input * usage.prompt_tokens + self.output * usage.completion_tokens) / _MILLION


class PriceTable:
    """Prices by model. A name may have ``*`` in it; an exact name goes before those, and those go in their order."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """Read lines of the form ``MODEL = INPUT OUTPUT [MAX_OUTPUT]``.

        Raises:
            SettingsError: a line says something else; the message has it.
        """
        self._prices: dict[str, Price] = {}
        for line in lines:
            text = line.partition("#")[0].strip()
            if text:
                model, price = _parse(text)
                self._prices[model] = price

    def price(self, model: str) -> Price:
        """The price of ``model``.

        Raises:
            SettingsError: nobody wrote it down.
        """
        if model in self._prices:
            return self._prices[model]
        for pattern, price in self._prices.items():
            if fnmatchcase(model, pattern):
                return price
        raise SettingsError(
            f"the price of the model {model!r} is not known, so no budget can hold it",
            cause=f"known: {', '.join(self._prices) or 'none'}",
            fix=f"add '{_FORM.replace('MODEL', model)}' (per million tokens) to llm_prices; for a free one '* = 0 0'",
        )


def _parse(text: str) -> tuple[str, Price]:
    model, equals, rest = text.partition("=")
    words = rest.split()
    try:
        if not equals or not model.strip() or len(words) not in (2, 3):
            raise ValueError(text)
        limit = int(words[2]) if len(words) == 3 else DEFAULT_MAX_OUTPUT
        return model.strip(), Price(input=parse_money(words[0]), output=parse_money(words[1]), max_output=limit)
    except ValueError:
        raise SettingsError(
            f"the price {text!r} is not understood", where="llm_prices", fix=f"write {_FORM}, per million tokens"
        ) from None


def parse_money(text: str) -> Decimal:
    """A sum that is not negative.

    Raises:
        ValueError: it is no such number.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(text)
    return amount
