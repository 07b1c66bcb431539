"""The command line and configuration of each native server, from the same definition and files as the containers'."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from test_framework.endpoints import Endpoints
from test_framework.errors import SettingsError
from test_framework.stack.binaries import Binaries
from test_framework.stack.cluster import cluster_arguments, os_user_for_postgres
from test_framework.stack.definition import ServiceDefinition, StackDefinition
from test_framework.stack.supervisor import ServerProgram

__all__ = ["NativeServers", "unused_keys"]

# POSTGRES_<NAME> is a server setting, except for these.
_POSTGRES_IDENTITY = {"USER", "PASSWORD", "PASSWORD_FILE", "DB", "INITDB_ARGS", "HOST_AUTH_METHOD"}


@dataclass(frozen=True, kw_only=True)
class NativeServers:
    """Values for one start: the definition, the programs, where things lie and which ports were chosen."""

    definition: StackDefinition
    binaries: Binaries
    run_dir: Path
    endpoints: Endpoints
    stack_id: str

    @property
    def images(self) -> Path:
        """Where the servers' own configuration files are."""
        return self.definition.directory / "images"

    def programs(self) -> list[ServerProgram]:
        """All of them, the slowest to start first."""
        return [self._clickhouse(), self._postgres(), self._redis(), self._monitor()]

    def environment(self) -> dict[str, str]:
        """What the servers read from their environment; secrets go this way and never onto a command line."""
        postgres, redis, clickhouse = self.endpoints.postgres, self.endpoints.redis, self.endpoints.clickhouse
        return {
            **dict(self._service("test-clickhouse").environment.items()),
            **dict(self._service("test-monitor").environment.items()),
            "CLICKHOUSE_WATCHDOG_ENABLE": "0",
            "TEST_STACK_NAME": self.definition.name,
            "TEST_STACK_ID": self.stack_id,
            "TEST_POSTGRES_HOST": postgres.host,
            "TEST_POSTGRES_PORT": str(postgres.port),
            "TEST_POSTGRES_USER": postgres.user,
            "TEST_POSTGRES_PASSWORD": postgres.password.reveal(),
            "TEST_POSTGRES_DB": postgres.database,
            "TEST_REDIS_HOST": redis.host,
            "TEST_REDIS_PORT": str(redis.port),
            "TEST_REDIS_PASSWORD": redis.password.reveal(),
            "TEST_CLICKHOUSE_HOST": clickhouse.host,
            "TEST_CLICKHOUSE_HTTP_PORT": str(clickhouse.port),
            "TEST_CLICKHOUSE_USER": clickhouse.user,
            "TEST_CLICKHOUSE_PASSWORD": clickhouse.password.reveal(),
            "TEST_CLICKHOUSE_DB": clickhouse.database,
        }

    def _service(self, name: str) -> ServiceDefinition:
        return self.definition.services[name]

    def _postgres(self) -> ServerProgram:
        assert self.binaries.postgres is not None
        endpoint = self.endpoints.postgres
        arguments = cluster_arguments(endpoint.port, endpoint.host, postgres_settings(self._service("test-postgres")))
        return ServerProgram(
            name="test-postgres",
            argv=[str(self.binaries.postgres.path), "-D", str(self.run_dir / "postgres"), *arguments],
            user=os_user_for_postgres(),
            stop_signal="INT",  # fast shutdown: TERM would wait for every client to leave
        )

    def _redis(self) -> ServerProgram:
        assert self.binaries.redis is not None
        return ServerProgram(
            name="test-redis",
            argv=[str(self.binaries.redis.path), str(self.run_dir / "redis" / "redis.conf")],
            directory=self.run_dir / "redis",
            user=os_user_for_postgres(),
        )

    def prepare(self) -> None:
        """Lay the directories and configuration files that the servers start from."""
        user = os_user_for_postgres()
        redis = self.run_dir / "redis"
        for directory in (redis, self.run_dir / "clickhouse"):
            directory.mkdir(mode=0o700)
        # Copied, since the server may run as a user who cannot read the project's directory.
        shutil.copyfile(self.images / "redis" / "redis.test.conf", redis / "redis.test.conf")
        (redis / "redis.conf").write_text(self._redis_configuration(), "utf-8")
        if user:
            for path in (redis, *redis.iterdir()):
                shutil.chown(path, user)

    def _redis_configuration(self) -> str:
        """The tuned file, then what natively differs, then the user's own flags: later lines win.

        The append-only file lies on tmpfs and is what lets a killed server come back with its data.
        """
        endpoint = self.endpoints.redis
        lines = [
            "include redis.test.conf",
            f"bind {endpoint.host}",
            f"port {endpoint.port}",
            "daemonize no",
            "appendonly yes",
            "appendfsync no",
        ]
        if endpoint.password:
            lines.append(f"requirepass {_redis_word(endpoint.password.reveal())}")
        return "\n".join([*lines, *redis_flags(self._service("test-redis"))]) + "\n"

    def _clickhouse(self) -> ServerProgram:
        endpoint, data = self.endpoints.clickhouse, self.run_dir / "clickhouse"
        if self.binaries.clickhouse:
            config = data / "config.xml"
            argv = [str(self.binaries.clickhouse.path), "server", f"--config-file={config}"]
        else:
            argv = [sys.executable, "-P", "-m", "test_framework.embedded_clickhouse", "--path", str(data / "data")]
            argv += ["--host", endpoint.host, "--port", str(endpoint.port)]
        return ServerProgram(name="test-clickhouse", argv=argv, directory=data)

    def _monitor(self) -> ServerProgram:
        endpoint = self.endpoints.monitor
        argv = [sys.executable, "-P", "-m", "monitor", "--host", endpoint.host, "--port", str(endpoint.port)]
        return ServerProgram(name="test-monitor", argv=argv, directory=self.run_dir)


