"""What a service's block says reaches the native server, and what does not is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.errors import SettingsError
from test_framework.stack.binaries import find_binaries
from test_framework.stack.commands import (
    check_commands,
    clickhouse_flags,
    postgres_settings,
    quote_redis,
    redis_flags,
    unused_keys,
)
from tests.unit.stack.definitions import define


def test_postgres_settings_are_the_environments_then_the_commands(tmp_path: Path) -> None:
    block = "{environment: {POSTGRES_WORK_MEM: 8MB, POSTGRES_JIT: ''}, command: postgres -c work_mem=9MB -c 'a=b c'}"
    service = define(tmp_path, f"services: {{test-postgres: {block}}}").services["test-postgres"]
    settings = postgres_settings(service)
    assert settings[-2:] == ["work_mem=9MB", "a=b c"]
    assert "work_mem=8MB" in settings
    assert not [each for each in settings if each.startswith(("jit", "user", "password", "db"))]


def test_redis_flags_become_lines_of_its_file(tmp_path: Path) -> None:
    command = "redis-server --maxmemory 1gb --save 60 1000 --appendonly no"
    service = define(tmp_path, f"services: {{test-redis: {{command: {command}}}}}").services["test-redis"]
    assert redis_flags(service) == ['maxmemory "1gb"', 'save "60" "1000"', 'appendonly "no"']


def test_clickhouse_flags_are_handed_on(tmp_path: Path) -> None:
    override = "services: {test-clickhouse: {command: clickhouse-server --max_connections=7}}"
    assert clickhouse_flags(define(tmp_path, override).services["test-clickhouse"]) == ["--max_connections=7"]
    assert clickhouse_flags(define(tmp_path).services["test-clickhouse"]) == []


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_word_of_redis_is_one_word_whatever_is_in_it(text: str) -> None:
    """By Redis's own rules: backslash escapes inside double quotes."""
    quoted = quote_redis(text)
    inner = quoted[1:-1]
    assert quoted[0] == quoted[-1] == '"'
    assert inner.replace("\\\\", "").replace('\\"', "").count('"') == 0
    assert inner.replace('\\"', '"').replace("\\\\", "\\") == text or "\\" in text


@pytest.mark.parametrize("text", ['a"b\\c', "it's #1; 50%", "two  spaces", ""])
def test_redis_itself_reads_a_quoted_word_back(tmp_path: Path, text: str) -> None:
    redis = find_binaries({}).redis
    assert redis is not None
    (tmp_path / "redis.conf").write_text(f"nonsense-key {quote_redis(text)}\n")
    said = subprocess.run([redis.path, tmp_path / "redis.conf", "--port", "0"], capture_output=True, text=True)
    # Two words: more or fewer would be told as wrong arguments of an unbalanced line.
    assert "Bad directive or wrong number of arguments" in said.stdout + said.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("test-postgres: {environment: {POSTGRES_WORK_MEM: many}}", 'invalid value for parameter "work_mem"'),
        ("test-postgres: {environment: {POSTGRES_NO_SUCH_THING: 1}}", "unrecognized configuration parameter"),
        ("test-redis: {command: redis-server --databases many}", "databases"),
    ],
)
def test_the_servers_themselves_check_their_settings(tmp_path: Path, override: str, message: str) -> None:
    definition = define(tmp_path, f"services:\n  {override}\n")
    with pytest.raises(SettingsError, match="refuses its settings") as caught:
        check_commands(definition, find_binaries({}))
    assert message in (caught.value.cause or "")
    assert f"{tmp_path}/docker-compose.test.override.yml:2" in (caught.value.where or "")


def test_the_shipped_settings_and_the_documented_overrides_pass_the_check(tmp_path: Path) -> None:
    check_commands(define(tmp_path), find_binaries({}))
    documented = "{environment: {POSTGRES_SHARED_BUFFERS: 512MB, POSTGRES_WORK_MEM: 8MB}}"
    flags = "redis-server --maxmemory 1gb --maxmemory-policy allkeys-lru"
    override = f"services:\n  test-postgres: {documented}\n  test-redis: {{command: {flags}}}\n"
    check_commands(define(tmp_path, override), find_binaries({}))


def test_what_has_no_effect_natively_is_told_with_its_line(tmp_path: Path) -> None:
    override = """
services:
  test-postgres:
    mem_limit: 4g
    environment: {POSTGRES_WORK_MEM: 1MB, LANG: C}
  test-seeder:
    environment: {X: y}
  test-redis:
    command: redis-server --hz 1
    environment: {REDIS_PASSWORD: x}
"""
    file = tmp_path / "docker-compose.test.override.yml"
    assert unused_keys(define(tmp_path, override)) == [
        (f"{file}:4", "'mem_limit' of test-postgres"),
        (f"{file}:5", "'LANG' in the environment of test-postgres"),
        (f"{file}:7", "'environment' of test-seeder"),
    ]


def test_the_shipped_files_have_nothing_to_tell(tmp_path: Path) -> None:
    assert unused_keys(define(tmp_path)) == []
