"""What the user wants, read from the environment in this one place.

Order for every value: environment variable, then ``.env.test`` in the project directory, then what the running
stack published, then the default. Everything else receives the frozen values made here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from test_framework.endpoints import Endpoints, Secret
from test_framework.errors import SettingsError
from test_framework.state import StackState, find_state_directory, read_state

__all__ = ["Settings", "Variables", "endpoint_variables", "load_settings", "read_variables"]

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_STACK_NAME = "netra-test"
BACKENDS = ("auto", "compose", "native", "external")
FIXTURE_MODES = ("replace", "extend")
# Tokens made with it are worth nothing outside of tests. HS256 asks for at least 32 bytes.
DEFAULT_JWT_SECRET = "test-framework-signs-tokens-for-tests-only"  # noqa: S105 - published on purpose
# The variables that say where a service is, each with the field that it is about.
_ENDPOINT_VARIABLES = {
    "TEST_POSTGRES_HOST": ("postgres", "host"),
    "TEST_POSTGRES_PORT": ("postgres", "port"),
    "TEST_POSTGRES_USER": ("postgres", "user"),
    "TEST_POSTGRES_PASSWORD": ("postgres", "password"),
    "TEST_POSTGRES_DB": ("postgres", "database"),
    "TEST_POSTGRES_SSLMODE": ("postgres", "sslmode"),
    "TEST_POSTGRES_SSLROOTCERT": ("postgres", "sslrootcert"),
    "TEST_REDIS_HOST": ("redis", "host"),
    "TEST_REDIS_PORT": ("redis", "port"),
    "TEST_REDIS_PASSWORD": ("redis", "password"),
    "TEST_REDIS_SSL": ("redis", "ssl"),
    "TEST_REDIS_SSL_CA_CERTS": ("redis", "ssl_ca_certs"),
    "TEST_CLICKHOUSE_HOST": ("clickhouse", "host"),
    "TEST_CLICKHOUSE_HTTP_PORT": ("clickhouse", "port"),
    "TEST_CLICKHOUSE_USER": ("clickhouse", "user"),
    "TEST_CLICKHOUSE_PASSWORD": ("clickhouse", "password"),
    "TEST_CLICKHOUSE_DB": ("clickhouse", "database"),
    "TEST_CLICKHOUSE_SECURE": ("clickhouse", "secure"),
    "TEST_CLICKHOUSE_CA_CERT": ("clickhouse", "ca_cert"),
    "TEST_MONITOR_HOST": ("monitor", "host"),
    "TEST_MONITOR_PORT": ("monitor", "port"),
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
# What Docker accepts as a project name; it also becomes part of directory and container names.
_STACK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a user can say, as values.

    Args:
        use_real_services: ``True``: an unreachable service is an error; ``False``: skip; ``None``: nobody said.
        connection_timeout: seconds to open one connection.
        query_timeout: seconds for one statement.
        startup_timeout: seconds until the whole stack must be healthy.
        fixtures_dirs: the user's own fixture folders, in loading order.
        fixtures_mode: ``replace`` the shipped seed data by them, or ``extend`` it.
        migrate_command: shell words that bring the schema up, run with ``DATABASE_URL`` set.
        migrate_paths: files and folders whose content shapes what that command does.
        seed_callable: ``package.module:function``, called with the DSN of the database being built.
        database_prefix: what the names of tests' own databases begin with; ``None``: the usual ``apes_test``.
        jwt_secret: signs the tokens that tests get; the application under test must know the same.
        level: how much may happen at once, by the name of a level; ``None``: the machine decides.
        ci: this runs in continuous integration; whatever ``CI`` is set to, unless it is a word for "no".
    """

    stack_name: str
    project_dir: Path
    backend: str
    endpoints: Endpoints
    published: StackState | None
    use_real_services: bool | None
    connection_timeout: float
    query_timeout: float
    startup_timeout: float
    fixtures_dirs: tuple[Path, ...]
    fixtures_mode: str
    migrate_command: str | None
    migrate_paths: tuple[Path, ...]
    seed_callable: str | None
    database_prefix: str | None
    auth_service_url: str | None
    backend_service_url: str | None
    websocket_url: str | None
    llm_api_key: Secret
    llm_base_url: str | None
    jwt_secret: Secret = Secret(DEFAULT_JWT_SECRET)
    level: str | None = None
    ci: bool = False


class Variables(Mapping[str, str]):
    """Environment variables over ``.env.test``; knows where each value came from, so that errors can say it.

    An empty value counts as unset, as it does for Compose's ``${NAME:-default}``.
    """

    def __init__(self, environ: Mapping[str, str], from_file: Mapping[str, str], file: Path | None) -> None:
        self._environ = environ
        self._from_file = from_file
        self._file = file

    def __getitem__(self, name: str) -> str:
        return self._environ[name] if name in self._environ else self._from_file[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._from_file, **self._environ})

    def __len__(self) -> int:
        return len({**self._from_file, **self._environ})

    def origin(self, name: str) -> str:
        """Where ``name`` was set, for messages."""
        return f"environment variable {name}" if name in self._environ else f"{name} in {self._file}"

    def text(self, name: str, default: T) -> str | T:
        return self.get(name) or default

    def parsed(self, name: str, parse: Callable[[str], U], expected: str, default: T) -> U | T:
        """The value of ``name`` through ``parse``; a ``ValueError`` there names the variable and what it should be."""
        text = self.get(name)
        if not text:
            return default
        try:
            return parse(text.strip())
        except ValueError:
            raise SettingsError(
                f"{name} has the value {text!r}, which is not {expected}",
                where=self.origin(name),
                fix=f"set {name} to {expected}, or unset it",
            ) from None

    def port(self, name: str, default: int) -> int:
        """A TCP port. ``0`` means "any free one", so clients then take what the stack published."""
        return self.parsed(name, _parse_port, "a port number from 0 to 65535", default) or default

    def seconds(self, name: str, default: float) -> float:
        return self.parsed(name, _parse_seconds, "a positive number of seconds", default)

    def flag(self, name: str, default: T) -> bool | T:
        return self.parsed(name, _parse_flag, "true or false", default)

    def secret(self, name: str, default: Secret) -> Secret:
        """A password. An empty one is a value of its own: it says that the server asks for none."""
        return Secret(self[name]) if name in self else default

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        def parse(text: str) -> str:
            if text not in allowed:
                raise ValueError(text)
            return text

        return self.parsed(name, parse, f"one of {', '.join(allowed)}", default)


