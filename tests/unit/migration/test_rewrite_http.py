"""Rules of the rewriter for clients of HTTP services, each on the smallest test that shows it."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from test_framework.external.reference.app import description
from test_framework.migration.rewriter import MARK, Context, Rewrite, rewrite_file
from test_framework.migration.rewriter.http_model import PRIVATE, PUBLIC, USER, ReferenceService
from test_framework.migration.rewriter.http_requests import Request, Told
from test_framework.migration.rewriter.values import UNKNOWN, Const, DictV, Value
from test_framework.migration.rewriter.wanted import Client
from test_framework.migration.scanner import scan_source

HEAD = "from unittest.mock import ANY, AsyncMock, MagicMock, Mock, call, patch\nimport httpx\nimport pytest\n"
LOGIN = """
    async def log_in(http, email, password):
        answer = await http.post("/auth/login", json={"email": email, "password": password})
        if answer.status_code == 401:
            return None
        answer.raise_for_status()
        return answer.json()["access_token"]
"""


def rewrite(body: str, code: str = LOGIN, context: Context | None = None) -> Rewrite:
    source = HEAD + textwrap.dedent(code) + "\n\nasync def test_it():\n    http = AsyncMock()\n"
    return rewrite_file(source + textwrap.indent(textwrap.dedent(body), "    "), None, context)


def test_an_assertion_that_holds_on_the_service_is_kept_and_what_it_needs_is_prepared() -> None:
    found = rewrite("""
        http.post.return_value = Mock(status_code=200, json=lambda: {"access_token": "abc"})
        assert await log_in(http, "ada@shop.example", "secret-1")
    """)
    assert found.complete
    new = '{"email": "ada@shop.example", "password": "secret-1"}'
    assert f'await real_http_client.post(\n        "/auth/signup", json={new}' in found.text
    assert 'assert await log_in(real_http_client, "ada@shop.example", "secret-1")' in found.text
    assert "Mock(" not in found.text


def test_the_seeded_user_needs_no_signing_up() -> None:
    found = rewrite("""
        http.post.return_value = Mock(status_code=200, json=lambda: {"access_token": "abc"})
        assert await log_in(http, "test@example.com", "test123")
    """)
    assert "async def test_it(real_http_client, test_user):" in found.text
    assert "/auth/signup" not in found.text


@pytest.mark.parametrize(
    ("told", "assertion", "reason"),
    [
        ('Mock(status_code=200, json=lambda: {"access_token": "abc"})', '== "abc"', "would not hold on the service"),
        ('Mock(status_code=200, json=lambda: {"access_token": 5})', "> 4", "cannot be told from the source"),
        ("Mock(status_code=418)", "is None", "answers POST /auth/login with 200, not with 418"),
        ("httpx.Response(500)", "is None", "answers POST /auth/login with 200, not with 500"),
    ],
)
def test_what_the_service_would_not_give_is_marked(told: str, assertion: str, reason: str) -> None:
    found = rewrite(f"""
        http.post.return_value = {told}
        assert await log_in(http, "ada@shop.example", "secret-1") {assertion}
    """)
    assert found.marked == 1
    assert reason in found.text
    assert f"http.post.return_value = {told}" in found.text


def test_an_error_that_the_test_expects_must_come_from_the_service_too() -> None:
    body = """
        http.post.return_value = Mock(status_code={0})
        with pytest.raises(KeyError):
            await http.get("/healthz")
            (await http.post("/api/users", json={{"email": "ada@shop.example"}})).json()["no such key"]
    """
    assert "nothing is raised where the test expects it" in rewrite(body.format(201)).text


@pytest.mark.parametrize(
    ("assertion", "real"),
    [
        (
            'http.post.assert_awaited_once_with("/auth/login", json=sent)',
            '[each.json for each in real_http_client.sent("POST", "/auth/login")] == [sent]',
        ),
        (
            'http.post.assert_any_await("/auth/login", json=sent)',
            "sent in [each.json for each in real_http_client.sent(",
        ),
        ("http.post.assert_awaited()", 'assert real_http_client.sent("POST", "/auth/login")'),
        ("http.put.assert_not_awaited()", 'assert not real_http_client.sent("PUT")'),
        ("assert http.post.await_count == 1", 'assert len(real_http_client.sent("POST", "/auth/login")) == 1'),
        (
            'assert http.post.call_args.kwargs["json"]["email"] == "eve@shop.example"',
            'real_http_client.sent("POST", "/auth/login")[-1].json["email"] == "eve@shop.example"',
        ),
        ('assert http.post.call_args[0][0] == "/auth/login"', 'sent("POST", "/auth/login")[-1].path == "/auth/login"'),
    ],
)
def test_an_assertion_on_calls_becomes_one_on_what_was_sent(assertion: str, real: str) -> None:
    found = rewrite(f"""
        http.post.return_value = Mock(status_code=401)
        sent = {{"email": "eve@shop.example", "password": "secret-1"}}
        assert await log_in(http, **sent) is None
        {assertion}
    """)
    assert real in " ".join(found.text.split()), found.text
    assert found.complete


@pytest.mark.parametrize(
    ("assertion", "reason"),
    [
        ('http.post.assert_awaited_once_with("/auth/login", json={"email": "b"})', "is not what the code sends"),
        (
            'http.post.assert_awaited_once_with("/auth/login", json=ANY, timeout=5)',
            "timeout of a request cannot be seen",
        ),
        ("http.post.return_value.json.assert_called_once()", "is not made by any code in sight"),
    ],
)
def test_an_assertion_that_what_was_sent_does_not_show_is_marked(assertion: str, reason: str) -> None:
    found = rewrite(f"""
        http.post.return_value.status_code = 401
        await log_in(http, "eve@shop.example", "secret-1")
        {assertion}
    """)
    assert found.marked == 1
    assert reason in found.text


def test_somebody_elses_service_is_left_alone_and_counted() -> None:
    source = (
        f"{HEAD}\n\nasync def test_it():\n    http_client = AsyncMock()\n"
        '    await http_client.post("https://payments.example/charges")\n'
        "    http_client.post.assert_awaited_once()\n"
    )
    found = rewrite_file(source)
    assert (found.text, found.untouched, found.left_alone) == (source, 1, ("http",))
    faked = "import respx\n\n\ndef test_it():\n    respx.get('https://a.example').respond(200)\n"
    assert rewrite_file(faked, scan_source(faked, "test_a.py")).left_alone == ("http",)


def test_a_service_of_the_users_own_is_not_guessed_at() -> None:
    body = """
        http.post.return_value = Mock(status_code=401)
        assert await log_in(http, "eve@shop.example", "secret-1") is None
    """
    found = rewrite(body, context=Context(application="shop:create_app"))
    assert "take real_http_client: what shop:create_app answers there" in found.text
    assert found.text.count(MARK) == 1


def test_a_path_that_the_service_lacks_is_marked_with_what_to_do() -> None:
    found = rewrite("""
        http.get.return_value = Mock(status_code=200)
        assert (await http.get("/books")).status_code == 200
    """)
    assert "the reference service has no GET /books: real_services_app names yours" in found.text


def test_code_that_awaits_the_body_is_written_for_another_client() -> None:
    found = rewrite("""
        http.get.return_value.json = AsyncMock(return_value={"status": "ok"})
        assert (await (await http.get("/healthz")).json())["status"] == "ok"
    """)
    assert "the code awaits what httpx's answers give at once" in found.text


def test_an_address_in_the_code_under_test_is_marked() -> None:
    code = """
        async def healthy(http):
            return (await http.get("http://localhost:8000/healthz")).status_code == 200
    """
    found = rewrite("http.get.return_value.status_code = 200\nassert await healthy(http)", code)
    assert "the address of the service is in the code under test: hand it in" in found.text


# What the rewriter takes the service for.


def routes() -> dict[str, Any]:
    found: dict[str, Any] = description()["paths"]
    return found


@pytest.mark.parametrize(("method", "path"), PUBLIC)
def test_every_route_that_the_rewriter_knows_is_one_of_the_service(method: str, path: str) -> None:
    known = {route.replace("{user_id}", "([^/]+)"): options for route, options in routes().items()}
    assert method.lower() in known[path]


def test_every_other_route_of_the_service_wants_a_login() -> None:
    public = {(method, path.replace("([^/]+)", "{user_id}")) for method, path in PUBLIC}
    for path, options in routes().items():
        for method, operation in options.items():
            if (method.upper(), path) not in public and path.startswith(PRIVATE):
                assert operation["security"], path


@pytest.mark.parametrize(
    ("method", "path", "sent", "schema"),
    [
        ("POST", "/auth/signup", {"email": "a@b.example", "password": "secret-1"}, "User"),
        ("POST", "/auth/login", {"email": "a@b.example", "password": "secret-1"}, "Tokens"),
        ("POST", "/api/users", {"email": "a@b.example"}, "User"),
        ("POST", "/api/events", {"event_type": "page_view"}, "Event"),
        ("GET", "/healthz", None, "Health"),
    ],
)
def test_answers_have_the_keys_that_the_service_describes(
    method: str, path: str, sent: dict[str, str] | None, schema: str
) -> None:
    body: Value | None = DictV({name: Const(each) for name, each in sent.items()}) if sent else None
    answer = ReferenceService(Client("http")).answer(Request(method, path, {}, body, {}), Told(None, UNKNOWN))
    shown, status = answer.attributes["body"], answer.attributes["status_code"]
    assert isinstance(shown, DictV) and isinstance(status, Const)
    assert set(shown.items) == set(description()["components"]["schemas"][schema]["properties"])
    assert str(status.value) in routes()[path][method.lower()]["responses"]
    assert set(USER) == set(description()["components"]["schemas"]["User"]["properties"])
