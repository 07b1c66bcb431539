"""A client of OpenAI-compatible endpoints for tests: counted, limited, recorded once and replayed ever after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import httpx

from test_framework.endpoints import Secret
from test_framework.errors import FrameworkError, SettingsError
from test_framework.external.llm.budget import Purse
from test_framework.external.llm.cassette import Cassette
from test_framework.external.llm.errors import LlmError, LlmUnavailable
from test_framework.external.llm.prices import PriceTable, Usage
from test_framework.external.llm.rate import RateLimit
from test_framework.external.llm.streams import json_events
from test_framework.external.llm.transport import LlmTransport

__all__ = ["DEFAULT_BASE_URL", "ChatAnswer", "LlmConfig", "LlmTestResource"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

DEFAULT_BASE_URL = "https://api.openai.com/v1"
# Enough for an answer that a test looks at, and little enough for a small budget.
DEFAULT_MAX_TOKENS = 256

Messages = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class LlmConfig:
    """Where the endpoint is and what it costs.

    Args:
        model: used when a call names none.
        timeout: seconds for one call, and between two events of a stream.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: Secret = Secret()
    model: str | None = None
    prices: PriceTable = field(default_factory=PriceTable)
    timeout: float = 60.0


@dataclass(frozen=True)
class ChatAnswer:
    """One answer. ``raw`` is all of it, as the endpoint sent it."""

    text: str
    model: str
    finish_reason: str | None
    usage: Usage
    raw: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.text


