from contextlib import ExitStack
from unittest.mock import mock_open, patch

import pytest


def test_reads_file():
    with patch("builtins.open", mock_open(read_data="a,b")) as opened:
        assert opened


def test_several_at_once():
    with patch("crm.api.httpx.AsyncClient") as client, patch("crm.api.settings") as settings:
        assert client is not settings


def test_parenthesised():
    with (
        patch("crm.store.asyncpg.connect") as connect,
        patch("crm.store.time.monotonic", return_value=1.0),
    ):
        connect.return_value.fetchrow.return_value = None


def test_stack():
    with ExitStack() as stack:
        stack.enter_context(patch("crm.llm.openai.ChatCompletion.create"))
        names = [stack.enter_context(patch(f"crm.store.{name}")) for name in ("read", "write")]
        assert len(names) == 2


@pytest.mark.asyncio
async def test_async_with():
    async with make_client() as client:
        assert client


def make_client():
    return patch("crm.ws.websockets.connect")
