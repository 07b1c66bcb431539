from unittest.mock import AsyncMock, MagicMock, NonCallableMagicMock, PropertyMock, patch

import aiohttp
from anthropic import AsyncAnthropic
from sqlalchemy.ext.asyncio import AsyncSession

from crm.models import Account


def test_property():
    with patch("crm.models.Account.balance", new_callable=PropertyMock) as balance:
        balance.return_value = 3


def test_property_on_type():
    account = MagicMock(spec=Account)
    type(account).balance = PropertyMock(return_value=4)
    assert account.balance == 4


async def test_session_spec():
    thing = AsyncMock(spec=AsyncSession)
    thing.scalar.return_value = 3
    other = MagicMock(spec_set=aiohttp.ClientSession)
    third = NonCallableMagicMock(spec=AsyncAnthropic)
    assert thing and other and third
