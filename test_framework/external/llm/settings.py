"""What a user says about language models, from variables and the ini file, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from test_framework.endpoints import Secret
from test_framework.errors import SettingsError
from test_framework.external.llm.client import DEFAULT_BASE_URL, LlmConfig
from test_framework.external.llm.prices import PriceTable, parse_money

__all__ = ["LLM_NAMES", "LlmSettings", "read_llm_settings"]

T = TypeVar("T")

# The name of each in the ini file; as a variable it is TEST_ and the same in capitals.
LLM_NAMES = ("llm_model", "llm_prices", "llm_test_budget", "llm_run_budget", "llm_rate")


@dataclass(frozen=True, kw_only=True)
class LlmSettings:
    """The endpoint, and what tests may spend there.

    Args:
        test_budget: for one test, in the currency of the prices.
        run_budget: for all tests of a run together.
        rate: requests in a minute, by all workers together.
    """

    config: LlmConfig
    test_budget: Decimal = Decimal("0.10")
    run_budget: Decimal = Decimal("1.00")
    rate: float = 60.0


def read_llm_settings(
    said: Mapping[str, str], *, api_key: Secret, base_url: str | None, ini: Mapping[str, str | Sequence[str]]
) -> LlmSettings:
    """What ``said`` (variables) and ``ini`` say, in this order.

    Args:
        said: ``TEST_LLM_MODEL``, ``TEST_LLM_PRICES`` (separated by ``;``) and so on.
        ini: the values of :data:`LLM_NAMES` that are set there.

    Raises:
        SettingsError: a value is impossible; the message names it.
    """

    def text(name: str) -> str | None:
        value = said.get(f"TEST_{name.upper()}") or ini.get(name) or None
        return value if value is None or isinstance(value, str) else "\n".join(value)

    prices = (text("llm_prices") or "").replace(";", "\n").splitlines()
    config = LlmConfig(
        base_url=base_url or DEFAULT_BASE_URL, api_key=api_key, model=text("llm_model"), prices=PriceTable(prices)
    )
    plain = LlmSettings(config=config)
    return LlmSettings(
        config=config,
        test_budget=_parsed(text, "llm_test_budget", parse_money, plain.test_budget),
        run_budget=_parsed(text, "llm_run_budget", parse_money, plain.run_budget),
        rate=_parsed(text, "llm_rate", _rate, plain.rate),
    )


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _parsed(text: Callable[[str], str | None], name: str, parse: Callable[[str], T], default: T) -> T:
    found = text(name)
    if found is None:
        return default
    try:
        return parse(found.strip())
    except ValueError:
        raise SettingsError(
            f"{name} has the value {found!r}, which is not a number above zero",
            where=f"the ini value {name}, or the variable TEST_{name.upper()}",
            fix="write a number, for example 0.25",
        ) from None
