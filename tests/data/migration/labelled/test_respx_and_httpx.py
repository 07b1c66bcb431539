import httpx
import pytest
import respx


@respx.mock
async def test_bare():
    route = respx.get("https://example.com/").mock(return_value=httpx.Response(204))
    assert route.called is False


@respx.mock(base_url="https://example.com")
async def test_called(respx_mock):
    respx_mock.get("/a").respond(200)


async def test_context():
    async with respx.mock() as router:
        router.post("/b")


def test_pytest_httpx(httpx_mock):
    httpx_mock.add_response(url="https://example.com", json={})
    assert httpx.get("https://example.com").json() == {}


def test_transport():
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    assert transport
