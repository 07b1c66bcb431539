"""Who gets letters, and how often."""

import time


class Mailing:
    def __init__(self, db, redis, http=None):
        self.db = db
        self.redis = redis
        self.http = http

    async def subscribe(self, email, topic):
        row = await self.db.fetchrow(
            "INSERT INTO subscriptions (email, topic) VALUES ($1, $2) RETURNING id, email, topic", email, topic
        )
        await self.redis.sadd(f"topic:{topic}", email)
        return dict(row)

    async def unsubscribe(self, email, topic):
        await self.db.execute("DELETE FROM subscriptions WHERE email = $1 AND topic = $2", email, topic)
        await self.redis.srem(f"topic:{topic}", email)

    async def subscribers(self, topic):
        cached = await self.redis.smembers(f"topic:{topic}")
        if cached:
            return sorted(cached)
        rows = await self.db.fetch("SELECT email FROM subscriptions WHERE topic = $1", topic)
        emails = sorted(row["email"] for row in rows)
        if emails:
            await self.redis.sadd(f"topic:{topic}", *emails)
        return emails

    async def announce(self, topic, text):
        await self.redis.publish(f"news:{topic}", text)

    async def stamp(self, topic):
        await self.redis.set(f"sent:{topic}", int(time.time()))

    async def deliver(self, url, text):
        answer = await self.http.post(url, json={"text": text})
        return answer.status_code == 202
