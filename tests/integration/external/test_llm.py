"""The language model client against a local endpoint, over a real socket: live, limited, recorded, replayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from test_framework.endpoints import Secret
from test_framework.errors import SettingsError
from test_framework.external.application import Application
from test_framework.external.backing import Backing
from test_framework.external.llm import (
    BudgetExceeded,
    Cassette,
    CassetteMismatch,
    FileAccount,
    LlmConfig,
    LlmError,
    LlmTestResource,
    LlmUnavailable,
    MemoryAccount,
    PriceTable,
    Purse,
    RateLimit,
    Scrubber,
)
from test_framework.external.reference.llm import DIMENSIONS, KEY, create_app
from test_framework.external.serving import close_threads, start_service

PRICES = PriceTable(["echo-1 = 1000 2000", "embed-1 = 10 0", "error-* = 1000 2000"])
Make = Callable[..., LlmTestResource]


@pytest.fixture
def app() -> Starlette:
    return create_app()


@pytest.fixture
def url(app: Starlette) -> Iterator[str]:
    service = start_service(Application(name="llm", target=lambda: app, factory=True, shared_loop=True), Backing())
    yield f"{service.url}/v1"
    service.stop()
    close_threads()


@pytest.fixture
def make(url: str, tmp_path: Path) -> Make:
    """Resources for one test after another, all with the same recording."""

    def make(
        *, key: str = KEY, tape: str | None = None, secrets: tuple[str, ...] = (), **options: Any
    ) -> LlmTestResource:
        config = LlmConfig(base_url=url, api_key=Secret(key), model="echo-1", prices=PRICES, timeout=10)
        if tape is not None:
            options["cassette"] = Cassette(tmp_path / "cassettes" / tape, "test_it", Scrubber([key, *secrets]))
        return LlmTestResource(config, **options)

    return make


async def test_a_text_is_answered_and_its_tokens_and_its_price_are_counted_exactly(make: Make) -> None:
    async with make() as llm:
        answer = await llm.chat("hello there")
        assert answer.text == "You said: hello there"
        assert (answer.finish_reason, answer.model) == ("stop", "echo-1")
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 4)
        assert llm.cost == Decimal("0.013")
        assert llm.usage.total_tokens == 9


async def test_messages_and_options_reach_the_endpoint_as_they_are(make: Make) -> None:
    async with make() as llm:
        answer = await llm.chat(
            [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one two three"}], max_tokens=3
        )
        assert answer.text == "You said: one"
        assert answer.finish_reason == "length"


async def test_a_stream_comes_in_pieces_that_make_the_answer(make: Make) -> None:
    async with make() as llm:
        pieces = [piece async for piece in llm.stream("hello there")]
        assert pieces == ["You", " said:", " hello", " there"]
        assert llm.cost == Decimal("0.013")


async def test_every_text_gets_its_vector(make: Make) -> None:
    async with make() as llm:
        one, two = await llm.embed(["a", "b"], model="embed-1")
        assert len(one) == len(two) == DIMENSIONS
        assert one != two
        assert await llm.embed("a", model="embed-1") == [one]


async def test_a_wrong_key_is_an_error_that_does_not_show_it(make: Make) -> None:
    async with make(key="sk-wrong-and-secret-4711") as llm:
        with pytest.raises(LlmError, match="status 401") as caught:
            await llm.chat("hello")
        assert caught.value.status == 401
        assert "4711" not in f"{caught.value}{llm.config!r}"
        assert "TEST_LLM_API_KEY" in str(caught.value)
        assert llm.cost == 0


async def test_a_busy_endpoint_is_asked_again_and_only_the_answer_is_paid_for(make: Make, app: Starlette) -> None:
    async with make() as llm:
        assert (await llm.chat("hello", model="error-429")).text == "You said: hello"
        assert app.state.requests == 3
        assert llm.cost == Decimal("0.010")


async def test_a_failing_endpoint_is_an_error_and_is_asked_once(make: Make, app: Starlette) -> None:
    async with make() as llm:
        for ask in (llm.chat("hello", model="error-500"), anext(llm.stream("hello", model="error-500"))):
            with pytest.raises(LlmError, match="status 500"):
                await ask
        assert app.state.requests == 2
        assert llm.cost == 0


async def test_an_endpoint_that_is_not_there_is_an_error_that_costs_nothing() -> None:
    config = LlmConfig(base_url="http://127.0.0.1:1/v1", api_key=Secret(KEY), model="echo-1", prices=PRICES)
    purse = Purse(test_limit=Decimal(1))
    async with LlmTestResource(config, purse=purse) as llm:
        with pytest.raises(LlmError, match="does not answer") as caught:
            await llm.chat("hello")
        assert caught.value.status == 0
        assert purse.spent == 0


async def test_the_budget_of_a_test_stops_before_the_call_that_could_exceed_it(make: Make, app: Starlette) -> None:
    async with make(purse=Purse(test_limit=Decimal("0.30"))) as llm:
        await llm.chat("hello", max_tokens=4)
        with pytest.raises(BudgetExceeded, match="of this test") as caught:
            await llm.chat("hello", max_tokens=1000)
        with pytest.raises(BudgetExceeded):
            await anext(llm.stream("hello", max_tokens=1000))
        with pytest.raises(BudgetExceeded):
            await llm.chat("hello", max_tokens=4, n=100)
        assert app.state.requests == 1
        assert "llm_test_budget" in str(caught.value)
        assert (await llm.chat("hello", max_tokens=4)).text  # what was not spent is still there


async def test_an_estimate_is_never_below_what_was_used(make: Make) -> None:
    for text in ("a", "日本語のテキスト", "x" * 500, "a b c d e f g h i j", '"\\\n\t' * 20):
        purse = Purse(test_limit=Decimal(1000))
        async with make(purse=purse) as llm:
            reserved: list[Decimal] = []
            original = purse.reserve

            def reserve(amount: Decimal, what: str, *, into: Any = reserved, ask: Any = original) -> Any:
                into.append(amount)
                return ask(amount, what)

            purse.reserve = reserve  # type: ignore[method-assign]
            await llm.chat(text, max_tokens=64)
            assert 0 < llm.cost <= reserved[0]
            assert purse.spent == llm.cost


async def test_the_budget_of_a_run_is_shared_by_its_tests_and_processes(make: Make, tmp_path: Path) -> None:
    limit, account = Decimal("0.45"), tmp_path / "money"
    first = make(purse=Purse(run_limit=limit, run=FileAccount(account)))
    await first.chat("hello", max_tokens=4)
    second = make(purse=Purse(run_limit=limit, run=FileAccount(account)))
    spent = FileAccount(account).spent
    assert spent == first.cost
    calls = 0
    with pytest.raises(BudgetExceeded, match="of the run"):
        for _ in range(100):
            await second.chat("hello", max_tokens=4)
            calls += 1
    assert calls > 5
    assert FileAccount(account).spent == first.cost + second.cost <= limit


async def test_calls_at_once_cannot_exceed_the_budget_together(make: Make, app: Starlette) -> None:
    account = MemoryAccount()
    async with make(purse=Purse(test_limit=Decimal("0.5"), run=account)) as llm:
        results = await asyncio.gather(*(llm.chat("x", max_tokens=50) for _ in range(20)), return_exceptions=True)
        refused = [each for each in results if isinstance(each, BudgetExceeded)]
        assert refused
        assert app.state.requests == 20 - len(refused)
        assert account.spent == llm.cost <= Decimal("0.5")


async def test_a_model_without_a_price_is_not_asked(make: Make, app: Starlette) -> None:
    async with make() as llm:
        with pytest.raises(SettingsError, match="llm_prices"):
            await llm.chat("hello", model="gpt-unknown")
        assert app.state.requests == 0


async def test_a_stream_that_is_left_early_is_paid_for_in_full_and_not_recorded(make: Make) -> None:
    llm = make(tape="a.yaml")
    stream = llm.stream("one two three", max_tokens=10)
    assert await anext(stream) == "You"
    await stream.aclose()  # type: ignore[attr-defined]
    assert llm.cost > Decimal("0.02")  # ten tokens of an answer, at least
    llm.close()
    assert not make(tape="a.yaml").replaying


async def test_what_was_recorded_is_replayed_without_endpoint_key_or_money(
    make: Make, app: Starlette, tmp_path: Path
) -> None:
    async def talk(llm: LlmTestResource) -> list[Any]:
        answer = await llm.chat("hello")
        again = await llm.chat("hello")
        pieces = [piece async for piece in llm.stream("in pieces")]
        return [answer.text, again.raw, pieces, await llm.embed(["a", "b"], model="embed-1"), answer.usage]

    async with make(tape="a.yaml") as llm:
        live = await talk(llm)
    asked = app.state.requests
    async with make(tape="a.yaml", key="", purse=Purse(test_limit=Decimal(0))) as llm:
        assert llm.replaying
        assert await talk(llm) == live
        assert (llm.calls, llm.replayed, llm.cost) == (4, 4, 0)
        assert llm.usage.total_tokens > 0
    assert app.state.requests == asked


async def test_recording_twice_gives_the_same_file(make: Make, tmp_path: Path) -> None:
    texts = []
    for name in ("a.yaml", "b.yaml"):
        async with make(tape=name) as llm:
            await llm.chat("hello\nworld")
            await llm.embed("a", model="embed-1")
        texts.append((tmp_path / "cassettes" / name).read_text())
    assert texts[0] == texts[1]
    assert "hello" in texts[0]


async def test_no_secret_gets_into_a_recording(make: Make, tmp_path: Path) -> None:
    canary = "canary-4711-very-secret"
    async with make(tape="a.yaml", secrets=(canary,)) as llm:
        await llm.chat(
            f"the key is {KEY}, the word is {canary}, sk-proj-abcdef123456, https://me:{canary}@host/?token=abcdef",
            metadata={"api_key": "anything", "note": f"Bearer {canary}"},
        )
        async with llm.http_client() as client:
            body = {"model": "echo-1", "messages": [{"content": "x"}]}
            await client.post(f"{llm.config.base_url}/chat/completions?api_key=hidden-4711&x=1", json=body)
        assert [piece async for piece in llm.stream(f"again {canary}")]
    text = (tmp_path / "cassettes" / "a.yaml").read_text()
    for secret in (KEY, "canary", "sk-proj", "abcdef", "anything", "4711", "uthorization"):
        assert secret not in text
    assert "the word is ***" in text
    assert "x=1" in text


async def test_what_is_not_in_the_recording_is_an_error_that_shows_what_comes_nearest(make: Make) -> None:
    async with make(tape="a.yaml") as llm:
        await llm.chat("what is the capital of France")
        await llm.embed("a", model="embed-1")
    async with make(tape="a.yaml") as llm:
        with pytest.raises(CassetteMismatch) as caught:
            await llm.chat("what is the capital of Spain")
        message = str(caught.value)
        assert '-      "content": "what is the capital of France"' in message.replace("    -", "-")
        assert '+      "content": "what is the capital of Spain"' in message.replace("    +", "+")
        assert "--llm-record" in message
        assert "a.yaml" in message
        await llm.chat("what is the capital of France")
        with pytest.raises(CassetteMismatch, match="recorded 1 times, and is asked once more"):
            await llm.chat("what is the capital of France")


async def test_a_recording_is_made_anew_when_that_is_asked_for(make: Make, app: Starlette) -> None:
    for text in ("old", "new"):
        async with make(tape="a.yaml", record=True) as llm:
            await llm.chat(text)
    async with make(tape="a.yaml") as llm:
        assert (await llm.chat("new")).text == "You said: new"
    assert app.state.requests == 2


async def test_half_a_test_is_not_recorded(make: Make, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        async with make(tape="a.yaml") as llm:
            await llm.chat("hello")
            raise RuntimeError("the test fails")
    assert not (tmp_path / "cassettes").exists()


async def test_errors_of_the_endpoint_are_replayed_as_errors(make: Make) -> None:
    for _ in range(2):
        async with make(tape="a.yaml") as llm:
            with pytest.raises(LlmError, match="status 500"):
                await llm.chat("hello", model="error-500")
    assert llm.replaying


async def test_without_recording_and_key_nobody_is_asked(make: Make, app: Starlette) -> None:
    async with make(tape="a.yaml", key="") as llm:
        assert not llm.available
        with pytest.raises(LlmUnavailable, match="no recording"):
            await llm.chat("hello")
    assert app.state.requests == 0


async def test_a_recording_that_is_damaged_says_so(make: Make, tmp_path: Path) -> None:
    (tmp_path / "cassettes").mkdir()
    for text in (
        "{",
        "version: 99\ninteractions: []",
        "version: 1",
        "- a",
        "version: 1\ninteractions: [{request: {}}]",
    ):
        (tmp_path / "cassettes" / "a.yaml").write_text(text)
        with pytest.raises(SettingsError, match="cannot be read"):
            make(tape="a.yaml")


async def test_any_client_of_httpx_goes_the_same_way(make: Make) -> None:
    for _ in range(2):
        async with make(tape="a.yaml") as llm, llm.http_client() as client:
            answer = await client.get(f"{llm.config.base_url}/models", headers={"authorization": "Bearer other"})
            assert "echo-1" in [each["id"] for each in answer.json()["data"]]
    assert llm.replaying


async def test_a_rate_limit_holds_over_tests_with_loops_of_their_own(make: Make) -> None:
    rate = RateLimit(2, seconds=0.2)
    moments = []

    async def ask() -> None:
        await make(rate=rate).chat("hello")
        moments.append(asyncio.get_running_loop().time())

    for _ in range(5):
        await asyncio.to_thread(asyncio.run, ask())
    rate.close()
    # Two at once, and one more in each tenth of a second: no machine is quick enough to be below that.
    assert moments[-1] - moments[0] >= 0.19


async def test_cancelling_a_call_gives_nothing_back_that_may_have_been_spent(make: Make) -> None:
    purse = Purse(test_limit=Decimal(10))
    begun = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = LlmConfig(base_url=f"http://127.0.0.1:{port}/v1", api_key=Secret(KEY), model="echo-1", prices=PRICES)
    llm = LlmTestResource(config, purse=purse)
    task = asyncio.create_task(llm.chat("hello"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert purse.spent == llm.cost > 0
    server.close()
    await server.wait_closed()


async def test_a_timeout_is_an_error_with_the_address(make: Make) -> None:
    ended = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = LlmConfig(
        base_url=f"http://user:secret@127.0.0.1:{port}/v1?k=1",
        api_key=Secret(KEY),
        model="echo-1",
        prices=PRICES,
        timeout=0.2,
    )
    with pytest.raises(LlmError, match="ReadTimeout") as caught:
        await LlmTestResource(config).chat("hello")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, httpx.ReadTimeout)
    await ended.wait()
    server.close()
    await server.wait_closed()
