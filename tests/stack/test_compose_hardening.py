"""What the containers may do, asked of the running ones."""

from __future__ import annotations

import asyncpg
import pytest
import redis.exceptions

from tests.stack.clients import clickhouse, postgres, redis_client
from tests.stack.compose_stack import ComposeStack, run
from tests.stack.conftest import CANARY

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

RUNNING = ("test-postgres", "test-redis", "test-clickhouse", "test-monitor")
ALL = (*RUNNING, "test-seeder")
DATA = {"test-postgres": "/data", "test-redis": "/data", "test-clickhouse": "/var/lib/clickhouse"}
_STATUS = 'for file in /proc/[0-9]*/status; do cat "$file" 2>/dev/null; echo; done'


@pytest.mark.parametrize("service", RUNNING)
def test_no_process_has_a_capability_or_can_gain_one(compose_stack: ComposeStack, service: str) -> None:
    blocks = compose_stack.execute(service, "sh", "-c", _STATUS).stdout.strip().split("\n\n")
    processes = [dict(line.split(":\t", 1) for line in block.splitlines() if ":\t" in line) for block in blocks]
    assert len(processes) >= 2  # the init process and the server
    for process in processes:
        sets = {name: int(process[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}
        assert not any(sets.values()), (process["Name"], sets)
        assert process["NoNewPrivs"] == "1", process["Name"]
        assert "0" not in process["Uid"].split(), process["Name"]


@pytest.mark.parametrize("service", RUNNING)
def test_the_root_file_system_cannot_be_written(compose_stack: ComposeStack, service: str) -> None:
    done = compose_stack.execute(service, "sh", "-c", "awk '$2 == \"/\" { print $4 }' /proc/mounts | tail -n 1")
    assert "ro" in done.stdout.strip().split(",")


@pytest.mark.parametrize("service", ALL)
def test_the_container_is_confined(compose_stack: ComposeStack, service: str) -> None:
    host = compose_stack.inspect(service)["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert host["ReadonlyRootfs"]
    assert host["Init"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["PidsLimit"] > 0
    assert host["NetworkMode"] == f"{compose_stack.name}_default"
    assert not any("docker.sock" in bind for bind in host["Binds"] or [])


@pytest.mark.parametrize("service", DATA)
def test_data_lies_on_a_bounded_tmpfs_that_runs_no_programs(compose_stack: ComposeStack, service: str) -> None:
    mounts = compose_stack.execute(service, "cat", "/proc/mounts").stdout.splitlines()
    [(kind, options)] = [line.split()[2:4] for line in mounts if line.split()[1] == DATA[service]]
    assert kind == "tmpfs"
    assert {"noexec", "nosuid", "nodev"} <= set(options.split(","))
    assert any(option.startswith("size=") for option in options.split(","))


@pytest.mark.parametrize("service", ALL)
def test_memory_is_limited_above_what_the_tmpfs_can_hold(compose_stack: ComposeStack, service: str) -> None:
    host = compose_stack.inspect(service)["HostConfig"]
    sizes = [mount["TmpfsOptions"]["SizeBytes"] for mount in host["Mounts"] if mount["Type"] == "tmpfs"]
    assert all(size > 0 for size in sizes)
    assert host["Memory"] > sum(sizes) * 1.25


@pytest.mark.parametrize("service", RUNNING)
def test_ports_are_published_on_the_loopback_alone(compose_stack: ComposeStack, service: str) -> None:
    ports = compose_stack.inspect(service)["NetworkSettings"]["Ports"]
    published = [binding["HostIp"] for bindings in ports.values() for binding in bindings or []]
    assert published == ["127.0.0.1"]


async def test_postgres_lets_nobody_in_without_the_password(compose_stack: ComposeStack) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        async with postgres(compose_stack, "wrong"):
            pass


async def test_redis_lets_nobody_in_without_the_password(compose_stack: ComposeStack) -> None:
    async with redis_client(compose_stack, None) as client:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await client.ping()


@pytest.mark.parametrize("password", [None, "wrong"])
def test_clickhouse_lets_nobody_in_without_the_password(compose_stack: ComposeStack, password: str | None) -> None:
    status, text = clickhouse(compose_stack, "SELECT 1", password)
    assert status in {401, 403}, text


async def test_the_role_is_no_superuser_and_can_create_databases(compose_stack: ComposeStack) -> None:
    async with postgres(compose_stack, CANARY) as connection:
        row = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
        assert (row["rolsuper"], row["rolcreaterole"], row["rolbypassrls"], row["rolreplication"]) == (False,) * 4
        assert row["rolcreatedb"]
        superusers = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin"
        assert [each["rolname"] for each in await connection.fetch(superusers)] == ["postgres"]


def test_no_password_appears_in_an_argument_list(compose_stack: ComposeStack) -> None:
    for service in RUNNING:
        listing = run("docker", "top", compose_stack.container(service), "-ww", "-eo", "pid,args")
        assert listing.returncode == 0, listing.stderr
        assert "canary" not in listing.stdout, service


def test_no_password_appears_in_a_log(compose_stack: ComposeStack) -> None:
    logs = compose_stack.logs()
    assert "seeded" in logs  # the logs are what they should be
    assert "canary" not in logs


def test_no_password_is_left_in_an_image(docker_images: None, compose_stack: ComposeStack) -> None:
    for service in ALL:
        image = compose_stack.inspect(service)["Image"]
        settings = run("docker", "image", "inspect", "--format", "{{json .Config.Env}}", image).stdout
        assert "PASSWORD" not in settings, service
