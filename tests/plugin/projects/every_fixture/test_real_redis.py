"""The Redis client of a test, in whatever event loop the test runs."""

import asyncio
import uuid

import pytest
import redis
import redis.asyncio

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("again", range(3))
async def test_every_test_starts_empty(real_redis, again):
    assert isinstance(real_redis, redis.asyncio.Redis)
    assert await real_redis.dbsize() == 0
    await real_redis.set("mine", "value")
    assert await real_redis.get("mine") == "value"


async def test_pipelines_scripts_and_structures_work(real_redis):
    async with real_redis.pipeline(transaction=True) as pipe:
        replies = await pipe.incr("n").incr("n").execute()
    assert replies == [1, 2]
    assert await real_redis.eval("return redis.call('INCR', KEYS[1])", 1, "n") == 3
    await real_redis.hset("h", mapping={"a": "1"})
    assert await real_redis.hgetall("h") == {"a": "1"}


async def test_messages_are_heard(real_redis):
    async with real_redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
        await real_redis.publish("news", "hello")
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
    assert message["data"] == "hello"


@pytest.mark.parametrize("again", range(2))
async def test_a_forgotten_subscription_is_for_one_test(real_redis, again):
    # Channels are the server's, not the database's: the name is this test's alone, whoever runs beside it.
    channel = f"news:{uuid.uuid4().hex}:{again}"
    pubsub = real_redis.pubsub()
    await pubsub.subscribe(channel)
    assert await real_redis.pubsub_numsub(channel) == [(channel, 1)]


async def test_many_tasks_share_the_client(real_redis):
    await asyncio.gather(*(real_redis.incr("n") for _ in range(50)))
    assert await real_redis.get("n") == "50"


@pytest.mark.parametrize("command", [("FLUSHALL",), ("SWAPDB", 0, 1), ("CONFIG", "SET", "maxmemory", "1")])
async def test_what_reaches_beyond_the_test_is_refused(real_redis, command):
    with pytest.raises(Exception, match=command[0]):
        await real_redis.execute_command(*command)
    assert await real_redis.ping()


async def test_all_clients_and_addresses_lead_to_one_database(
    real_redis, redis_client, isolated_redis, isolated_external_redis, redis_url, external_redis_config
):
    assert redis_client is real_redis is isolated_redis
    assert isolated_external_redis.key_prefix is None
    await real_redis.set("mine", "value")
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as other:
        assert await other.get("mine") == "value"
    async with redis.asyncio.Redis(**external_redis_config, decode_responses=True) as other:
        assert await other.get("mine") == "value"
    assert isolated_external_redis.db == external_redis_config["db"] > 0


async def test_the_manager_drop_in_has_the_usual_face(redis_manager, redis_client):
    assert await redis_manager.connect() is redis_client
    await redis_manager.set("k", "v", ex=60)
    assert await redis_manager.get("k") == "v"
    assert await (await redis_manager.get_client()).ttl("k") > 0
    await redis_manager.disconnect()
    assert await redis_manager.delete("k") == 1
