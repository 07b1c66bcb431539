from unittest.mock import MagicMock

import pytest


class RateLimiter:
    def __init__(self, redis, limit):
        self.redis = redis
        self.limit = limit

    def allow(self, user):
        used = self.redis.incr(f"rate:{user}")
        if used == 1:
            self.redis.expire(f"rate:{user}", 60)
        return used <= self.limit


@pytest.fixture
def redis_mock():
    return MagicMock()


def test_first_request(redis_mock):
    redis_mock.incr.return_value = 1
    assert RateLimiter(redis_mock, 5).allow("ada") is True
    redis_mock.expire.assert_called_once_with("rate:ada", 60)


def test_too_many(redis_mock):
    redis_mock.incr.return_value = 6
    assert RateLimiter(redis_mock, 5).allow("ada") is False
    redis_mock.expire.assert_not_called()
