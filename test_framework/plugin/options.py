"""Options of the command line and their twins in the ini file: one table, one reader.

Order for every value: command line, then environment (where there is a variable), then ini file, then default.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from test_framework.plugin.exports import Export, parse_exports

__all__ = ["ISOLATIONS", "Options", "add_options", "read_options"]

T = TypeVar("T")

ISOLATIONS = ("transaction", "database")
SERVICES = ("postgres", "redis", "clickhouse")
GROUP = "real services"
# More than this is seldom looked at, and every kept Redis database is one less for the tests.
KEEP_DEFAULT = 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was said on the command line and in the ini file.

    Args:
        flag: ``--real-services`` is ``True``, ``--no-real-services`` is ``False``; ``None``: neither.
        ini: the same from the ini key ``real_services``.
        keep_failed: how many failed tests of one worker keep what they owned.
        postgres_isolation: ``transaction`` or ``database``, for tests that do not decide by themselves.
        postgres_savepoints: put a savepoint behind every statement of a transaction.
        lease_timeout: seconds to wait for a database when all are taken; ``None``: what the engine thinks right.
        database_prefix: what the names of tests' own databases begin with; ``None``: nobody said.
        exports: variables with whole URLs that are set before the user's code is imported.
        app: ``package.module:name`` of the application that tests speak to; ``None``: the reference service.
        app_services: the services that it needs.
        level: how much may happen at once, by the name of a level; ``None``: not on the command line.
        ini_level: the same from the ini file; the variable ``TEST_LEVEL`` goes before it.
        report: where the figures of the run are written, as a page or JSON.
        llm: what the ini file says about language models, by name.
        llm_cassettes: the directory of recordings, beside each test file.
        llm_record: make all recordings anew.
    """

    flag: bool | None = None
    ini: bool | None = None
    keep_failed: int = 0
    postgres_isolation: str = ISOLATIONS[0]
    postgres_savepoints: bool = True
    lease_timeout: float | None = None
    database_prefix: str | None = None
    exports: tuple[Export, ...] = ()
    app: str | None = None
    app_services: tuple[str, ...] = SERVICES
    level: str | None = None
    ini_level: str | None = None
    report: Path | None = None
    llm: Mapping[str, Any] = field(default_factory=dict)
    llm_cassettes: str = "cassettes"
    llm_record: bool = False


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number: write --keep-failed=5, or put the option behind the paths"
        ) from None
    if count < 0:
        raise argparse.ArgumentTypeError("it cannot be negative")
    return count


def add_options(parser: pytest.Parser) -> None:
    """Declare everything. Names of the ini keys are those of the options, with underscores."""
    group = parser.getgroup(GROUP)
    _add_needs(group)
    _add_isolation(group)
    _add_measuring(group)
    for name, text in _INI.items():
        parser.addini(name, text, type="string", default=None)
    parser.addini("llm_prices", _PRICES, type="linelist", default=[])
    parser.addini("real_services_env", _URLS, type="args", default=[])
    parser.addini("real_services_app_services", _NEEDS, type="args", default=list(SERVICES))


def _add_needs(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--real-services",
        dest="real_services",
        action="store_const",
        const=True,
        default=None,
        help="A service that cannot be reached is an error (also: USE_REAL_SERVICES=true).",
    )
    group.addoption(
        "--no-real-services",
        dest="real_services",
        action="store_const",
        const=False,
        default=None,
        help="Skip every test that needs a service (also: USE_REAL_SERVICES=false).",
    )
    group.addoption(
        "--real-services-app",
        metavar="MODULE:NAME",
        default=None,
        help="The ASGI application, or the function that makes one, that real_http_client and its like speak to.",
    )


def _add_isolation(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--keep-failed",
        metavar="N",
        nargs="?",
        type=_count,
        const=KEEP_DEFAULT,
        default=None,
        help=f"Keep what the first N (default {KEEP_DEFAULT}) failed tests of each worker owned; print how to connect.",
    )
    group.addoption(
        "--postgres-isolation",
        choices=ISOLATIONS,
        default=None,
        help="Isolation of tests that do not decide by themselves: a transaction (default), or a database each.",
    )
    group.addoption(
        "--lease-timeout",
        metavar="SECONDS",
        type=float,
        default=None,
        help="How long a test waits for a database when all of them are taken.",
    )


def _add_measuring(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--real-services-level",
        metavar="LEVEL",
        default=None,
        help="How much may happen at once: development, ci_fast, ci_thorough or production (also: TEST_LEVEL).",
    )
    group.addoption(
        "--real-services-report",
        metavar="FILE",
        default=None,
        help="Write what tests waited for, and what it means, to FILE.html or FILE.json.",
    )
    group.addoption(
        "--llm-record",
        action="store_true",
        default=None,
        help="Ask the language model (TEST_LLM_API_KEY) and make the recordings of these tests anew.",
    )