class LlmTestResource:
    """A language model for one test.

    With a recording in ``cassette`` the answers come from there, and from nowhere else. Without one they come from the
    endpoint, if there is a key, and are recorded when :meth:`close` is told so.

    Args:
        record: make a new recording, whether or not there is one.
        missing: makes the error of a call that nobody can answer; ``None``: ``LlmUnavailable``.
    """

    __test__ = False  # not a test class, whatever its name looks like

    def __init__(
        self, config: LlmConfig | None = None, *, cassette: Cassette | None = None, record: bool = False,
        purse: Purse | None = None, rate: RateLimit | None = None, missing: Callable[[], FrameworkError] | None = None,
    ) -> None:  # fmt: skip
        self.config = config or LlmConfig()
        self._cassette = cassette
        self._purse = purse or Purse()
        self.replaying = cassette is not None and cassette.recorded and not record
        if cassette is not None and self.replaying:
            cassette.load()
        self.transport = LlmTransport(
            self.config.base_url,
            api_key=self.config.api_key,
            prices=self.config.prices,
            purse=self._purse,
            rate=rate,
            cassette=cassette,
            replay=self.replaying,
            missing=missing or self._unavailable,
        )

    @property
    def available(self) -> bool:
        """Whether a call can be answered."""
        return self.replaying or bool(self.config.api_key)

    @property
    def usage(self) -> Usage:
        """Tokens of all calls so far, recorded answers included."""
        return self.transport.tally.usage

    @property
    def calls(self) -> int:
        """Answers so far, recorded ones included."""
        return self.transport.tally.calls

    @property
    def replayed(self) -> int:
        """How many answers were recorded ones."""
        return self.transport.tally.replayed

    @property
    def cost(self) -> Decimal:
        """What the live calls so far cost, by the price table. Recorded answers cost nothing."""
        return self.transport.tally.cost

    def http_client(self, **options: Any) -> httpx.AsyncClient:
        """A client of httpx through the same budget and recording, for ``openai.AsyncOpenAI(http_client=…)``.

        Give that the ``base_url`` of :attr:`config`, and any key: the real one is filled in here.
        """
        return httpx.AsyncClient(
            transport=self.transport,
            base_url=self.config.base_url,
            timeout=self.config.timeout,
            event_hooks={"request": [self._authorize]},
            **options,
        )

    async def chat(
        self, messages: Messages, *, model: str | None = None, max_tokens: int = DEFAULT_MAX_TOKENS, **options: Any
    ) -> ChatAnswer:
        """The answer to ``messages``: a text, or roles and contents as the endpoint takes them.

        Args:
            options: whatever else the endpoint takes, as ``temperature`` or ``tools``.

        Raises:
            BudgetExceeded: it was not asked, since it could have cost too much.
            CassetteMismatch: the recording holds no answer to this.
            LlmUnavailable: there is neither a recording nor a key.
            LlmError: the endpoint says no, or nothing.
        """
        body = self._chat_body(messages, model, max_tokens, options)
        answer = await self._post("/chat/completions", body)
        choice = answer["choices"][0]
        return ChatAnswer(
            text=choice["message"].get("content") or "",
            model=str(answer.get("model", body["model"])),
            finish_reason=choice.get("finish_reason"),
            usage=Usage.of(answer) or Usage(),
            raw=answer,
        )

    async def stream(
        self, messages: Messages, *, model: str | None = None, max_tokens: int = DEFAULT_MAX_TOKENS, **options: Any
    ) -> AsyncIterator[str]:
        """The same answer in pieces, as they come. Errors are those of :meth:`chat`."""
        body = self._chat_body(messages, model, max_tokens, options)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        async with self.http_client() as client:
            try:
                async with client.stream("POST", self._url("/chat/completions"), json=body) as response:
                    if not response.is_success:
                        await response.aread()
                        raise self._refused(response)
                    async for event in json_events(response):
                        for choice in event.get("choices", ()):
                            if piece := choice.get("delta", {}).get("content"):
                                yield piece
            except httpx.HTTPError as error:
                raise self._silent(error) from error

    async def embed(self, texts: str | Sequence[str], *, model: str | None = None, **options: Any) -> list[list[float]]:
        """A vector for each text, in their order. Errors are those of :meth:`chat`."""
        inputs = [texts] if isinstance(texts, str) else list(texts)
        answer = await self._post("/embeddings", {"model": self._model(model), "input": inputs, **options})
        found = sorted(answer["data"], key=lambda each: int(each["index"]))
        return [each["embedding"] for each in found]

    def close(self, *, save: bool = True) -> None:
        """End it; with ``save`` write down what was recorded. Harmless twice."""
        cassette, self._cassette = self._cassette, None
        if cassette is not None and save and not self.replaying and cassette.interactions:
            cassette.save()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(save=kind is None)  # half a test's recording would fail every later run of it

    def _chat_body(
        self, messages: Messages, model: str | None, max_tokens: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(m) for m in messages]
        limit = {} if "max_completion_tokens" in options else {"max_tokens": max_tokens}
        return {"model": self._model(model), "messages": said, **limit, **options}

    def _model(self, model: str | None) -> str:
        name = model or self.config.model
        if name is None:
            raise SettingsError("no model was named", fix="give model=…, or set llm_model in the ini file")
        return name

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self.http_client() as client:
            try:
                response = await client.post(self._url(path), json=body)
            except httpx.HTTPError as error:
                raise self._silent(error) from error
        if not response.is_success:
            raise self._refused(response)
        return response.json()

    def _url(self, path: str) -> str:
        return self.config.base_url.rstrip("/") + path

    async def _authorize(self, request: httpx.Request) -> None:
        if self.config.api_key:
            request.headers["authorization"] = f"Bearer {self.config.api_key.reveal()}"

    @property
    def _shown_url(self) -> str:
        """Without what may be secret in it."""
        return str(httpx.URL(self.config.base_url).copy_with(userinfo=b"", query=None))

    def _silent(self, error: httpx.HTTPError) -> LlmError:
        return LlmError(
            "the language model does not answer",
            status=0,
            where=self._shown_url,
            cause=f"{type(error).__name__}: {error}".rstrip(": "),
            fix="check TEST_LLM_BASE_URL and the network",
        )

    def _refused(self, response: httpx.Response) -> LlmError:
        from test_framework.external.llm.scrubbing import Scrubber

        fixes = {
            401: "check TEST_LLM_API_KEY",
            404: "check TEST_LLM_BASE_URL and the model's name",
            429: "ask less often",
        }
        cause = Scrubber([self.config.api_key.reveal()]).text(_reason(response))
        return LlmError(
            f"the language model answers with status {response.status_code}",
            status=response.status_code,
            where=self._shown_url,
            cause=cause,
            fix=fixes.get(response.status_code, "see the endpoint's documentation for that status"),
        )

    def _unavailable(self) -> LlmUnavailable:
        recording = "" if self._cassette is None else f" in {self._cassette.path}"
        return LlmUnavailable(
            f"there is no recording{recording} and no key to make one",
            fix="commit the recording, or set TEST_LLM_API_KEY (and TEST_LLM_BASE_URL) for one run",
        )


def _reason(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
