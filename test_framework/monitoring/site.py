"""What the monitor answers: a fixed table of paths, each served from memory."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from test_framework.monitoring.http_server import Request, Response, json_response
from test_framework.monitoring.watch import Watch

if TYPE_CHECKING:
    from test_framework.monitoring.metrics import MetricsPage

__all__ = ["Site", "host_name_of"]

_METHODS = ("GET", "HEAD")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Site:
    """The handler of the server.

    Args:
        allowed_hosts: names, without port, under which a browser may know us besides the loopback ones. Others are
            refused, because a foreign page can make its own name point here (DNS rebinding) and then read everything.
    """

    def __init__(self, watch: Watch, *, allowed_hosts: Iterable[str] = ()) -> None:
        self._watch = watch
        self._allowed = _LOOPBACK | {name.lower() for name in allowed_hosts}
        self._metrics: MetricsPage | None = None
        self._page = _load_page(Path(__file__).with_name("page.html"))
        self._routes: dict[str, Callable[[], Response]] = {
            "/": lambda: self._page,
            "/health-status": self._health,
            "/metrics": self._metrics_text,
            "/livez": lambda: json_response(200, {"status": "alive"}),
        }

    def __call__(self, request: Request) -> Response:
        if request.method not in _METHODS:
            return json_response(405, {"error": "only GET and HEAD"}, headers=(("Allow", ", ".join(_METHODS)),))
        if host_name_of(request.host) not in self._allowed:
            return json_response(
                421, {"error": "unknown Host; name it in TEST_MONITOR_ALLOWED_HOSTS if it is this monitor's"}
            )
        route = self._routes.get(request.target.partition("?")[0])
        if route is None:
            return json_response(404, {"error": "no such page", "pages": sorted(self._routes)})
        return route()

    def _health(self) -> Response:
        report = self._watch.report()
        return json_response(200 if report.healthy else 503, report.as_dict())

    def _metrics_text(self) -> Response:
        if self._metrics is None:
            from test_framework.monitoring.metrics import (
                MetricsPage,
            )  # the library takes longer to load than the rest of the start

            self._metrics = MetricsPage(self._watch)
        return Response(status=200, body=self._metrics.render(), content_type=self._metrics.content_type)

    def warm_up(self) -> None:
        """Load what the first scrape would otherwise wait for."""
        self._metrics_text()


def host_name_of(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets, in lower case; empty when it is malformed."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?", host)
    return (found[1] or found[2]).lower() if found else ""


def _load_page(file: Path) -> Response:
    """The page and a policy under which exactly its own script and style may run."""
    text = file.read_text("utf-8")
    sources = {
        f"{tag}-src": " ".join(_hash(content) for content in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL))
        for tag in ("script", "style")
    }
    policy = {
        "default-src": "'none'",
        **sources,
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return Response(
        status=200,
        body=text.encode(),
        content_type="text/html; charset=utf-8",
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
