# -*- coding: utf-8 -*-
"""Comments, odd spacing and names in strings stay as they are: AsyncMock, mock_redis."""

from unittest.mock import AsyncMock  # noqa: F401 - used below

import pytest

MOCK_NAMES = ["mock_redis", "AsyncMock"]   # three   spaces


async def colour( redis,name ):
    return   await redis.get( "colour:"+name )


@pytest.fixture
def mock_redis():
    return AsyncMock()


async def test_colour(mock_redis):
    # given: a colour
    mock_redis.get.return_value = "grün"  # umlaut
    # when
    found = await colour( mock_redis,"Grünwald" )

    # then
    assert found == "grün"   # trailing


def test_names():
    assert "mock_redis" in MOCK_NAMES
