"""Applications on real sockets of this process: how they begin, what goes wrong, and what is left."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from test_framework.endpoints import PostgresEndpoint, Secret
from test_framework.errors import ApplicationError
from test_framework.external.application import Application, load_application
from test_framework.external.backing import Backing
from test_framework.external.serving import astart_service, running_service, start_service

CANARY = "canary-4711"
BACKING = Backing(postgres=PostgresEndpoint(database="mine", password=Secret(CANARY)))


class App:
    """An ASGI application that answers with ``text``, and notes what its lifespan did."""

    def __init__(self, text: str = "hello") -> None:
        self.text = text
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        else:
            await self.respond(send)

    async def live(self, receive: Any, send: Any) -> None:
        for phase in ("startup", "shutdown"):
            await receive()
            await self.phase(phase)
            self.seen.append(phase)
            await send({"type": f"lifespan.{phase}.complete"})

    async def phase(self, name: str) -> None:
        """For subclasses."""

    async def respond(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.text.encode()})


def served(target: Any, **options: Any) -> Application:
    return Application(name="tests:app", target=target, factory=False, **options)


def ask(url: str) -> str:
    return httpx.get(url, trust_env=False).text


def sockets() -> int:
    return len(psutil.Process().net_connections("tcp"))


def test_it_answers_when_it_is_started_and_listens_no_more_when_it_is_stopped() -> None:
    app = App()
    service = start_service(served(app), BACKING)
    assert ask(service.url) == "hello"
    service.stop()
    service.stop()
    assert app.seen == ["startup", "shutdown"]
    with pytest.raises(httpx.ConnectError):
        ask(service.url)


def test_a_connection_that_is_kept_alive_does_not_keep_it() -> None:
    before = sockets()
    with httpx.Client(trust_env=False) as client:
        service = start_service(served(App()), BACKING)
        assert client.get(service.url).text == "hello"
        service.stop()
    assert sockets() == before


def test_several_serve_at_once_each_on_a_port_of_its_own() -> None:
    services = [start_service(served(App(str(number))), BACKING) for number in range(8)]
    try:
        assert [ask(service.url) for service in services] == [str(number) for number in range(8)]
    finally:
        for service in services:
            service.stop()


def test_threads_are_used_again() -> None:
    for _ in range(3):
        start_service(served(App()), BACKING).stop()
    before = threading.active_count()
    for _ in range(10):
        start_service(served(App()), BACKING).stop()
    assert threading.active_count() == before


async def test_one_that_blocks_its_loop_disturbs_no_other() -> None:
    release = threading.Event()

    class Blocking(App):
        async def respond(self, send: Any) -> None:
            release.wait(60)
            await super().respond(send)

    async with (
        running_service(served(Blocking()), BACKING) as blocking,
        running_service(served(App()), BACKING) as free,
    ):
        asking = asyncio.create_task(asyncio.to_thread(ask, blocking.url))
        assert await asyncio.to_thread(ask, free.url) == "hello"
        release.set()
        assert await asking == "hello"


def test_tasks_that_an_application_forgets_end_with_it() -> None:
    ended = threading.Event()

    class Forgetful(App):
        async def phase(self, name: str) -> None:
            if name == "startup":
                self.task = asyncio.create_task(self.work())
                await asyncio.sleep(0)

        async def work(self) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

    start_service(served(Forgetful()), BACKING).stop()
    assert ended.is_set()


def test_a_factory_is_called_for_each_service_and_told_where_the_databases_are() -> None:
    made: list[Any] = []

    def create_app(urls: Backing) -> App:
        made.append((urls, os.environ["DATABASE_URL"], os.environ["TEST_POSTGRES_DB"]))
        return App()

    application = Application(name="tests:create_app", target=create_app, factory=True, takes_urls=True)
    for _ in range(2):
        start_service(application, BACKING).stop()
    assert made == [(BACKING, BACKING.database_url, "mine")] * 2
    assert os.environ.get("DATABASE_URL") != BACKING.database_url


def test_a_factory_may_be_a_coroutine_function() -> None:
    async def create_app() -> App:
        await asyncio.sleep(0)
        return App("made")

    service = start_service(Application(name="tests:create_app", target=create_app, factory=True), BACKING)
    assert ask(service.url) == "made"
    service.stop()


class Failing(App):
    async def phase(self, name: str) -> None:
        if name == self.text:
            logging.getLogger("shop").error("the stock is empty, said %s", BACKING.database_url)
            raise RuntimeError(f"no {name} today")

    async def live(self, receive: Any, send: Any) -> None:
        try:
            await super().live(receive, send)
        except RuntimeError as error:
            await send({"type": f"lifespan.{self.text}.failed", "message": repr(error)})


@pytest.mark.parametrize("again", range(2))
def test_one_that_does_not_start_is_an_error_with_its_log_and_no_password(again: int) -> None:
    del again  # the thread is fit for the next one
    with pytest.raises(ApplicationError, match="tests:app did not start") as caught:
        start_service(served(Failing("startup")), BACKING)
    text = str(caught.value)
    assert "the stock is empty" in text
    assert "no startup today" in text
    assert CANARY not in text


def test_one_that_fails_while_it_shuts_down_is_an_error_too() -> None:
    service = start_service(served(Failing("shutdown")), BACKING)
    with pytest.raises(ApplicationError, match="failed while it shut down") as caught:
        service.stop()
    assert "no shutdown today" in str(caught.value)


@pytest.mark.parametrize("error", [ValueError("no colour"), SystemExit(3)])
def test_a_factory_that_raises_is_an_error_with_its_traceback(error: BaseException) -> None:
    def create_app() -> App:
        raise error

    with pytest.raises(ApplicationError, match="could not be made") as caught:
        start_service(Application(name="tests:create_app", target=create_app, factory=True), BACKING)
    assert "in create_app" in str(caught.value)


async def test_one_that_never_starts_is_given_up() -> None:
    class Waiting(App):
        async def phase(self, name: str) -> None:
            await asyncio.sleep(3600)

    with pytest.raises(ApplicationError, match=r"did not start within 0.2 s"):
        await astart_service(served(Waiting()), BACKING, timeout=0.2)


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    started, before = threading.Event(), sockets()

    class Slow(App):
        async def phase(self, name: str) -> None:
            started.set()
            await asyncio.sleep(0.2)

    app = Slow()
    task = asyncio.create_task(astart_service(served(app), BACKING))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while "shutdown" not in app.seen:  # bounded by the test's time limit
        await asyncio.sleep(0.01)
    while sockets() != before:
        await asyncio.sleep(0.01)


def test_an_error_in_a_request_is_a_500_and_in_the_log() -> None:
    class Broken(App):
        async def respond(self, send: Any) -> None:
            raise ZeroDivisionError("by nothing")

    service = start_service(served(Broken()), BACKING)
    try:
        assert httpx.get(service.url, trust_env=False).status_code == 500
        assert "ZeroDivisionError: by nothing" in service.log_tail()
    finally:
        service.stop()


def test_a_request_that_hangs_does_not_keep_it_for_ever() -> None:
    asked, cancelled = threading.Event(), threading.Event()

    class Hanging(App):
        async def respond(self, send: Any) -> None:
            try:
                asked.set()
                await asyncio.sleep(3600)
            finally:
                cancelled.set()

    service = start_service(served(Hanging()), BACKING)
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        asked.wait(60)
        service.stop()
    assert cancelled.is_set()


MODULE = """
from tests.integration.external.test_serving import App

