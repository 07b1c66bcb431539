"""What only Redis' part of seeding promises: exactly its own keys come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_framework.endpoints import Endpoints, RedisEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.seeding import SeedReport, seed_all
from tests.integration.seeding.looking import redis_client
from tests.seeds import plan_of


async def seed(redis: RedisEndpoint, folder: Path, text: str, *, force: bool = False) -> SeedReport:
    plan = plan_of(folder, {"redis/01.yaml": text}, "redis")
    return await seed_all(Endpoints(redis=redis), plan, force=force)


async def test_every_type_is_loaded_with_its_time_to_live(redis: RedisEndpoint, tmp_path: Path) -> None:
    text = """
    a: {type: string, value: hello, ttl: 1000}
    b: {type: json, value: {n: 1}}
    c: {type: hash, value: {x: 1, y: 2}}
    d: {type: list, value: [3, 1, 2]}
    e: {type: set, value: [p, q]}
    f: {type: zset, value: {low: 1, high: 9.5}}
    g: {type: stream, value: [{id: 5-1, k: v}]}
    """
    report = await seed(redis, tmp_path, text)
    async with redis_client(redis) as client:
        assert await client.get("a") == "hello" and 990 < await client.ttl("a") <= 1000
        assert (await client.get("b"), await client.ttl("b")) == ('{"n":1}', -1)
        assert await client.hgetall("c") == {"x": "1", "y": "2"}
        assert await client.lrange("d", 0, -1) == ["3", "1", "2"]
        assert await client.smembers("e") == {"p", "q"}
        assert await client.zrange("f", 0, -1, withscores=True) == [("low", 1.0), ("high", 9.5)]
        assert await client.xrange("g") == [("5-1", {"k": "v"})]
    assert sum(report.services["redis"].counts.values()) == 7


async def test_a_new_seed_takes_its_old_keys_away_and_nobody_elses(redis: RedisEndpoint, tmp_path: Path) -> None:
    await seed(redis, tmp_path / "1", "old: {type: set, value: [1]}\nboth: {type: list, value: [1]}")
    async with redis_client(redis) as client:
        await client.set("theirs", "1")
        await seed(redis, tmp_path / "2", "new: {type: string, value: 1}\nboth: {type: hash, value: {a: 1}}")
        assert set(await client.keys("*")) == {"theirs", "new", "both", "test-framework:seed"}
        assert await client.hgetall("both") == {"a": "1"}


async def test_other_databases_of_the_server_are_left_alone(redis: RedisEndpoint, tmp_path: Path) -> None:
    other = RedisEndpoint(host=redis.host, port=redis.port, password=redis.password, database=255)
    async with redis_client(other) as client:
        await client.set("innocent", "1")
        await seed(redis, tmp_path, "a: {type: string, value: 1}", force=True)
        assert await client.get("innocent") == "1"
        await client.delete("innocent")


async def test_a_large_seed_arrives_whole(redis: RedisEndpoint, tmp_path: Path) -> None:
    lines = [f"key:{number}: {{type: string, value: '{'x' * 500}'}}" for number in range(5000)]
    await seed(redis, tmp_path, "\n".join(lines))
    async with redis_client(redis) as client:
        assert await client.dbsize() == 5001


async def test_a_server_that_is_full_refuses_the_whole_seed(redis: RedisEndpoint, tmp_path: Path) -> None:
    await seed(redis, tmp_path / "1", "a: {type: string, value: 1}")
    async with redis_client(redis) as client:
        before = await client.config_get("maxmemory")
        await client.config_set("maxmemory", 1)
        try:
            with pytest.raises(ServiceUnavailable, match=r"OOM|maxmemory"):
                await seed(redis, tmp_path / "2", "a: {type: string, value: 2}\nb: {type: string, value: 2}")
        finally:
            await client.config_set("maxmemory", before["maxmemory"])
        assert (await client.get("a"), await client.exists("b")) == ("1", 0)