_INI = {
    "real_services": "true: as --real-services; false: as --no-real-services; auto (default): run what can be reached.",
    "keep_failed": "As --keep-failed=N.",
    "postgres_isolation": "As --postgres-isolation.",
    "postgres_savepoints": "false: no savepoint behind each statement, so a failing one ends the test's transaction.",
    "lease_timeout": "As --lease-timeout.",
    "database_prefix": "What the names of tests' own databases begin with (also: TEST_DATABASE_PREFIX).",
    "real_services_app": "As --real-services-app.",
    "real_services_level": "As --real-services-level.",
    "real_services_report": "As --real-services-report.",
    "llm_model": "The language model that tests ask when they name none.",
    "llm_test_budget": "What one test may spend on language models, in the currency of llm_prices (0.10).",
    "llm_run_budget": "What all tests of a run may spend together (1.00).",
    "llm_rate": "Requests to language models in a minute, by all workers together (60).",
    "llm_cassettes": "The directory of recordings, beside each test file (cassettes).",
}
_LLM = ("llm_model", "llm_prices", "llm_test_budget", "llm_run_budget", "llm_rate")
_PRICES = "A line for each model: MODEL = INPUT OUTPUT [MAX_OUTPUT], prices per million tokens; * in a name fits any."
_NEEDS = f"The services that the application needs: some of {' '.join(SERVICES)} (default: all)."
_URLS = (
    "URL variables to set before your code is imported: DATABASE_URL REDIS_URL CLICKHOUSE_URL,"
    " or NAME=scheme, as in DATABASE_URL=postgresql+asyncpg."
)


def read_options(config: pytest.Config) -> Options:
    """Everything that was said. Works with the defaults when this plugin's options were never declared.

    Raises:
        pytest.UsageError: an ini value is impossible; the message names the key.
    """
    return Options(
        flag=config.getoption("real_services", None),
        ini=_parsed(config, "real_services", _tristate, "true, false or auto", default=None),
        keep_failed=_said(config, "keep_failed", _count, "a number", 0),
        postgres_isolation=_said(config, "postgres_isolation", _isolation, " or ".join(ISOLATIONS), ISOLATIONS[0]),
        postgres_savepoints=_parsed(config, "postgres_savepoints", _boolean, "true or false", default=True),
        lease_timeout=_said(config, "lease_timeout", _seconds, "a positive number of seconds", None),
        database_prefix=_ini(config, "database_prefix") or None,
        exports=parse_exports(_ini(config, "real_services_env") or []),
        app=_said(config, "real_services_app", str, "module:name", None),
        app_services=_services(_ini(config, "real_services_app_services")),
        level=_level(config.getoption("real_services_level", None)),
        ini_level=_parsed(config, "real_services_level", _level, "a level", default=None),
        report=_said(config, "real_services_report", _report, "a name that ends in .html or .json", None),
        llm={name: value for name in _LLM if (value := _ini(config, name))},
        llm_cassettes=_ini(config, "llm_cassettes") or "cassettes",
        llm_record=bool(config.getoption("llm_record", None)),
    )


def _level(text: str | None) -> str | None:
    if text is None:
        return None
    from test_framework.performance.levels import OptimizationLevel

    try:
        return OptimizationLevel.named(text).value
    except ValueError:
        names = ", ".join(OptimizationLevel)
        raise pytest.UsageError(f"--real-services-level, or its ini value, is {text!r}; known are {names}") from None


def _report(text: str) -> Path:
    if not text.endswith((".html", ".json")):
        raise ValueError(text)
    return Path(text)


def _services(names: Sequence[str] | None) -> tuple[str, ...]:
    unknown = [name for name in names or () if name not in SERVICES]
    if unknown:
        raise pytest.UsageError(
            f"the ini value real_services_app_services holds {unknown[0]!r}; known are {', '.join(SERVICES)}"
        )
    return SERVICES if names is None else tuple(names)


def _said(config: pytest.Config, name: str, parse: Callable[[str], T], expected: str, default: T) -> T:
    value: Any = config.getoption(name, None)
    if value is None:
        return _parsed(config, name, parse, expected, default=default)
    try:
        return parse(value) if isinstance(value, str) else value
    except ValueError:
        raise pytest.UsageError(f"--{name.replace('_', '-')}={value}: this is not {expected}") from None


def _parsed(config: pytest.Config, name: str, parse: Callable[[str], T], expected: str, *, default: T) -> T:
    text = _ini(config, name)
    if text is None or text == "":
        return default
    try:
        return parse(str(text).strip())
    except (ValueError, argparse.ArgumentTypeError):
        raise pytest.UsageError(f"the ini value {name} = {text!r} is not {expected}") from None


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (ValueError, KeyError):  # star-imported fixtures under "-p no:test_framework"
        return None


def _one_of(choices: Sequence[str], text: str) -> str:
    if text not in choices:
        raise ValueError(text)
    return text


def _isolation(text: str) -> str:
    return _one_of(ISOLATIONS, text)


def _boolean(text: str) -> bool:
    return _one_of(("true", "false"), text.lower()) == "true"


def _tristate(text: str) -> bool | None:
    return None if text.lower() == "auto" else _boolean(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value
