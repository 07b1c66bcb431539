"""A real browser for a test: Chromium without a window, spoken to over its DevTools protocol."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

__all__ = ["Page", "chromium", "open_page", "run_browser"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
    "--window-size=1280,900",
)


def chromium() -> str:
    """The browser's path; root on Debian installs it. Without one: skipped, or an error with REQUIRE_DOCKER=1."""
    if found := _found():
        return found
    apt = shutil.which("apt-get")
    if apt and os.geteuid() == 0:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ("install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=200", "chromium")
        # Another worker may be at the same.
        for command, needed in ((("update", "-qq"), False), (install, True)):
            subprocess.run([apt, *command], check=needed, capture_output=True, timeout=280, env=environment)
        if found := _found():
            return found
    problem = "no Chromium on the PATH (Debian: apt-get install chromium)"
    if os.environ.get("REQUIRE_DOCKER") == "1":  # what CI sets: nothing may be left out there
        pytest.fail(f"REQUIRE_DOCKER=1, and there is {problem}", pytrace=False)
    pytest.skip(problem)


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of the browser. ``requests`` and ``complaints`` hold what it asked for and complained about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.session = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []

    async def listen(self) -> None:
        """Take in what the browser says, until it is gone."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._hear(said["method"], said.get("params", {}))

    def _hear(self, method: str, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
            self.complaints.append(f"{method}: {told}")

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command of the protocol and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        to = {"sessionId": self.session} if self.session else {}
        await self._socket.send_json({"id": number, "method": method, "params": params, **to})
        said = await answer
        assert "error" not in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, address: str) -> None:
        """Load ``address`` and wait for its load event."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.ask(f"{domain}.enable")
        await self.ask("Page.navigate", url=address)
        await self._loaded.wait()

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        # Not through the page's own eval, which its policy forbids.
        answer = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def click(self, selector: str, place: int = 0) -> None:
        """Press the mouse on the middle of an element, as a person does."""
        box = await self.run(
            f"(() => {{ const e = document.querySelectorAll({selector!r})[{place}];"
            " e.scrollIntoView({block: 'center', inline: 'center'});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.ask("Input.insertText", text=text)


@contextmanager
def run_browser(profile: Path) -> Iterator[str]:
    """A browser with a profile of its own; gives the address that its protocol is spoken at."""
    command = [chromium(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=profile
    )
    try:
        yield _address(process, profile / "DevToolsActivePort")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _address(process: subprocess.Popen[bytes], file: Path) -> str:
    """The browser writes down its port and path when it listens."""
    while True:
        words = file.read_text().split() if file.is_file() else []
        if len(words) == 2:
            return f"ws://127.0.0.1:{words[0]}{words[1]}"
        assert process.poll() is None, f"the browser ended with {process.returncode}"
        time.sleep(0.05)


@asynccontextmanager
async def open_page(browser: str, address: str) -> AsyncIterator[Page]:
    """A new page with nothing of another one in it, loaded; closed with the block."""
    async with aiohttp.ClientSession() as http, http.ws_connect(browser, max_msg_size=0) as socket:
        page = Page(socket)
        listening = asyncio.create_task(page.listen())
        context = (await page.ask("Target.createBrowserContext"))["browserContextId"]
        target = (await page.ask("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        page.session = (await page.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        try:
            await page.open(address)
            yield page
        finally:
            page.session = ""
            await page.ask("Target.disposeBrowserContext", browserContextId=context)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
