"""Words that are about a database in one program and about something else in another: nothing here speaks of one."""

from unittest.mock import AsyncMock, MagicMock, Mock, patch

import pytest

from bridge import config
from bridge.radio import Radio
from bridge.repo import collect


@pytest.fixture
def session():
    entered = AsyncMock()
    entered.list_tools.return_value = AsyncMock(tools=[])
    return entered


@pytest.fixture
def module():
    fake = Mock()
    fake.get_bin_path = Mock(return_value="/usr/bin/true")
    return fake


async def test_greeting(session):
    radio = Radio(session)
    with patch.object(radio, "finish_connection", side_effect=OSError):
        await radio.start()


def test_collected():
    with patch("bridge.repo.collect.collect_failed", return_value={}):
        assert collect.run() == {}


def test_terminal():
    with patch("bridge.platform.resolver", None), patch("bridge.config.select"):
        assert Radio(MagicMock())


def test_browser(monkeypatch):
    monkeypatch.setattr("bridge.login.webbrowser.open", lambda url: True)
    monkeypatch.setattr(config, "TIMEOUT", 1)


def test_age():
    info = Mock()
    info.st_mtime = 0
    assert Radio.age(info) > 0


def test_engine():
    engine = Mock()
    engine.throttle(3)
    engine.throttle.assert_called_once_with(3)


def test_tool(module):
    assert Radio.tool(module) == "/usr/bin/true"
