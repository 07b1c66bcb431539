"""A talk of several requests, each with an answer of its own."""

from unittest.mock import AsyncMock, Mock, call

from bookshop.api import AccountsApi


def answer(status, body=None):
    return Mock(status_code=status, json=Mock(return_value=body or {}))


async def test_sign_up_log_in_and_look():
    http = AsyncMock()
    http.post.side_effect = [answer(201, {"id": "u-1"}), answer(200, {"access_token": "abc"})]
    http.get.return_value = answer(200, {"id": "u-1", "email": "ada@shop.example", "name": "Ada"})
    api = AccountsApi(http)

    await api.sign_up("ada@shop.example", "poems-1815", "Ada")
    await api.log_in("ada@shop.example", "poems-1815")
    me = await api.who_am_i()

    assert me["email"] == "ada@shop.example"
    assert me["name"] == "Ada"
    assert http.post.await_count == 2
    http.post.assert_has_awaits(
        [
            call("/auth/signup", json={"email": "ada@shop.example", "password": "poems-1815", "name": "Ada"}),
            call("/auth/login", json={"email": "ada@shop.example", "password": "poems-1815"}),
        ]
    )


async def test_without_a_token_nobody_is_known():
    http = AsyncMock()
    http.get.return_value = answer(401)
    assert await AccountsApi(http).who_am_i() is None
