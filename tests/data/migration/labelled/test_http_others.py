import aiohttp
import httpretty
from aioresponses import aioresponses


@httpretty.activate(allow_net_connect=False)
def test_pretty():
    httpretty.register_uri(httpretty.GET, "https://example.com/")


def test_switched_on():
    httpretty.enable()
    httpretty.disable()


async def test_aio():
    with aioresponses() as mocked:
        mocked.get("https://example.com", status=200)
        async with aiohttp.ClientSession() as session:
            await session.get("https://example.com")


@aioresponses()
async def test_decorated(mocked):
    mocked.post("https://example.com")
