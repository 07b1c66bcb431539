"""The client of a test reaches its own keys and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from test_framework.endpoints import RedisEndpoint
from test_framework.environment import Broker
from test_framework.errors import FrameworkError
from test_framework.services.redis.client import RedisReplyError, connect
from test_framework.services.redis.isolated import RefusedCommand, make_client, make_pool
from tests.seeded_stack import Stack


@pytest.fixture
async def client(broker: Broker) -> AsyncIterator[Redis]:
    lease = await broker.aacquire("redis")
    assert isinstance(lease.endpoint, RedisEndpoint)
    async with make_client(lease.endpoint) as opened:
        yield opened


@pytest.fixture
async def prefixed(make_broker: Callable[..., Broker]) -> AsyncIterator[tuple[Redis, Redis]]:
    """Clients of two leases that share a database."""
    broker = make_broker(redis_mode="prefix")
    clients = []
    for _ in range(2):
        lease = await broker.aacquire("redis")
        assert isinstance(lease.endpoint, RedisEndpoint)
        assert lease.key_prefix is not None
        assert lease.key_prefix.startswith("test:gw0_")
        clients.append(make_client(lease.endpoint, key_prefix=lease.key_prefix))
    yield clients[0], clients[1]
    for each in clients:
        await each.aclose()


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("flushall", "ASYNC"),
        ("SWAPDB", 0, 1),
        ("CONFIG SET", "maxmemory", "1"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("SELECT", 0),
        ("MOVE", "key", 0),
        ("COPY", "a", "b", "DB", 0),
        ("SHUTDOWN",),
        ("DEBUG", "SLEEP", 0),
        ("SCRIPT", "FLUSH"),
    ],
)
async def test_a_command_that_reaches_others_is_refused_with_the_marker_that_lifts_it(
    client: Redis, command: tuple[Any, ...]
) -> None:
    await client.set("mine", 1)
    with pytest.raises(RefusedCommand, match="redis_unguarded"):
        await client.execute_command(*command)
    pipeline = client.pipeline()
    pipeline.execute_command(*command)
    with pytest.raises(RefusedCommand):
        await pipeline.execute()
    assert await client.get("mine") == "1"


async def test_what_stays_within_the_test_is_not_refused(client: Redis) -> None:
    number = client.connection_pool.connection_kwargs["db"]
    await client.execute_command("SELECT", number)
    await client.set("a", 1)
    await client.execute_command("COPY", "a", "b", "DB", number)
    assert await client.config_get("databases") == {"databases": "256"}
    assert await client.flushdb() is True
    assert await client.dbsize() == 0


async def test_a_client_without_the_guard_may_do_everything(stack: Stack) -> None:
    async with make_client(replace(stack.endpoints.redis, database=255), guarded=False) as client:
        await client.config_set("hz", "10")
        await client.select(254)


async def test_a_pool_made_before_serves_a_client_and_survives_it(broker: Broker) -> None:
    lease = await broker.aacquire("redis")
    assert isinstance(lease.endpoint, RedisEndpoint)
    pool = make_pool(lease.endpoint, kept=True)
    for value in ("1", "2"):
        client = make_client(lease.endpoint, connection_pool=pool)
        await client.set("a", value)
        assert await client.get("a") == value
        await client.aclose()
    await pool.aclose()


async def test_prefixed_clients_on_one_database_never_meet(prefixed: tuple[Redis, Redis]) -> None:
    one, two = prefixed
    await one.set("key", "1")
    await two.set("key", "2")
    assert (await one.get("key"), await two.get("key")) == ("1", "2")
    assert await one.keys() == ["key"]
    assert await one.dbsize() == 1
    assert await one.randomkey() == "key"
    assert await two.flushdb() is True
    assert (await one.get("key"), await two.get("key")) == ("1", None)
    assert await two.randomkey() is None


async def test_the_real_keys_bear_the_prefix(prefixed: tuple[Redis, Redis], stack: Stack) -> None:
    await prefixed[0].set("key", "1")
    async with Redis.from_url(stack.endpoints.redis.url, decode_responses=True) as plain:
        assert len([key async for key in plain.scan_iter("test:gw0_*:1:key")]) == 1


async def test_every_kind_of_command_finds_its_prefixed_keys(prefixed: tuple[Redis, Redis]) -> None:
    one, two = prefixed
    await one.mset({"a": "1", "b": "2"})
    assert await one.mget("a", "b", "c") == ["1", "2", None]
    assert await one.exists("a", "b", "c") == 2
    await one.rename("b", "c")
    assert sorted([key async for key in one.scan_iter()]) == ["a", "c"]
    assert [key async for key in one.scan_iter("c*")] == ["c"]
    assert await one.object("ENCODING", "a") == "int"
    await one.rpush("list", "x", "y")
    assert list(await one.blpop(["other", "list"], timeout=1)) == ["list", "x"]
    assert (await one.execute_command("LMPOP", 2, "none", "list", "LEFT"))[0] == "list"
    await one.sadd("s1", "m", "n")
    await one.sadd("s2", "n", "o")
    assert await one.sinterstore("s3", "s1", "s2") == 1
    assert await one.smembers("s3") == {"n"}
    await one.zadd("z1", {"m": 1})
    assert await one.zunionstore("z2", ["z1", "s1"]) == 2
    assert await one.zrange("z2", 0, -1) == ["n", "m"]
    entry = await one.xadd("stream", {"f": "v"})
    reply = await one.xread({"stream": "0"})
    assert "stream" in str(reply)
    assert "test:" not in str(reply)
    assert entry in str(reply)
    await one.xgroup_create("stream", "g", id="0")
    assert (await one.xinfo_stream("stream"))["groups"] == 1
    await one.geoadd("places", [13.4, 52.5, "berlin"])
    assert await one.execute_command("GEORADIUS", "places", 13, 52, 200, "km", "STORE", "near") == 1
    assert await one.zcard("near") == 1
    assert await one.eval("return redis.call('GET', KEYS[1]) .. ARGV[1]", 1, "a", "a") == "1a"
    assert await two.keys() == []


async def test_sort_finds_the_keys_in_its_patterns(prefixed: tuple[Redis, Redis]) -> None:
    one, _ = prefixed
    await one.rpush("ids", 1, 2)
    await one.mset({"weight:1": 9, "weight:2": 3, "name:1": "one", "name:2": "two"})
    assert await one.sort("ids", by="weight:*", get=["name:*", "#"]) == ["two", "2", "one", "1"]
    assert await one.sort("ids", start=0, num=1, store="sorted") == 1
    assert await one.lrange("sorted", 0, -1) == ["1"]


async def test_pipelines_transactions_and_scripts_are_prefixed_too(prefixed: tuple[Redis, Redis]) -> None:
    one, two = prefixed
    async with one.pipeline(transaction=True) as pipeline:
        assert await pipeline.set("a", 1).get("a").keys("*").dbsize().execute() == [True, "1", ["a"], 1]
    async with one.pipeline() as pipeline:
        await pipeline.watch("a")
        assert await pipeline.get("a") == "1"
        pipeline.multi()
        pipeline.incr("a")
        assert await pipeline.execute() == [2]
    script = one.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await script(keys=["a"], args=[5]) == 7
    assert await two.get("a") is None


async def test_messages_reach_subscribers_of_the_same_lease_alone(prefixed: tuple[Redis, Redis]) -> None:
    one, two = prefixed
    async with one.pubsub() as mine, two.pubsub() as other:
        await mine.subscribe("news")
        await mine.psubscribe("al*")
        await other.subscribe("news", "alarm")
        for each, count in ((mine, 2), (other, 2)):
            for _ in range(count):
                assert (await each.get_message(timeout=5)) is not None
        assert await one.publish("news", "hello") == 1
        assert await one.publish("alarm", "now") == 1
        message = await mine.get_message(timeout=5)
        assert message is not None
        assert (message["channel"], message["data"]) == ("news", "hello")
        message = await mine.get_message(timeout=5)
        assert message is not None
        assert (message["pattern"], message["channel"], message["data"]) == ("al*", "alarm", "now")
        assert await other.get_message(timeout=0.1) is None
        assert sorted(await one.pubsub_channels()) == ["news"]
        await mine.unsubscribe("news")
        assert (await mine.get_message(timeout=5) or {})["channel"] == "news"


async def test_a_command_whose_keys_nobody_knows_is_refused_in_prefix_mode(prefixed: tuple[Redis, Redis]) -> None:
    client = prefixed[0]
    with pytest.raises(FrameworkError, match="MIGRATE"):
        await client.execute_command("MIGRATE", "127.0.0.1", 1, "key", 0, 10)


async def test_a_prefixed_lease_leaves_no_key_behind(make_broker: Callable[..., Broker], stack: Stack) -> None:
    broker = make_broker(redis_mode="prefix")
    lease = await broker.aacquire("redis")
    assert isinstance(lease.endpoint, RedisEndpoint)
    async with make_client(lease.endpoint, key_prefix=lease.key_prefix) as client:
        await client.mset({f"key{i}": i for i in range(3000)})
    await asyncio.to_thread(broker.close)
    async with Redis.from_url(stack.endpoints.redis.url, decode_responses=True) as plain:
        assert [key async for key in plain.scan_iter("test:*")] == []
    assert not [row for row in await stack.books() if row[0] == "redis"]


COMMANDS = """
GET a|SET a v EX 10|MSET a 1 b 2|DEL a b c|COPY a b|RENAME a b|BITOP AND d a b|PFMERGE d a b|LMOVE a b LEFT LEFT
BLPOP a b 1|BLMPOP 1 2 a b LEFT|ZINTERSTORE d 2 a b WEIGHTS 1 2|ZRANGESTORE d a 0 1|ZDIFF 2 a b|SINTERCARD 2 a b
EVAL x 2 a b v|EVALSHA x 1 a v|FCALL f 2 a b v|XREAD COUNT 1 BLOCK 1 STREAMS a b 0 0
XREADGROUP GROUP g c STREAMS a b > >|XINFO STREAM a|XGROUP CREATE a g $|OBJECT ENCODING a|MEMORY USAGE a
GEOSEARCHSTORE d a FROMLONLAT 1 1 BYRADIUS 1 km|GEORADIUS a 1 1 1 km STORE d|LCS a b|WATCH a b|TOUCH a b
HSET a f v|JSON.GET a|PING|INFO
"""


@pytest.mark.parametrize("command", COMMANDS.replace("\n", "|").strip("|").split("|"))
async def test_our_reading_of_the_key_specifications_is_the_servers_own(
    prefixed: tuple[Redis, Redis], stack: Stack, command: str
) -> None:
    words = [word.encode() for word in command.split()]
    rewriter = prefixed[0].connection_pool.connection_kwargs["rewriter"]
    rewritten = rewriter.rewrite(list(words))
    ours = [word for word, other in zip(words, rewritten, strict=True) if word != other]
    async with connect(stack.endpoints.redis) as plain:
        try:
            theirs = await plain.call("COMMAND", "GETKEYS", *words)
        except RedisReplyError:  # it has no key, or the server does not know it
            theirs = []
    assert sorted(ours) == sorted(theirs)
