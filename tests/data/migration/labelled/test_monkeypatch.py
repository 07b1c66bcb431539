import os
import time

import pytest

import notes.config
from notes import store


def test_environment(monkeypatch):
    monkeypatch.setenv("NOTES_HOME", "/tmp")
    monkeypatch.delenv("NOTES_KEY", raising=False)
    monkeypatch.setitem(os.environ, "A", "b")
    monkeypatch.chdir("/tmp")
    monkeypatch.syspath_prepend("/tmp")


def test_attributes(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr("notes.store.redis_client", object())
    monkeypatch.setattr(store, "connect_database", lambda: None)
    monkeypatch.delattr("requests.sessions.Session.request")
    monkeypatch.setitem(notes.config.SETTINGS, "debug", True)


def test_context(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os.path, "exists", lambda path: True)


@pytest.fixture(scope="module")
def module_patch():
    patcher = pytest.MonkeyPatch()
    patcher.setenv("TZ", "UTC")
    yield patcher
    patcher.undo()


def helper(mp: pytest.MonkeyPatch) -> None:
    mp.setattr("notes.ws.websocket", None)


def test_own_object_is_no_monkeypatch():
    class Settings:
        def setattr(self, name, value):
            self.name = value

    settings = Settings()
    settings.setattr("a", 1)
    assert settings.name == 1
