"""Prices, estimates, secrets and file names of language model calls: values alone, no endpoint."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_framework.errors import SettingsError
from test_framework.external.llm import PriceTable, Scrubber, Usage, cassette_name
from test_framework.external.llm.budget import shown
from test_framework.external.llm.counting import upper_bound
from test_framework.external.llm.streams import DONE, Events, events_of

TABLE = PriceTable(["small = 0.15 0.60 100  # a comment", "", "big-* = 2.5 10", "* = 0 0"])


@pytest.mark.parametrize(("model", "cost"), [("small", "0.00075"), ("big-2", "0.0125"), ("other", "0")])
def test_a_model_costs_what_its_line_says(model: str, cost: str) -> None:
    assert TABLE.price(model).cost(Usage(prompt_tokens=1000, completion_tokens=1000)) == Decimal(cost)


def test_small_sums_are_not_rounded_away() -> None:
    assert TABLE.price("small").cost(Usage(prompt_tokens=1)) * 1_000_000 == Decimal("0.15")


@pytest.mark.parametrize(
    "line", ["small", "small = 1", "small = a b", "= 1 2", "small = -1 2", "small = NaN 1", "m = 1 2 x"]
)
def test_a_line_that_is_no_price_is_named(line: str) -> None:
    with pytest.raises(SettingsError, match="is not understood") as caught:
        PriceTable([line])
    assert line in str(caught.value)


@given(st.text(max_size=200))
def test_a_prompt_is_never_estimated_below_its_bytes(text: str) -> None:
    body = {"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": 7}
    bound = upper_bound(body, TABLE.price("small"))
    assert bound.prompt_tokens >= len(text.encode("utf-8", "surrogatepass"))
    assert bound.completion_tokens == 7


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, 100),
        ({"max_tokens": 5, "max_completion_tokens": 9}, 9),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_tokens": None}, 100),
    ],
)
def test_an_answer_is_estimated_at_its_limit_or_the_models(options: dict[str, Any], tokens: int) -> None:
    body = {"model": "small", "messages": [], **options}
    assert upper_bound(body, TABLE.price("small")).completion_tokens == tokens


def test_an_image_counts_even_when_only_its_address_is_sent() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    bound = upper_bound({"messages": [{"role": "user", "content": [image, image]}]}, TABLE.price("small"))
    assert bound.prompt_tokens > 100_000


SECRETS = [
    "sk-proj-0123456789abcdef",
    "Authorization: Bearer abcdefghijkl",
    "https://user:abcdefghijkl@host/path",
    "/v1/x?key=abcdefghijkl&y=1",
    "?access_token=abcdefghijkl",
    "eyJhbGciOiJI.abcdefghijkl.signature_of_it",
    "known-secret-abcdefghijkl",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_taken_out_by_its_shape_its_place_or_because_it_is_known(text: str) -> None:
    found = Scrubber(["known-secret-abcdefghijkl"]).text(f"before {text} after")
    assert "abcdef" not in found
    assert "***" in found
    assert found.startswith("before ")


@pytest.mark.parametrize("name", ["api_key", "apiKey", "x-api-key", "password", "client_secret", "refresh_token"])
def test_what_stands_under_the_name_of_a_secret_is_taken_out(name: str) -> None:
    assert Scrubber().value({"outer": [{name: "anything"}]}) == {"outer": [{name: "***"}]}


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 5, "prompt_tokens": 3, "token": " Hello", "logprob": -0.1},
        {"content": "What does a == b; c = d mean? See https://a.example/x?page=2"},
        {"password": ""},
        [1, 2.5, None, True],
    ],
)
def test_what_is_no_secret_stays(value: Any) -> None:
    assert Scrubber(["short"]).value(value) == value


def test_different_tests_have_different_files_on_any_file_system() -> None:
    names = ["test_a", "test_A", "test_a[x/y]", "test_a[x-y]", "test_a[x y]", "x" * 300, "x" * 301, "TestA.test_a"]
    files = {cassette_name(name).lower() for name in names}
    assert len(files) == len(names)
    assert all(len(file) < 130 and "/" not in file for file in files)


async def test_a_stream_is_taken_apart_and_put_together_again() -> None:
    events = [{"choices": [{"delta": {"content": "ä\n"}}]}, {"choices": []}, DONE]
    text = b"".join([piece async for piece in Events(events)]).decode()
    assert events_of(text) == events
    assert events_of(": a comment\r\n\r\n" + text.replace("\n", "\r\n")) == events


@pytest.mark.parametrize("text", ["event: x\ndata: {}\n\n", "data: not json\n\n", "plain"])
def test_a_stream_of_anything_else_is_left_as_it_is(text: str) -> None:
    assert events_of(text) is None


@pytest.mark.parametrize(("amount", "text"), [("0.30", "0.3"), ("100", "100"), ("0.0000001", "0.000001"), ("0", "0")])
def test_sums_are_shown_without_exponents_and_never_as_less(amount: str, text: str) -> None:
    assert shown(Decimal(amount)) == text
