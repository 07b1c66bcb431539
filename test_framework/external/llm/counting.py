"""How many tokens a request can come to at most, before anybody is asked.

Tokenizers of language models cut text into pieces of at least one byte, so a text has at most as many tokens as
bytes. That is three to five times too much for ordinary prose, and never too little.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from test_framework.external.llm.prices import Price, Usage

__all__ = ["upper_bound"]

# What the roles and separators of one message come to, and what an image can come to in the finest resolution.
_PER_MESSAGE = 16
_PER_IMAGE = 50_000
_LIMITS = ("max_completion_tokens", "max_tokens")


def upper_bound(body: dict[str, Any], price: Price) -> Usage:
    """The most that the request ``body`` can use."""
    text = json.dumps(body, ensure_ascii=False, default=str)
    messages = body.get("messages", ())
    parts = [part for part in _parts(messages) if part.get("type") in ("image_url", "input_image")]
    prompt = len(text.encode()) + _PER_MESSAGE * (len(messages) + 1) + _PER_IMAGE * len(parts)
    if "messages" not in body and "prompt" not in body:
        return Usage(prompt_tokens=prompt)  # an embedding
    return Usage(prompt_tokens=prompt, completion_tokens=_limit(body, price) * max(1, int(body.get("n") or 1)))


def _limit(body: dict[str, Any], price: Price) -> int:
    said = [int(body[name]) for name in _LIMITS if body.get(name) is not None]
    return max(said) if said else price.max_output


def _parts(messages: Any) -> Iterator[dict[str, Any]]:
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))
