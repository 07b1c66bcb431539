"""The language model of one test: where its recording is, and what happens when nobody can answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from test_framework.errors import FrameworkError, SettingsError
from test_framework.external.llm import LlmTestResource, LlmUnavailable, cassette_name
from test_framework.plugin.run import run_of

if TYPE_CHECKING:
    from test_framework.environments.models import LanguageModels
    from test_framework.plugin.run import Run

__all__ = ["cassette_of", "language_models", "llm_of", "require_llm"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


def language_models(run: Run) -> LanguageModels:
    """The run's: one purse for all workers of this machine.

    Raises:
        pytest.UsageError: a price, budget or rate is impossible.
    """
    from test_framework.environments.models import LanguageModels
    from test_framework.external.llm.settings import read_llm_settings
    from test_framework.settings import read_variables

    settings = run.settings
    variables = read_variables(settings.project_dir)
    try:
        said = read_llm_settings(
            variables, api_key=settings.llm_api_key, base_url=settings.llm_base_url, ini=run.options.llm
        )
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from error
    secrets = [settings.jwt_secret, *(getattr(run.endpoints, name).password for name in _WITH_PASSWORD)]
    return LanguageModels(
        said,
        account=run.gauges.llm_account,
        workers=run.workers,
        secrets=[secret.reveal() for secret in secrets],
        record=run.options.llm_record,
    )


_WITH_PASSWORD = ("postgres", "redis", "clickhouse")


def cassette_of(item: pytest.Item) -> Path:
    """``cassettes/test_module/test_name.yaml`` beside the test's file; the class goes before the name."""
    directory = run_of(item.config).options.llm_cassettes
    name = item.nodeid.partition("::")[2].replace("::", ".") or item.name
    return item.path.parent / directory / item.path.stem / cassette_name(name)


def llm_of(item: pytest.Item) -> LlmTestResource:
    """The test's own client. It asks nobody before the test does."""
    run = run_of(item.config)
    return run.gauges.models.make(item.nodeid, cassette_of(item), missing=lambda: _skip(item))


def require_llm(item: pytest.Item) -> None:
    """Return if a call could be answered; otherwise skip the test, with a reason."""
    run = run_of(item.config)
    if not run.settings.llm_api_key and not cassette_of(item).is_file():
        _skip(item)


def _skip(item: pytest.Item) -> FrameworkError:
    reason = (
        f"no language model: there is no recording {cassette_of(item).relative_to(item.path.parent)} and no key to make"
        " one; commit the recording, or set TEST_LLM_API_KEY (and TEST_LLM_BASE_URL) for one run"
    )
    skip: Any = pytest.skip.Exception(reason, _use_item_location=True)
    skip.service_skip = reason.partition(";")[0]
    raise skip from LlmUnavailable(reason)
