import pytest
import responses
from responses import matchers

from weather import client


@responses.activate
def test_decorated():
    responses.add(responses.GET, "https://example.com/a", json={"t": 3})
    responses.post("https://example.com/b", status=201, match=[matchers.json_params_matcher({"a": 1})])
    assert client.read() == 3
    assert len(responses.calls) == 1


@pytest.fixture
def mocked_responses():
    with responses.RequestsMock() as rsps:
        yield rsps


def test_fixture(mocked_responses):
    mocked_responses.add("GET", "https://example.com", body="x")
    assert client.read()


def test_context():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as rsps:
        rsps.get("https://example.com")


def test_local_name_is_something_else():
    responses = [1, 2]
    responses.insert(0, 3)
    assert len(responses) == 3
