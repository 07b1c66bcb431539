"""What is wrong is told with cause, place and remedy, by its exit code, and what was there before still is."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native_stack import NativeStack

HEAD = "services:\n  test-postgres:\n"

# By name: the override file, the exit status, the line of it that is named, and what the message says.
OVERRIDES = {
    "unknown service": ("services:\n  test-postgrs:\n    mem_limit: 1g\n", 2, 2, "no service 'test-postgrs'"),
    "mapping for a list": (HEAD + "    ports: {a: 1}\n", 2, 3, "'ports' has the wrong type"),
    "text for a list": (HEAD + "    ports: 5432\n", 2, 3, "'ports'"),
    "list for a service": ("services:\n  test-redis: [1, 2]\n", 2, 2, "'test-redis' has the wrong type"),
    "number for services": ("services: 5\n", 2, 1, "'services'"),
    "nested environment": (HEAD + "    environment:\n      POSTGRES_WORK_MEM: [1]\n", 2, 4, "POSTGRES_WORK_MEM"),
    "mapping for a command": ("services:\n  test-redis:\n    command: {a: b}\n", 2, 3, "'command'"),
    "unbalanced quotes": (
        "services:\n  test-redis:\n    command: redis-server '\n",
        2,
        3,
        "cannot be split into words",
    ),
    "not a size": ("services:\n  test-redis:\n    mem_limit: lots\n", 2, 3, "'lots' is not a size"),
    "deploy is a number": (HEAD + "    deploy: 5\n", 2, 3, "'deploy'"),
    "limits are a list": (HEAD + "    deploy: {resources: {limits: [1]}}\n", 2, 3, "'limits'"),
    "tmpfs options are a number": (
        HEAD + "    volumes:\n      - {type: tmpfs, target: /x, tmpfs: 5}\n",
        2,
        4,
        "'tmpfs'",
    ),
    "unparsable port": (HEAD + '    ports: !override ["127.0.0.1:abc:5432"]\n', 2, 3, "'abc' is not a port number"),
    "port out of range": (HEAD + '    ports: !override ["127.0.0.1:99999:5432"]\n', 2, 3, "not a port number from 0"),
    "port withdrawn": (HEAD + "    ports: !reset []\n", 2, 3, "publishes no port for its port 5432"),
    "broken YAML": (HEAD + "    ports: [\n", 2, 4, "not valid YAML"),
    "tab for spaces": (HEAD + "\tports: []\n", 2, 3, "not valid YAML"),
    "required variable": (HEAD + "    hostname: ${SURELY_UNSET:?say why}\n", 2, 3, "SURELY_UNSET is not set: say why"),
    "malformed expression": (HEAD + "    hostname: ${SURELY\n", 2, 3, "not a valid variable expression"),
    "flag of no value": (HEAD + "    command: postgres --fsync\n", 2, 3, "cannot be used natively"),
    "word for a flag": ("services:\n  test-redis:\n    command: redis-server maxmemory 1gb\n", 2, 3, "'maxmemory'"),
    "impossible setting": (
        HEAD + "    environment:\n      POSTGRES_SHARED_BUFFERS: lots\n",
        2,
        3,
        'invalid value for parameter "shared_buffers": "lots"',
    ),
    "unknown setting": (
        HEAD + "    environment:\n      POSTGRES_SHARED_BUFFER: 64MB\n",
        2,
        3,
        'unrecognized configuration parameter "shared_buffer"',
    ),
    "impossible flag": (
        "services:\n  test-redis:\n    command: redis-server --maxmemory lots\n",
        2,
        3,
        "argument must be a memory value",
    ),
    "unknown flag": ("services:\n  test-redis:\n    command: redis-server --maxmemry 1gb\n", 2, 3, "maxmemry"),
    "two services on one port": (
        HEAD + "    ports: !override [65001:5432]\n  test-redis:\n    ports: !override [65001:6379]\n",
        6,
        5,
        "want the same port 65001",
    ),
}


def assert_stands(stack: NativeStack, pids: dict[str, int]) -> None:
    assert stack.pids() == pids
    assert stack.redis("GET", "thing") == "one"
    (stack.project / "docker-compose.test.override.yml").unlink(missing_ok=True)
    assert stack.json("up")["started"] is False


@pytest.mark.parametrize("name", OVERRIDES)
def test_an_impossible_override_is_refused_at_its_line_and_the_running_stack_stands(
    standing: NativeStack, name: str
) -> None:
    text, status, line, message = OVERRIDES[name]
    file = standing.override(text)
    pids = standing.pids()
    told = standing.fails(status, "up", "--backend", "native")
    assert message in told
    assert f"{file}:{line}" in told
    assert_stands(standing, pids)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TEST_POSTGRES_PORT", "abc", "a port number from 0 to 65535"),
        ("TEST_REDIS_PORT", "-1", "a port number from 0 to 65535"),
        ("TEST_SERVICE_STARTUP_TIMEOUT", "soon", "a positive number of seconds"),
        ("TEST_BACKEND", "podman", "one of auto, compose, native, external"),
        ("USE_REAL_SERVICES", "perhaps", "true or false"),
        ("TEST_STACK_NAME", "Not A Name", "lower-case letters"),
        ("TEST_FIXTURES_MODE", "both", "one of replace, extend"),
    ],
)
def test_a_variable_with_an_impossible_value_is_named_with_what_it_should_be(
    standing: NativeStack, variable: str, value: str, expected: str
) -> None:
    told = standing.having(**{variable: value}).fails(2, "up")
    assert f"{variable} has the value {value!r}, which is not {expected}" in told
    assert f"where: environment variable {variable}" in told
    assert f"fix: set {variable} to" in told


def test_a_variable_in_the_projects_file_is_named_with_that_file(standing: NativeStack) -> None:
    file = standing.project / ".env.test"
    file.write_text("TEST_CONNECTION_TIMEOUT=never\n")
    try:
        told = standing.fails(2, "status")
    finally:
        file.unlink()
    assert f"where: TEST_CONNECTION_TIMEOUT in {file}" in told


def test_a_named_override_that_is_missing_is_not_overlooked(standing: NativeStack) -> None:
    told = standing.having(TEST_COMPOSE_OVERRIDE="none.yml").fails(2, "up")
    assert "does not exist" in told
    assert str(standing.project / "none.yml") in told


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_port_in_use_names_its_holder_and_nothing_is_left(stack: NativeStack, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    told = stack.having(TEST_POSTGRES_PORT=str(port)).fails(6, "up", "--backend", "native")
    assert f"port {port} for test-postgres cannot be used" in told
    assert f"it is used by pid {os.getpid()} (" in told
    assert "set TEST_POSTGRES_PORT to another port" in told
    assert stack.traces() == []


def test_a_port_in_use_leaves_the_running_stack_alone(standing: NativeStack, listener: socket.socket) -> None:
    pids = standing.pids()
    told = standing.having(TEST_REDIS_PORT=str(listener.getsockname()[1])).fails(6, "up", "--backend", "native")
    assert f"it is used by pid {os.getpid()} (" in told
    assert_stands(standing, pids)


def test_a_foreign_server_on_the_port_is_neither_seeded_nor_stopped(standing: NativeStack, stack: NativeStack) -> None:
    """It even speaks the right protocol with the right password."""
    taken = str(standing.state.endpoints.redis.port)
    keys = standing.redis("DBSIZE")
    told = stack.having(TEST_REDIS_PORT=taken).fails(6, "up", "--backend", "native")
    assert f"pid {standing.server('test-redis').pid} (" in told
    assert standing.redis("DBSIZE") == keys
    assert stack.traces() == []


def test_an_address_that_is_not_this_machines_is_refused(stack: NativeStack) -> None:
    told = stack.having(TEST_BIND="192.0.2.1").fails(6, "up", "--backend", "native")
    assert "192.0.2.1" in told
    assert "Cannot assign requested address" in told
    assert stack.traces() == []


@pytest.mark.parametrize("engine", ["unix:///nonexistent.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_does_not_answer_is_told_with_the_other_way(stack: NativeStack, engine: str) -> None:
    told = stack.having(DOCKER_HOST=engine).fails(3, "up", "--backend", "compose")
    assert "the backend 'compose' cannot be used" in told
    assert "cause: " in told
    assert "BACKEND=native" in told
    assert stack.traces() == []


def test_a_missing_docker_command_is_told(stack: NativeStack) -> None:
    told = stack.having(PATH="/nonexistent").fails(3, "up", "--backend", "compose")
    assert "there is no docker command" in told


def test_a_stack_that_is_up_survives_an_attempt_with_a_backend_that_does_not_exist(standing: NativeStack) -> None:
    pids = standing.pids()
    standing.fails(3, "up", "--backend", "compose")
    assert_stands(standing, pids)


@pytest.mark.parametrize("variable", ["TEST_POSTGRES_BIN", "TEST_REDIS_BIN", "TEST_CLICKHOUSE_BIN"])
def test_a_directory_without_the_program_is_told(stack: NativeStack, variable: str) -> None:
    told = stack.having(**{variable: str(stack.base)}).fails(2, "up", "--backend", "native")
    assert f"{variable} has no program" in told
    assert stack.traces() == []


def test_a_server_of_the_wrong_version_is_told_with_its_version(stack: NativeStack) -> None:
    """A package manager that cannot help either: nothing is installed here."""
    program = stack.base / "bin" / "postgres"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
    program.chmod(0o755)
    told = stack.having(TEST_POSTGRES_BIN=str(program.parent), PATH="/nonexistent").fails(
        3, "up", "--backend", "native"
    )
    assert "the native backend lacks postgres" in told
    assert f"{program} is version 14.9" in told
    assert "fix: " in told
    assert stack.traces() == []


@pytest.mark.parametrize("size", ["1t", "100000g"])
def test_too_little_space_is_told_before_anything_starts(stack: NativeStack, size: str) -> None:
    told = stack.having(TEST_POSTGRES_TMPFS_SIZE=size).fails(6, "up", "--backend", "native")
    assert "the native stack needs" in told
    assert "/dev/shm has " in told
    assert "set TEST_RUN_DIR" in told
    assert stack.traces() == []


def test_too_little_space_leaves_the_running_stack_alone(standing: NativeStack) -> None:
    pids = standing.pids()
    standing.having(TEST_POSTGRES_TMPFS_SIZE="1t").fails(6, "up", "--backend", "native")
    assert_stands(standing, pids)


def test_a_run_directory_that_cannot_be_written_is_told(stack: NativeStack) -> None:
    told = stack.having(TEST_RUN_DIR="/proc/nowhere").fails(6, "up", "--backend", "native")
    assert "/proc/nowhere cannot be written" in told


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"version": 1}', b'{"version": 99}', b'{"version": 1, "endpoints": 5}'],
)
def test_a_corrupt_state_file_is_told_and_down_clears_it(stack: NativeStack, content: bytes) -> None:
    stack.state_directory.mkdir(parents=True)
    file = stack.state_directory / "state.json"
    file.write_bytes(content)
    for command in ("up", "status", "env"):
        told = stack.fails(2, command)
        assert "the stack's state file cannot be understood" in told
        assert f"where: {file}" in told
        assert "make test-down" in told
    assert file.read_bytes() == content
    stack.ok("down")
    assert stack.traces() == []


def test_a_corrupt_state_file_hides_no_running_stack_from_down(stack: NativeStack) -> None:
    stack.up()
    (stack.state_directory / "state.json").write_text("{")
    assert stack.ok("down") == "stopped; nothing is left\n"
    assert stack.traces() == []


def test_a_stale_state_file_does_not_keep_the_stack_from_coming_up(stack: NativeStack) -> None:
    stack.up()
    text = (stack.state_directory / "state.json").read_text()
    stack.ok("down")
    stack.state_directory.mkdir(parents=True)
    (stack.state_directory / "state.json").write_text(text)
    done = stack.run("status")
    assert done.returncode == 1
    assert "unreachable" in done.stdout
    assert stack.json("up", "--backend", "native")["started"] is True
    assert stack.run("status").returncode == 0


def test_a_state_file_of_somebody_else_is_refused(stack: NativeStack, standing: NativeStack) -> None:
    if os.getuid() != 0:
        pytest.fail("planting another user's file needs root")
    stack.state_directory.mkdir(parents=True)
    file = stack.state_directory / "state.json"
    file.write_text((standing.state_directory / "state.json").read_text())
    os.chown(file, 65534, 65534)
    assert "belongs to another user" in stack.fails(2, "status")
    file.unlink()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("status", ()), ("seed", ()), ("reset", ()), ("validate", ()), ("env", ()), ("logs", ("test-redis",))],
)
def test_a_command_that_needs_a_stack_says_that_none_is_up(
    stack: NativeStack, command: str, arguments: tuple[str, ...]
) -> None:
    told = stack.fails(2, command, *arguments)
    assert f"the stack {stack.name!r} is not up" in told
    assert "make test-up" in told
    assert stack.traces() == []


BAD_SEEDS = {
    "postgres/01_things.sql": ("SELECT 'unterminated;\n", "01_things.sql:1"),
    "redis/01_things.yaml": ("thing: {type: nonsense}\n", "01_things.yaml:1"),
    "postgres/02_wrong.sql": ("\nINSERT INTO nowhere VALUES (1);\n", "02_wrong.sql:2"),
}


@pytest.mark.parametrize("file", BAD_SEEDS)
def test_a_broken_fixture_is_told_with_its_line_and_nothing_is_left(stack: NativeStack, file: str) -> None:
    text, place = BAD_SEEDS[file]
    (stack.base / "seed" / file).write_text(text)
    told = stack.fails(5, "up", "--backend", "native")
    assert place in told
    assert stack.traces() == []


@pytest.mark.parametrize("file", ["postgres/01_things.sql", "redis/01_things.yaml"])
def test_a_fixture_that_becomes_unreadable_leaves_the_running_stack_alone(standing: NativeStack, file: str) -> None:
    path = standing.base / "seed" / file
    pids, good = standing.pids(), path.read_text()
    path.write_text(BAD_SEEDS[file][0])
    try:
        assert BAD_SEEDS[file][1] in standing.fails(5, "up", "--backend", "native")
    finally:
        path.write_text(good)
    assert_stands(standing, pids)


def scripted_redis(stack: NativeStack, script: str) -> NativeStack:
    """The stack with a program for ``redis-server`` that tells a version and otherwise runs ``script``."""
    program = stack.base / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'Redis server v=7.0.15'; exit; }}\n{script}\n")
    program.chmod(0o755)
    return stack.having(TEST_REDIS_BIN=str(program.parent))


def test_a_server_that_dies_at_its_start_is_told_with_its_log(stack: NativeStack) -> None:
    told = scripted_redis(stack, "echo no way today; exit 3").fails(4, "up", "--backend", "native")
    assert "test-redis ended while it was starting" in told
    assert "last log lines of test-redis:" in told
    assert "no way today" in told
    assert stack.traces() == []


def test_a_server_that_never_answers_is_told_after_the_time_the_user_gave(stack: NativeStack) -> None:
    patient = scripted_redis(stack, "exec sleep 600").having(TEST_SERVICE_STARTUP_TIMEOUT="3")
    told = patient.fails(4, "up", "--backend", "native")
    # A slow machine has had no time for another one either.
    assert re.search(r"error: test-\w+ is not healthy after 3 s", told)
    assert "unreachable" in told
    assert "TEST_SERVICE_STARTUP_TIMEOUT" in told
    assert stack.traces() == []


def test_a_state_directory_that_cannot_be_made_is_told(stack: NativeStack) -> None:
    told = stack.having(TEST_STATE_DIR="/proc/nowhere").fails(2, "up", "--backend", "native")
    assert "the stack's state directory cannot be created" in told
    assert "set TEST_STATE_DIR" in told


def test_too_few_file_descriptors_are_told(stack: NativeStack) -> None:
    command = ["prlimit", "--nofile=64:64", *stack.command("up", "--backend", "native")]
    done = subprocess.run(command, env=stack.environment, cwd=stack.project, capture_output=True, text=True)
    assert done.returncode in {0, 4}
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert "file descriptors" in done.stderr
        assert stack.traces() == []


def test_a_seed_of_the_command_line_for_a_missing_folder_is_told(standing: NativeStack) -> None:
    told = standing.having(TEST_FIXTURES_DIR="/nonexistent/seed").fails(5, "seed")
    assert "the fixtures folder does not exist" in told
    assert "/nonexistent/seed" in told


def test_an_unknown_command_or_option_is_wrong_usage(stack: NativeStack) -> None:
    for arguments in (("upp",), ("up", "--backend", "podman"), ("logs", "test-mysql"), ("--nonsense",)):
        assert stack.run(*arguments).returncode == 2


def test_the_project_directory_must_exist(stack: NativeStack) -> None:
    assert stack.run("--project-dir", str(Path("/nonexistent")), "status").returncode == 2
