"""A cache in front of the catalogue."""

import json

redis_client = None


async def cached_book(isbn):
    found = await redis_client.get(f"book:{isbn}")
    return json.loads(found) if found else None


async def remember_book(isbn, book, seconds=600):
    await redis_client.set(f"book:{isbn}", json.dumps(book), ex=seconds)


async def forget_book(isbn):
    return await redis_client.delete(f"book:{isbn}")


def get_redis():
    return redis_client


async def count_view(isbn):
    client = get_redis()
    views = await client.incr(f"views:{isbn}")
    if views == 1:
        await client.expire(f"views:{isbn}", 86400)
    return views
