from unittest.mock import AsyncMock, MagicMock, patch

import openai
import pytest


@pytest.fixture
def mock_openai():
    client = MagicMock(spec=openai.OpenAI)
    client.chat.completions.create.return_value = MagicMock(choices=[])
    return client


def test_answers(mock_openai):
    assert mock_openai.chat


@patch("llm.assistant.Anthropic")
def test_anthropic(anthropic):
    anthropic.return_value.messages.create.return_value = None


async def test_chain(monkeypatch):
    chain = AsyncMock()
    chain.ainvoke.return_value = "x"
    monkeypatch.setattr("llm.assistant.embed_model.embeddings.create", chain)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