def _parse_port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError(text)
    return port


def _parse_seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _parse_flag(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _parse_stack_name(text: str) -> str:
    if not _STACK_NAME.fullmatch(text):
        raise ValueError(text)
    return text


def read_variables(project_dir: Path, environ: Mapping[str, str] | None = None) -> Variables:
    """The environment over ``project_dir/.env.test``."""
    file = project_dir / ".env.test"
    from_file: dict[str, str] = {}
    if file.is_file():
        from dotenv import dotenv_values  # most projects have no such file: do not pay for the import

        from_file = {name: value for name, value in dotenv_values(file).items() if value is not None}
    return Variables(os.environ if environ is None else environ, from_file, file)


def stack_name_of(variables: Variables) -> str:
    """The stack's name: lower-case letters, digits, ``-`` and ``_``, at most 48 characters."""
    return variables.parsed(
        "TEST_STACK_NAME",
        _parse_stack_name,
        "lower-case letters, digits, '-' or '_' (at most 48), starting with a letter or digit",
        DEFAULT_STACK_NAME,
    )


def state_directory_of(variables: Variables) -> Path:
    """Where this user's stack of that name publishes its state."""
    return find_state_directory(stack_name_of(variables), variables.text("TEST_STATE_DIR", None))


def load_settings(
    project_dir: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read everything once.

    Raises:
        SettingsError: a variable has an impossible value; the message names it and where it was set.
    """
    project = (project_dir or Path.cwd()).resolve()
    variables = read_variables(project, environ)
    published = read_state(state_directory_of(variables))
    return Settings(
        stack_name=stack_name_of(variables),
        project_dir=project,
        backend=variables.choice("TEST_BACKEND", BACKENDS, "auto"),
        endpoints=_endpoints(variables, published.endpoints if published else Endpoints()),
        published=published,
        use_real_services=variables.flag("USE_REAL_SERVICES", None),
        connection_timeout=variables.seconds("TEST_CONNECTION_TIMEOUT", 10.0),
        query_timeout=variables.seconds("TEST_QUERY_TIMEOUT", 30.0),
        startup_timeout=variables.seconds("TEST_SERVICE_STARTUP_TIMEOUT", 60.0),
        fixtures_dirs=_paths(variables, "TEST_FIXTURES_DIR", project),
        fixtures_mode=variables.choice("TEST_FIXTURES_MODE", FIXTURE_MODES, "replace"),
        migrate_command=variables.text("TEST_MIGRATE_COMMAND", None),
        migrate_paths=_paths(variables, "TEST_MIGRATE_PATHS", project),
        seed_callable=variables.text("TEST_SEED_CALLABLE", None),
        database_prefix=variables.text("TEST_DATABASE_PREFIX", None),
        auth_service_url=variables.text("TEST_AUTH_SERVICE_URL", None),
        backend_service_url=variables.text("TEST_BACKEND_SERVICE_URL", None),
        websocket_url=variables.text("TEST_WEBSOCKET_URL", None),
        llm_api_key=Secret(variables.text("TEST_LLM_API_KEY", "")),
        llm_base_url=variables.text("TEST_LLM_BASE_URL", None),
        jwt_secret=Secret(variables.text("TEST_JWT_SECRET", DEFAULT_JWT_SECRET)),
        level=variables.text("TEST_LEVEL", None),
        ci=variables.text("CI", "no").lower() not in {"no", *_FALSE},
    )


def _paths(variables: Variables, name: str, project: Path) -> tuple[Path, ...]:
    text = variables.text(name, "")
    return tuple(project / part for part in text.split(os.pathsep) if part)


def _endpoints(variables: Variables, base: Endpoints) -> Endpoints:
    readers: dict[type, Callable[[str, Any], Any]] = {
        int: variables.port,
        bool: variables.flag,
        Secret: variables.secret,
    }
    found: dict[str, dict[str, Any]] = {}
    for name, (service, field) in _ENDPOINT_VARIABLES.items():
        default = getattr(getattr(base, service), field)
        found.setdefault(service, {})[field] = readers.get(type(default), variables.text)(name, default)
    return replace(base, **{service: replace(getattr(base, service), **values) for service, values in found.items()})


def endpoint_variables(endpoints: Endpoints) -> dict[str, str]:
    """The variables from which :func:`load_settings` reads these very endpoints; passwords in clear."""
    values = {
        name: getattr(getattr(endpoints, service), field) for name, (service, field) in _ENDPOINT_VARIABLES.items()
    }
    return {name: _text_of(value) for name, value in values.items() if value is not None}


def _text_of(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    return str(value).lower() if isinstance(value, bool) else str(value)
