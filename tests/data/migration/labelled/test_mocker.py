import os

import pytest

from feeds import reader


def test_patches(mocker):
    get = mocker.patch("feeds.reader.requests.get")
    get.return_value = mocker.Mock(status_code=200)
    mocker.patch.object(reader, "db_session")
    mocker.patch.dict(os.environ, {"FEED": "x"})
    spy = mocker.spy(reader, "parse")
    stub = mocker.stub(name="on_websocket_message")
    reader.run(stub)
    assert spy.call_count == 1
    mocker.resetall()
    mocker.stopall()


@pytest.fixture
def feed_clock(mocker):
    return mocker.patch("feeds.reader.time.time", return_value=0)


def test_clock(feed_clock, mocker):
    mocker.patch("feeds.reader.open", mocker.mock_open(read_data="x"))
    assert mocker.sentinel.feed


class TestScopes:
    @pytest.fixture(scope="class", autouse=True)
    def quiet(self, class_mocker):
        class_mocker.patch("feeds.reader.logger")

    def test_async(self, mocker):
        pool = mocker.AsyncMock()
        pool.acquire.return_value.__aenter__.return_value.fetchrow.return_value = None
        assert pool.mock_calls == [mocker.call.acquire()]


@pytest.fixture(scope="session")
def no_network(session_mocker):
    yield session_mocker.patch("socket.create_connection", side_effect=OSError)