def postgres_settings(service: ServiceDefinition) -> list[str]:
    """``name=value`` for each ``POSTGRES_<NAME>`` of the environment, then those of the command's ``-c`` flags.

    Raises:
        SettingsError: the command has something other than ``-c name=value`` after ``postgres``.
    """
    settings = [
        f"{name.removeprefix('POSTGRES_').lower()}={value}"
        for name, value in service.environment.items()
        if name.startswith("POSTGRES_") and name.removeprefix("POSTGRES_") not in _POSTGRES_IDENTITY and value
    ]
    words = list(service.command)
    if words and words[0] == "postgres":
        words.pop(0)
    while words:
        flag, value = words.pop(0), words.pop(0) if words else ""
        if flag != "-c" or "=" not in value:
            raise SettingsError(
                f"the command of test-postgres has {shlex.join([flag, value])}, which cannot be used natively",
                where=service.raw.place("command"),
                fix="write settings as: postgres -c name=value",
            )
        settings.append(value)
    return settings


def redis_flags(service: ServiceDefinition) -> list[str]:
    """Configuration lines from the command's ``--name value…`` flags.

    Raises:
        SettingsError: the command has something else after ``redis-server``.
    """
    words = list(service.command)
    if words and words[0] == "redis-server":
        words.pop(0)
    lines: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            lines.append([word.removeprefix("--")])
        elif lines:
            lines[-1].append(_redis_word(word))
        else:
            raise SettingsError(
                f"the command of test-redis has {word!r} where a flag is expected",
                where=service.raw.place("command"),
                fix="write it as: redis-server --maxmemory 1gb --maxmemory-policy allkeys-lru",
            )
    return [" ".join(line) for line in lines]


def _redis_word(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# What the native backend takes from a service's block.
_USED = {"environment", "command", "ports", "tmpfs", "volumes", "mem_limit", "memswap_limit", "deploy"}


def unused_keys(definition: StackDefinition) -> list[tuple[str, str]]:
    """``(file:line, key of service)`` for everything in the override file that changes nothing natively.

    The main file's own container options are meant for containers only, and are not listed.
    """
    override = [str(file) for file in definition.files[1:]]
    return [
        (service.raw.place(key), f"{key!r} of {service.name}")
        for service in definition.services.values()
        for key in service.raw
        if key not in _USED and service.raw.place(key).rpartition(":")[0] in override
    ]
