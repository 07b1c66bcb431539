"""Language models in tests: an OpenAI-compatible client with prices, budgets, a rate limit and recordings."""

from __future__ import annotations

from test_framework.external.llm.budget import FileAccount, MemoryAccount, Purse
from test_framework.external.llm.cassette import Cassette, cassette_name
from test_framework.external.llm.client import ChatAnswer, LlmConfig, LlmTestResource
from test_framework.external.llm.errors import BudgetExceeded, CassetteMismatch, LlmError, LlmUnavailable
from test_framework.external.llm.prices import Price, PriceTable, Usage
from test_framework.external.llm.rate import RateLimit
from test_framework.external.llm.scrubbing import Scrubber

__all__ = [
    "BudgetExceeded",
    "Cassette",
    "CassetteMismatch",
    "ChatAnswer",
    "FileAccount",
    "LlmConfig",
    "LlmError",
    "LlmTestResource",
    "LlmUnavailable",
    "MemoryAccount",
    "Price",
    "PriceTable",
    "Purse",
    "RateLimit",
    "Scrubber",
    "Usage",
    "cassette_name",
]
