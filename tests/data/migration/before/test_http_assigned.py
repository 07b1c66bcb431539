from unittest.mock import AsyncMock, Mock

from bookshop.api import AccountsApi


async def test_who_signs_up_gets_an_id():
    http = Mock()
    http.post = AsyncMock(return_value=Mock(status_code=201, json=lambda: {"id": "u-1"}))
    assert await AccountsApi(http).sign_up("ada@shop.example", "poems-1815")
    assert http.post.call_args.kwargs["json"]["email"] == "ada@shop.example"
