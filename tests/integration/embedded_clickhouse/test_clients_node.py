"""@clickhouse/client, the official client for Node, against the embedded endpoint.

One Node process runs all scenarios (``node/scenarios.mjs``); each test holds one answer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.embedded_clickhouse.conftest import Server

PACKAGE = "@clickhouse/client@1"
SCENARIOS = Path(__file__).parent / "node" / "scenarios.mjs"


@pytest.fixture(scope="module")
def answers(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every scenario gave; skipped where Node is missing, unless REQUIRE_NODE=1."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing and os.environ.get("REQUIRE_NODE") == "1":
        pytest.fail(f"REQUIRE_NODE=1, and there is no {' and no '.join(missing)} on the PATH")
    if missing:
        pytest.skip(f"no {' and no '.join(missing)} on the PATH; REQUIRE_NODE=1 makes this an error")
    home = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(home), PACKAGE]
    subprocess.run(install, check=True, capture_output=True, timeout=100)
    package = home / "node_modules" / "@clickhouse" / "client"
    command = ["node", str(SCENARIOS), str(package), server.url, server.user, server.password]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def error(code: str, type: str, *words: str) -> Callable[[Any], bool]:
    """Whether the answer is this error and its message has ``words`` in it."""
    return lambda value: value["code"] == code and value["type"] == type and all(w in value["message"] for w in words)


EXPECTED: dict[str, Any] = {
    "ping": True,
    "pingWithSelect": True,
    "pingWithBadPassword": [False, "516", "AUTHENTICATION_FAILED"],
    "queryJson": [3, [{"n": 0}, {"n": 1}, {"n": 2}], [{"name": "n", "type": "UInt64"}], "number"],
    "ownQueryId": True,
    "headersOfCommand": ["text/tab-separated-values; charset=UTF-8", "text/csv; charset=UTF-8; header=absent"],
    "execWithParameters": "30\tit\\'s\\t\\n\\\\\t['x\\'y','']\t2024-01-02 03:04:05.678\n",
    "semicolons": ['";"\n', "1\n", "0\n"],
    "insertObjects": [True, "2", [[42, "it's; -- \n\n", [0, 1]], [43, "b", []]]],
    "insertStream": [{"c": 20000, "s": 199990000}],
    "insertSomeColumns": [[1, "a", []], [2, "", []]],
    "insertRawStream": [[42, "foobar", [1, 2]]],
    "insertBroken": ["CANNOT_PARSE_INPUT_ASSERTION_FAILED", []],
    "insertParquet": [[0, "p"], [1, "p"], [2, "p"]],
    "streamedRows": 19999900000,
    "abandonedStream": "1\n",
    "errorInTheMiddle": [True, True],
    "errorWithProgressInHeaders": ["395", True],
    "unknownIdentifier": error("47", "UNKNOWN_IDENTIFIER", "number"),
    "unknownTable": error("60", "UNKNOWN_TABLE", "Unknown table expression identifier", "unknown_table"),
    "syntaxError": error("62", "SYNTAX_ERROR", "Syntax error: failed at position", "(line 4"),
    "tableExists": error("57", "TABLE_ALREADY_EXISTS"),
    "unknownSetting": error("115", "UNKNOWN_SETTING", "foobar"),
    "compression": [1000, "gzip"],
    "session": [{"a": 1}],
    "abort": ["The user aborted a request.", "1\n"],
    "readonlySettingsOfTheQuery": error("164", "READONLY"),
    "totals": [[{"k": 0, "c": 3}, {"k": 1, "c": 2}], {"k": 0, "c": 5}],
    "queryLog": [["QueryStart", "SELECT 144 \nFORMAT JSON", True], ["QueryFinish", "SELECT 144 \nFORMAT JSON", True]],
    "manyAtOnce": True,
    "keepAlive": 21,
    "role": "object",
}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_scenario_of_the_node_client_gives_what_a_server_gives(answers: dict[str, Any], scenario: str) -> None:
    answer = answers[scenario]
    assert "failed" not in answer, answer["failed"]
    expected = EXPECTED[scenario]
    if callable(expected):
        assert expected(answer["value"]), answer["value"]
    else:
        assert answer["value"] == expected


def test_every_scenario_is_held(answers: dict[str, Any]) -> None:
    assert answers.keys() == EXPECTED.keys()


def test_messages_show_the_statement_as_it_was_sent(answers: dict[str, Any]) -> None:
    """How the endpoint gets at the result is nobody's business."""
    assert "OUTFILE" not in json.dumps(answers)