app = App("an application")

def create_app():
    return App("a factory")

def create_urls_app(*, urls, colour="red"):
    return App(urls.postgres.database)

def needs_more(colour):
    return App()

number = 3
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    tmp_path.joinpath("shop_of_tests.py").write_text(MODULE)
    tmp_path.joinpath("broken_of_tests.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.delitem(sys.modules, "shop_of_tests", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"), [("app", "an application"), ("create_app", "a factory"), ("create_urls_app", "mine")]
)
def test_applications_and_factories_are_recognised(shop: Path, name: str, text: str) -> None:
    service = start_service(load_application(f"shop_of_tests:{name}", root=shop), BACKING)
    assert ask(service.url) == text
    service.stop()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shop_of_tests", "does not name an application"),
        ("shop_of_tests:nothing", "has no attribute 'nothing'"),
        ("shop_of_tests:number", "neither an ASGI application nor a function"),
        ("shop_of_tests:needs_more", r"needs_more\(colour\)"),
        ("no_such_package.shop:app", "pythonpath"),
        ("broken_of_tests:app", "import no_such_module_anywhere"),
    ],
)
def test_what_cannot_be_served_is_told_with_the_remedy(shop: Path, name: str, said: str) -> None:
    with pytest.raises(ApplicationError, match=said):
        load_application(name, root=shop)
