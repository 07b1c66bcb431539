"""The live configuration of a Redis server."""

from __future__ import annotations

from test_framework.endpoints import RedisEndpoint
from test_framework.services.redis.client import ask, connect

__all__ = ["live_settings"]

_SECRETS = {"requirepass", "masterauth", "tls-key-file-pass", "tls-client-key-file-pass"}


async def live_settings(endpoint: RedisEndpoint, timeout: float) -> dict[str, str]:
    """By name, sizes in bytes. Passwords are left out."""

    async def question() -> dict[str, str]:
        async with connect(endpoint) as client:
            reply = await client.call("CONFIG", "GET", "*")
        words = [word.decode("utf-8", "replace") for word in reply]
        pairs = zip(words[::2], words[1::2], strict=True)
        return {name: value for name, value in pairs if name not in _SECRETS}

    return await ask(endpoint, timeout, question)
