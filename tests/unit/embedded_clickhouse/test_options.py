"""The command line and the environment, read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from test_framework.embedded_clickhouse.options import parse_options
from test_framework.errors import SettingsError


def test_the_json_file_wins_over_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"user": "file", "max_memory_usage": 7}))
    environ = {"CLICKHOUSE_USER": "env", "CLICKHOUSE_MAX_MEMORY_USAGE": "9", "CLICKHOUSE_DB": "d"}
    options = parse_options(["--path", str(tmp_path), "--config", str(config)], environ)
    assert (options.accounts[0].user, options.max_memory_usage, options.database) == ("file", 7, "d")


def test_a_password_is_in_no_repr(tmp_path: Path) -> None:
    options = parse_options(["--path", str(tmp_path)], {"CLICKHOUSE_PASSWORD": "the secret"})
    assert options.accounts[0].password == "the secret"
    assert "the secret" not in repr(options)


def test_it_listens_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    assert parse_options(["--path", str(tmp_path)], {}).host == "127.0.0.1"


@pytest.mark.parametrize("text", ["[1]", "{", '{"nope": 1}'])
def test_a_bad_json_file_is_named(tmp_path: Path, text: str) -> None:
    config = tmp_path / "c.json"
    config.write_text(text)
    with pytest.raises(SettingsError, match="configuration") as refused:
        parse_options(["--path", str(tmp_path), "--config", str(config)], {})
    assert str(config) in str(refused.value)


def test_a_missing_configuration_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        parse_options(["--path", str(tmp_path), "--config-dir", str(tmp_path / "nope")], {})
