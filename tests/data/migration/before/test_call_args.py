import json
from unittest.mock import AsyncMock


async def store_cart(redis, user, cart):
    await redis.setex(f"cart:{user}", 900, json.dumps(cart))


async def test_cart_is_stored_as_json():
    redis = AsyncMock()
    await store_cart(redis, "ada", {"978": 2})
    args = redis.setex.call_args[0]
    assert args[0] == "cart:ada"
    assert args[1] == 900
    assert json.loads(args[2]) == {"978": 2}
