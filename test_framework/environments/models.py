"""Language models for tests: one purse for the run, one rate, a recording for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from test_framework.errors import FrameworkError
from test_framework.external.llm import (
    Cassette,
    FileAccount,
    LlmTestResource,
    MemoryAccount,
    Purse,
    RateLimit,
    Scrubber,
)
from test_framework.external.llm.settings import LlmSettings

__all__ = ["LanguageModels"]


class LanguageModels:
    """Makes the client of each test.

    Args:
        account: a file through which all workers of a run share their budget; ``None``: this process is alone.
        workers: how many share the rate.
        secrets: texts that no recording may hold, besides the key.
        record: make every recording anew.
    """

    def __init__(
        self, settings: LlmSettings, *, account: Path | None = None, workers: int = 1, secrets: Iterable[str] = (),
        record: bool = False,
    ) -> None:  # fmt: skip
        self.settings = settings
        self._account = MemoryAccount() if account is None else FileAccount(account)
        self._rate = RateLimit(settings.rate / max(1, workers))
        self._scrubber = Scrubber([settings.config.api_key.reveal(), *secrets])
        self._record = record

    def make(self, test: str, file: Path, *, missing: Callable[[], FrameworkError] | None = None) -> LlmTestResource:
        """The client of ``test``, whose recording is, or will be, ``file``."""
        settings = self.settings
        return LlmTestResource(
            settings.config,
            cassette=Cassette(file, test, self._scrubber),
            record=self._record and bool(settings.config.api_key),
            purse=Purse(test_limit=settings.test_budget, run_limit=settings.run_budget, run=self._account),
            rate=self._rate,
            missing=missing,
        )

    def close(self) -> None:
        """End the counting of the rate."""
        self._rate.close()
