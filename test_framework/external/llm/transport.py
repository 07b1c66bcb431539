"""Between a client and the endpoint of a language model: replay, or budget, rate limit, call and recording.

It is a transport of httpx, so that any client which takes one of those goes through it, vendors' own included.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, partial
from typing import Any

import httpx
import tenacity

from test_framework.endpoints import Secret
from test_framework.errors import FrameworkError
from test_framework.external.llm.budget import Purse, Reservation
from test_framework.external.llm.cassette import Cassette, Interaction, Request
from test_framework.external.llm.counting import upper_bound
from test_framework.external.llm.prices import Price, PriceTable, Usage
from test_framework.external.llm.rate import RateLimit
from test_framework.external.llm.streams import EVENT_STREAM, Events, Tee, events_of

__all__ = ["LlmTransport", "Tally"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

NOTHING = Decimal(0)
# An endpoint that is busy says so; whoever asks again at once makes it worse.
_TRIES = 4
_LONGEST_WAIT = 20.0


@cache
def _tls() -> ssl.SSLContext:
    """Making one takes 20 ms."""
    return httpx.create_ssl_context()


@dataclass
class Tally:
    """What a test used.

    Args:
        calls: answers that came, live or recorded.
        replayed: how many of them were recorded ones, which cost nothing.
        cost: of the live ones, exact where the endpoint said what it used, else at its upper bound.
    """

    calls: int = 0
    replayed: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: Decimal = NOTHING


@dataclass(frozen=True)
class _Call:
    """One request on its way to the endpoint."""

    request: httpx.Request
    asked: Request
    price: Price
    bound: Usage
    reservation: Reservation


class LlmTransport(httpx.AsyncBaseTransport):
    """See the module. Keeps no connection from call to call, so that it belongs to no event loop.

    Args:
        base_url: what recorded paths are relative to.
        cassette: where to replay from, or to record to; ``None``: neither.
        replay: answer from the cassette alone.
        missing: makes the error of a call for which there is no key.
    """

    def __init__(
        self, base_url: str, *, api_key: Secret, prices: PriceTable, purse: Purse, rate: RateLimit | None,
        cassette: Cassette | None, replay: bool, missing: Callable[[], FrameworkError],
    ) -> None:  # fmt: skip
        self._base = httpx.URL(base_url)
        self._api_key = api_key
        self._prices = prices
        self._purse = purse
        self._rate = rate
        self._cassette = cassette
        self._replay = replay
        self._missing = missing
        self.tally = Tally()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        asked = self._asked(request)
        if self._replay:
            assert self._cassette is not None  # or there would be nothing to replay
            return self._replayed(self._cassette.find(asked))
        if not self._api_key:
            raise self._missing()
        return await self._live(request, asked)

    def _asked(self, request: httpx.Request) -> Request:
        base = self._base.raw_path.decode().rstrip("/")
        path = request.url.raw_path.decode().removeprefix(base)
        body = _json(request.content)
        if self._cassette is not None:
            return self._cassette.request(request.method, path, body)
        return Request(request.method, path, body)

    def _replayed(self, found: Interaction) -> httpx.Response:
        self.tally.replayed += 1
        headers = {"content-type": found.content_type}
        if found.events is not None:
            self._count(next((u for u in map(Usage.of, reversed(found.events)) if u), None))
            return httpx.Response(found.status, headers=headers, stream=Events(found.events))
        self._count(Usage.of(found.body))
        if found.text is not None:
            return httpx.Response(found.status, headers=headers, text=found.text)
        return httpx.Response(found.status, headers=headers, content=json.dumps(found.body).encode())

    def _count(self, usage: Usage | None) -> None:
        self.tally.calls += 1
        self.tally.usage += usage or Usage()

    async def _live(self, request: httpx.Request, asked: Request) -> httpx.Response:
        """The call, again after a while when the endpoint is too busy for it."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_result(lambda response: response.status_code == 429),
            stop=tenacity.stop_after_attempt(_TRIES),
            wait=_as_told,
            before_sleep=_let_go,
            retry_error_callback=_last,
        )
        response: httpx.Response = await retrying(self._once, request, asked)
        return response

    async def _once(self, request: httpx.Request, asked: Request) -> httpx.Response:
        body = asked.body if isinstance(asked.body, dict) else {}
        free = request.method == "GET"  # lists of models
        price = Price(input=NOTHING, output=NOTHING) if free else self._prices.price(str(body.get("model", "")))
        # Bounded by what is sent, not by what is recorded: that is shorter where secrets were taken out.
        sent = _json(request.content)
        bound = upper_bound(sent, price) if isinstance(sent, dict) else Usage(prompt_tokens=len(request.content))
        what = f"the call to {asked.path} of the model {body.get('model')}"
        reservation = self._purse.reserve(price.cost(bound), what)
        call = _Call(request, asked, price, bound, reservation)
        try:
            if self._rate is not None:
                await self._rate.wait()
        except BaseException:
            reservation.settle(NOTHING)
            raise
        return await self._send(call)

    async def _send(self, call: _Call) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(verify=_tls())
        try:
            response = await transport.handle_async_request(call.request)
            response.request = call.request
            if response.status_code == 200 and EVENT_STREAM in response.headers.get("content-type", ""):
                return self._streaming(call, response, transport)
            await response.aread()
        except httpx.ConnectError as error:
            call.reservation.settle(NOTHING)  # it was never asked
            error.add_note(f"asked: {self._base.host}")
            await transport.aclose()
            raise
        except BaseException:
            self._settle(call, None)  # nobody knows whether it was paid for
            await transport.aclose()
            raise
        await transport.aclose()
        return self._answered(call, response)

    def _answered(self, call: _Call, response: httpx.Response) -> httpx.Response:
        body, kind = _json(response.content), response.headers.get("content-type", "")
        if response.is_success:
            self._settle(call, Usage.of(body))
        else:
            call.reservation.settle(NOTHING)  # what was refused is not paid for
            self.tally.calls += 1
        if response.status_code != 429:
            text = response.text if body is None else None
            self._record(Interaction(call.asked, response.status_code, kind, body, None, text))
        return httpx.Response(response.status_code, headers=_plain(response.headers), content=response.content)

    def _streaming(self, call: _Call, response: httpx.Response, transport: httpx.AsyncHTTPTransport) -> httpx.Response:
        async def close() -> None:
            await response.aclose()
            await transport.aclose()

        tee = Tee(response, partial(self._streamed, call, response), close)
        return httpx.Response(response.status_code, headers=_plain(response.headers), stream=tee)

    def _streamed(self, call: _Call, response: httpx.Response, seen: bytes | None) -> None:
        if seen is None:  # broken off, perhaps by the test: paid for in full, and nothing to replay
            self._settle(call, None)
            return
        text = seen.decode("utf-8", "replace")
        events = events_of(text)
        self._settle(call, next((u for u in map(Usage.of, reversed(events or [])) if u), None))
        kind = response.headers["content-type"]
        kept = text if events is None else None
        self._record(Interaction(call.asked, response.status_code, kind, None, events, kept))

    def _settle(self, call: _Call, usage: Usage | None) -> None:
        cost = call.price.cost(usage or call.bound)
        call.reservation.settle(cost)
        self.tally.cost += cost
        self._count(usage)

    def _record(self, interaction: Interaction) -> None:
        if self._cassette is not None:
            self._cassette.add(interaction)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _plain(headers: httpx.Headers) -> httpx.Headers:
    """Without what no longer holds for a body that was decoded."""
    gone = {"content-encoding", "content-length", "transfer-encoding"}
    return httpx.Headers([(name, value) for name, value in headers.multi_items() if name not in gone])


def _as_told(state: tenacity.RetryCallState) -> float:
    """Seconds to wait: what the answer says, else 1, 2, 4 …"""
    assert state.outcome is not None
    try:
        told = float(state.outcome.result().headers.get("retry-after", ""))
    except ValueError:
        told = 2.0 ** (state.attempt_number - 1)
    return max(0.0, min(told, _LONGEST_WAIT))


async def _let_go(state: tenacity.RetryCallState) -> None:
    assert state.outcome is not None
    await state.outcome.result().aclose()


def _last(state: tenacity.RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
