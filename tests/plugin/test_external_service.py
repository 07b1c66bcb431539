"""``real_http_client``, ``real_websocket_client`` and ``service_url`` in runs from outside."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plugin.harness import Project, Result
from tests.servers import free_port

PROMISES = Path(__file__).parent / "projects" / "service"
MODES = {
    "a loop per test, auto mode": ("auto", "function", ()),
    "a loop per session, strict mode, two workers": ("strict", "session", ("-n", "2")),
}


def all_passed(result: Result) -> Result:
    assert result.status == 0, result.text
    assert set(result.counts()) == {"passed"}, result.text
    return result


@pytest.mark.parametrize("mode", MODES)
def test_every_fixture_of_the_service_keeps_its_promises(project: Project, mode: str) -> None:
    asyncio_mode, scope, arguments = MODES[mode]
    for file in sorted(PROMISES.glob("test_*.py")):
        shutil.copy(file, project.path)
    project.ini(f"asyncio_default_test_loop_scope = {scope}", asyncio_mode=asyncio_mode)
    all_passed(project.run("-q", *arguments, USE_REAL_SERVICES="true"))


SHOP = """
    import os

    import asyncpg

    async def read_body(receive):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        return body

    def create_app():
        url = os.environ["DATABASE_URL"].replace("postgresql+asyncpg", "postgresql")

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    phase = (await receive())["type"]
                    await send({"type": f"{phase}.complete"})
                    if phase == "lifespan.shutdown":
                        return
            if scope["path"] == "/crash":
                raise ZeroDivisionError("in the shop")
            connection = await asyncpg.connect(url)
            try:
                found = await connection.fetchval("SELECT count(*) FROM users WHERE email = 'mine@example.com'")
            finally:
                await connection.close()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"%d" % found})

        return app

    def fails():
        print("warming the oven")
        raise RuntimeError("no flour")
    """
VISITS = """
    import os

    async def test_visit(real_http_client, test_user, real_postgres, postgres_dsn):
        await real_postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
        assert (await real_http_client.get("/")).text == "1"
        assert os.environ["DATABASE_URL"].partition("://")[2] == postgres_dsn.partition("://")[2]

    async def test_visit_again(real_http_client):
        assert (await real_http_client.get("/")).text == "0"

    def test_variable_is_gone():
        assert "DATABASE_URL" not in os.environ
    """


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_the_users_application_serves_each_test_on_the_tests_own_database(
    project: Project, workers: tuple[str, ...]
) -> None:
    project.ini("real_services_app = shop:create_app", "real_services_app_services = postgres")
    project.write(shop=SHOP, test_a=VISITS)
    all_passed(project.run("-q", *workers, USE_REAL_SERVICES="true"))


def test_the_option_goes_before_the_ini_file_and_variables_have_the_scheme_that_was_asked_for(
    project: Project,
) -> None:
    project.ini("real_services_app = nonsense", "real_services_env = DATABASE_URL=postgresql+asyncpg")
    visits = VISITS.replace('"DATABASE_URL" not in os.environ', 'os.environ["DATABASE_URL"].endswith("netra_test")')
    project.write(shop=SHOP, test_a=visits + "\n" + SCHEME)
    all_passed(project.run("-q", "--real-services-app=shop:create_app", USE_REAL_SERVICES="true"))


SCHEME = """
    async def test_scheme(service_url):
        assert os.environ["DATABASE_URL"].startswith("postgresql+asyncpg://")
    """


def test_an_application_that_does_not_start_is_an_error_with_its_traceback(project: Project) -> None:
    project.ini("real_services_app = shop:fails").write(shop=SHOP, test_a=VISITS)
    result = project.run("-q", USE_REAL_SERVICES="true").passes(passed=1, error=2)
    assert "shop:fails could not be made" in result.text
    assert "RuntimeError: no flour" in result.text
    assert "warming the oven" in result.text


def test_an_application_that_cannot_be_imported_is_an_error_that_names_the_remedy(project: Project) -> None:
    project.ini("real_services_app = no_shop:app").write(test_a=VISITS)
    result = project.run("-q", USE_REAL_SERVICES="true").passes(passed=1, error=2)
    assert "the application no_shop:app cannot be imported" in result.text
    assert "pythonpath" in result.text


def test_services_that_do_not_exist_are_a_usage_error(project: Project) -> None:
    result = project.ini("real_services_app_services = oracle").write(test_a=VISITS).run("-q")
    assert result.status == 4
    assert "'oracle'; known are postgres, redis, clickhouse" in result.text


def test_a_failed_test_shows_what_it_asked_and_what_the_application_logged(project: Project) -> None:
    project.ini("real_services_app = shop:create_app").write(
        shop=SHOP,
        test_a="""
        async def test_a(real_http_client):
            await real_http_client.get("/?token=canary-0815")
            assert (await real_http_client.get("/crash")).status_code == 200

        async def test_b(real_http_client):
            assert (await real_http_client.get("/")).status_code == 200
        """,
    )
    result = project.run("-q", USE_REAL_SERVICES="true").passes(passed=1, failed=1)
    asked = result.text.partition("- http requests -")[2]
    assert "/?token=*** → 200" in asked
    assert "/crash → 500" in asked
    assert "ZeroDivisionError: in the shop" in result.text.partition("- service log -")[2]


def test_a_transaction_by_marker_and_a_service_are_refused_together(project: Project) -> None:
    project.write(
        test_a="""
        import pytest

        @pytest.mark.postgres_isolation("transaction")
        async def test_a(real_http_client):
            pass
        """
    )
    result = project.run("-q", USE_REAL_SERVICES="true").passes(error=1)
    assert "is marked for a transaction and takes real_http_client" in result.text


RUNNING = """
    import asyncio, json, pathlib, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"outside")

        def log_message(self, *_):
            pass
    """
OUTSIDE = """
    import threading
    from http.server import HTTPServer

    import pytest
    from running import Handler

    @pytest.mark.postgres_isolation("transaction")
    async def test_a(real_http_client, real_postgres, service_url):
        assert (await real_http_client.get("/")).text == "outside"
        assert await real_postgres.fetchval("SELECT 1") == 1

    async def test_b(real_services, real_http_client):
        assert real_services.config.backend_service_url == str(real_http_client.base_url).rstrip("/")
        assert real_services.config.websocket_url.startswith("ws://127.0.0.1")
    """
CONFTEST = """
    import os, threading
    from http.server import HTTPServer
    from running import Handler

    server = HTTPServer(("127.0.0.1", int(os.environ["TEST_BACKEND_SERVICE_URL"].rpartition(":")[2])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    """


def test_a_service_that_somebody_else_runs_is_used_where_a_variable_names_it(project: Project) -> None:
    project.ini("pythonpath = .").write(running=RUNNING, conftest=CONFTEST, test_a=OUTSIDE)
    url = f"http://127.0.0.1:{free_port()}"
    project.run("-q", USE_REAL_SERVICES="true", TEST_BACKEND_SERVICE_URL=url).passes(passed=2)


NOBODY = """
    import pytest

    async def test_http(real_http_client):
        pass

    async def test_websocket(real_websocket_client):
        pass

    @pytest.mark.requires_http
    @pytest.mark.requires_websocket
    def test_marked():
        pass
    """


@pytest.mark.parametrize(("required", "kind"), [("", "skipped"), ("true", "error")])
def test_a_running_service_that_nobody_runs_is_skipped_over_or_an_error(
    project: Project, required: str, kind: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = project.write(test_a=NOBODY).run("-q", USE_REAL_SERVICES=required, TEST_BACKEND_SERVICE_URL=url)
    result.passes(**{kind: 3})
    assert "TEST_BACKEND_SERVICE_URL" in result.text


@pytest.mark.parametrize(("required", "kind"), [("", "skipped"), ("true", "error"), ("false", "skipped")])
def test_without_a_stack_there_is_no_service(lonely_project: Project, required: str, kind: str) -> None:
    lonely_project.write(test_a=NOBODY).run("-q", USE_REAL_SERVICES=required).passes(**{kind: 3})
