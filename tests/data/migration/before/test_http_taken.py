from unittest.mock import AsyncMock, MagicMock

import pytest
from bookshop.api import AccountsApi, EmailTaken


@pytest.mark.asyncio
async def test_an_address_can_be_taken_once():
    mock_client = AsyncMock()
    mock_response = MagicMock()
    mock_response.status_code = 409
    mock_client.post.return_value = mock_response

    with pytest.raises(EmailTaken):
        await AccountsApi(mock_client).sign_up("ada@shop.example", "poems-1815")

    mock_client.post.assert_called_once()
