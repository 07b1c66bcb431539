"""What a failed test leaves behind on demand, and the lines that connect to it."""

from __future__ import annotations

import shlex
from pathlib import Path

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint

__all__ = ["HINT", "connect_line", "directory_line"]

# The lines hold no password: they end up in reports that others can read.
HINT = 'passwords come from the environment: eval "$(test-framework env)"'


def connect_line(endpoint: PostgresEndpoint | RedisEndpoint | ClickHouseEndpoint) -> str:
    """One line for a shell that opens what ``endpoint`` names. No secret is in it."""
    if isinstance(endpoint, PostgresEndpoint):
        return _postgres(endpoint)
    if isinstance(endpoint, RedisEndpoint):
        return _redis(endpoint)
    return _clickhouse(endpoint)


def directory_line(path: Path) -> str:
    """One line for a shell that goes to a directory."""
    return shlex.join(["cd", str(path)])


def _postgres(endpoint: PostgresEndpoint) -> str:
    secret = 'PGPASSWORD="$TEST_POSTGRES_PASSWORD" ' if endpoint.password else ""
    tls = f"PGSSLMODE={shlex.quote(endpoint.sslmode)} " if endpoint.sslmode != "prefer" else ""
    words = ["psql", "-h", endpoint.host, "-p", str(endpoint.port), "-U", endpoint.user, "-d", endpoint.database]
    return f"{secret}{tls}{shlex.join(words)}"


def _redis(endpoint: RedisEndpoint) -> str:
    secret = 'REDISCLI_AUTH="$TEST_REDIS_PASSWORD" ' if endpoint.password else ""
    words = ["redis-cli", "-h", endpoint.host, "-p", str(endpoint.port), "-n", str(endpoint.database)]
    if endpoint.ssl:
        words.append("--tls")
    if endpoint.ssl_ca_certs:
        words += ["--cacert", endpoint.ssl_ca_certs]
    return f"{secret}{shlex.join(words)}"


def _clickhouse(endpoint: ClickHouseEndpoint) -> str:
    """The stack publishes ClickHouse's HTTP port alone, which its own client does not speak."""
    words = ["curl", "-sS", "-H", f"X-ClickHouse-User: {endpoint.user}"]
    secret = ' -H "X-ClickHouse-Key: $TEST_CLICKHOUSE_PASSWORD"' if endpoint.password else ""
    if endpoint.ca_cert:
        words += ["--cacert", endpoint.ca_cert]
    url = shlex.quote(f"{endpoint.base_url}/?database={endpoint.database}")
    return f"{shlex.join(words)}{secret} {url} -d 'SHOW TABLES'  # clickhouse"
