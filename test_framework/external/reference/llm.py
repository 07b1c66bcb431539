"""A local endpoint with the OpenAI wire format, so that a whole call can be tested over a real socket for nothing.

Answers depend on the request alone. The key is ``test-llm-key``; with any other the status is 401. The models are
``echo-1`` (repeats the last message), ``error-429`` (busy twice, then as ``echo-1``), ``error-500`` and ``embed-1``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["KEY", "create_app"]

KEY = "test-llm-key"
DIMENSIONS = 8
MODELS = ("echo-1", "error-429", "error-500", "embed-1")
_BUSY = 2
_TOKEN = re.compile(r"\s*\S+")


class _Refusal(Exception):
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def create_app() -> Starlette:
    """The endpoint, at ``/v1``. ``app.state.requests`` counts what was asked."""
    app = Starlette(
        routes=[
            Route("/v1/models", _models, methods=["GET"]),
            Route("/v1/chat/completions", _chat, methods=["POST"]),
            Route("/v1/embeddings", _embeddings, methods=["POST"]),
        ],
        exception_handlers={_Refusal: _refused},
    )
    app.state.requests = 0
    app.state.busy = 0
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, _Refusal)
    answer = {"error": {"message": str(error), "type": "error", "code": error.status}}
    return JSONResponse(answer, error.status, headers=error.headers)


async def _body(request: Request) -> dict[str, Any]:
    """The request's JSON, if this caller and model are served at all."""
    state = request.app.state
    state.requests += 1
    given = request.headers.get("authorization", "")
    if given != f"Bearer {KEY}":
        raise _Refusal(401, f"Incorrect API key provided: {given.removeprefix('Bearer ') or 'none'}")
    if request.method == "GET":
        return {}
    try:
        body = json.loads(await request.body())
        model = body["model"]
    except (ValueError, KeyError, TypeError):
        raise _Refusal(400, "the body is no JSON object with a model") from None
    if model not in MODELS:
        raise _Refusal(404, f"the model {model!r} does not exist")
    if model == "error-500":
        raise _Refusal(500, "the server had an error")
    if model == "error-429" and state.busy < _BUSY:
        state.busy += 1
        raise _Refusal(429, "rate limit reached", **{"retry-after": "0"})
    assert isinstance(body, dict)
    return body


async def _models(request: Request) -> Response:
    await _body(request)
    return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})


async def _chat(request: Request) -> Response:
    body = await _body(request)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _Refusal(400, "'messages' must not be empty")
    prompt = sum(len(_tokens(_text(message))) + 3 for message in messages)
    words = _tokens(f"You said: {_text(messages[-1])}")
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    kept, reason = words[:limit], "stop" if limit >= len(words) else "length"
    usage = {"prompt_tokens": prompt, "completion_tokens": len(kept), "total_tokens": prompt + len(kept)}
    head = {"id": _identifier(body), "created": 0, "model": body["model"]}
    if body.get("stream"):
        told = usage if (body.get("stream_options") or {}).get("include_usage") else None
        return StreamingResponse(_events(head, kept, reason, told), media_type="text/event-stream")
    message = {"role": "assistant", "content": "".join(kept)}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


async def _events(
    head: dict[str, Any], words: list[str], reason: str, usage: dict[str, int] | None
) -> AsyncIterator[str]:
    def event(choices: list[dict[str, Any]], **more: Any) -> str:
        return f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': choices, **more})}\n\n"

    for word in words:
        yield event([{"index": 0, "delta": {"content": word}, "finish_reason": None}])
    yield event([{"index": 0, "delta": {}, "finish_reason": reason}])
    if usage is not None:
        yield event([], usage=usage)
    yield "data: [DONE]\n\n"


async def _embeddings(request: Request) -> Response:
    body = await _body(request)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _Refusal(400, "'input' must be a text or a list of texts")
    data = [{"object": "embedding", "index": n, "embedding": _vector(text)} for n, text in enumerate(texts)]
    used = sum(len(_tokens(text)) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": usage})


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [round(byte / 127.5 - 1, 4) for byte in digest[:DIMENSIONS]]


def _text(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _tokens(text: str) -> list[str]:
    """Words with the space before them, so that they join to the text again."""
    return _TOKEN.findall(text)


def _identifier(body: dict[str, Any]) -> str:
    return "chatcmpl-" + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
