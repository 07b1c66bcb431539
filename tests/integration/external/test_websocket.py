"""The WebSocket resource: a real server and real clients in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from test_framework.errors import FrameworkError
from test_framework.external.websocket import NothingReceived, WebSocketClient
from test_framework.external.websocket_resource import WebSocketTestResource


@pytest.fixture
async def ws() -> AsyncIterator[WebSocketTestResource]:
    async with WebSocketTestResource() as resource:
        yield resource


def sockets() -> int:
    return len(psutil.Process().net_connections("tcp"))


async def test_a_handler_answers_messages_of_its_type(ws: WebSocketTestResource) -> None:
    async def later(message: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "later", "n": message["n"]}

    ws.register_message_handler("now", lambda message: {"type": "now", "n": message["n"]})
    ws.register_message_handler("later", later)
    await ws.send_message({"type": "later", "n": 1})
    await ws.send_message({"type": "now", "n": 2})
    assert [await ws.receive_message(), await ws.receive_message()] == [
        {"type": "later", "n": 1},
        {"type": "now", "n": 2},
    ]


@pytest.mark.parametrize(
    "message", [{"type": "unknown", "n": 1}, {"no": "type"}, ["a", 1], "plain text", b"\x00\xff", {"type": ["odd"]}]
)
async def test_what_no_handler_is_for_comes_back_as_it_was(ws: WebSocketTestResource, message: Any) -> None:
    ws.register_message_handler("known", lambda _: None)
    await ws.send_message(message)
    assert await ws.receive_message() == message


@pytest.mark.parametrize(("reply", "received"), [("text", "text"), (b"\x01", b"\x01"), ([1], [1])])
async def test_a_handler_may_answer_with_anything(ws: WebSocketTestResource, reply: Any, received: Any) -> None:
    ws.register_message_handler("ask", lambda _: reply)
    await ws.send_message({"type": "ask"})
    assert await ws.receive_message() == received


async def test_a_handler_that_returns_nothing_sends_nothing(ws: WebSocketTestResource) -> None:
    ws.register_message_handler("quiet", lambda _: None)
    await ws.send_message({"type": "quiet"})
    await ws.send_message("echo")
    assert await ws.receive_message() == "echo"


async def test_a_handler_with_two_parameters_may_send_more(ws: WebSocketTestResource) -> None:
    async def count(message: dict[str, Any], connection: Any) -> str:
        for n in range(message["to"]):
            await connection.send(str(n))
        return "done"

    ws.register_message_handler("count", count)
    await ws.send_message({"type": "count", "to": 3})
    assert [await ws.receive_message() for _ in range(4)] == [0, 1, 2, "done"]


async def test_binary_messages_have_a_handler_of_their_own(ws: WebSocketTestResource) -> None:
    ws.register_binary_handler(lambda data: data[::-1])
    await ws.send_message(b"\x01\x02")
    assert await ws.receive_message() == b"\x02\x01"


async def test_answers_come_in_the_order_of_the_messages(ws: WebSocketTestResource) -> None:
    async def slower_first(message: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.02 if message["n"] == 0 else 0)
        return message

    ws.register_message_handler("n", slower_first)
    for n in range(50):
        await ws.send_message({"type": "n", "n": n})
    assert [(await ws.receive_message())["n"] for _ in range(50)] == list(range(50))


async def test_a_message_of_a_mebibyte_passes_as_text_and_as_bytes(ws: WebSocketTestResource) -> None:
    text = {"type": "large", "content": "ä" * 2**20}
    for message in (text, b"\x00" * 2**20):
        await ws.send_message(message)
        assert await ws.receive_message() == message


async def test_a_hundred_clients_at_once_are_each_answered(ws: WebSocketTestResource) -> None:
    clients = await asyncio.gather(*(ws.connect() for _ in range(100)))
    assert ws.clients == 101
    await asyncio.gather(*(client.send({"n": n}) for n, client in enumerate(clients)))
    answers = await asyncio.gather(*(client.receive_json(timeout=60) for client in clients))
    assert [answer["n"] for answer in answers] == list(range(100))


async def test_a_broadcast_reaches_all_clients(ws: WebSocketTestResource) -> None:
    clients = [await ws.connect() for _ in range(3)]
    assert ws.broadcast({"news": 1}) == 4
    assert [await client.receive_json() for client in clients] == [{"news": 1}] * 3
    assert await ws.receive_message() == {"news": 1}


async def test_a_ping_is_answered_by_a_pong(ws: WebSocketTestResource) -> None:
    assert await ws.ping() > 0


async def test_a_message_that_does_not_come_is_an_error_and_the_connection_stays(ws: WebSocketTestResource) -> None:
    with pytest.raises(NothingReceived, match=r"within 0.05 s") as caught:
        await ws.receive_message(timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    await ws.send_message("still there")
    assert await ws.receive_message() == "still there"


@pytest.mark.parametrize(("code", "kind"), [(1000, ConnectionClosedOK), (4001, ConnectionClosedError)])
async def test_the_servers_close_code_and_reason_reach_the_client(
    ws: WebSocketTestResource, code: int, kind: type[Exception]
) -> None:
    await ws.close_clients(code, "enough")
    with pytest.raises(kind):
        await ws.receive_message()
    assert (ws.client.close_code, ws.client.close_reason) == (code, "enough")


async def test_the_clients_close_code_reaches_the_server(ws: WebSocketTestResource) -> None:
    sides: list[Any] = []
    ws.register_message_handler("who", lambda _, connection: sides.append(connection))
    await ws.send_message({"type": "who"})
    await ws.ping()
    await ws.client.close(4002, "bye")
    await sides[0].wait_closed()
    assert (sides[0].close_code, sides[0].close_reason) == (4002, "bye")


async def test_messages_before_a_close_are_received_before_it(ws: WebSocketTestResource) -> None:
    ws.broadcast("last words")
    await ws.close_clients()
    assert await ws.receive_message() == "last words"
    with pytest.raises(ConnectionClosedOK):
        await ws.receive_message()


class Oops(Exception):
    """What a handler of these tests raises."""


def failing(_: Any) -> None:
    raise Oops("in the handler")


async def test_the_test_sees_what_a_handler_raises_when_it_waits_for_the_answer(ws: WebSocketTestResource) -> None:
    ws.register_message_handler("fail", failing)
    await ws.send_message({"type": "fail"})
    with pytest.raises(Oops, match="in the handler"):
        await ws.receive_message()
    assert ws.client.close_code == 1011
    await ws.reconnect()
    await ws.send_message("again")
    assert await ws.receive_message() == "again"


async def test_a_failed_assertion_in_a_handler_is_the_tests_own(ws: WebSocketTestResource) -> None:
    async def check(message: dict[str, Any]) -> None:
        pytest.fail(f"unexpected {message['n']}")

    ws.register_message_handler("check", check)
    await ws.send_message({"type": "check", "n": 3})
    with pytest.raises(pytest.fail.Exception, match="unexpected 3"):
        await ws.receive_message()


async def test_what_a_handler_raises_is_seen_at_the_end_at_the_latest() -> None:
    resource = WebSocketTestResource()
    with pytest.raises(Oops):
        async with resource:
            resource.register_message_handler("fail", failing)
            await resource.send_message({"type": "fail"})
            await resource.client.wait_closed()
    await resource.aclose()


async def test_the_tests_own_error_is_not_hidden_by_that_of_a_handler() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        async with WebSocketTestResource() as resource:
            resource.register_message_handler("fail", failing)
            await resource.send_message({"type": "fail"})
            await resource.client.wait_closed()
            raise ZeroDivisionError
    assert "Oops: in the handler" in caught.value.__notes__[0]


async def test_errors_of_two_handlers_are_both_seen() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with WebSocketTestResource() as resource:
            resource.register_message_handler("fail", failing)
            other = await resource.connect()
            for client in (resource.client, other):
                await client.send({"type": "fail"})
                await client.wait_closed()
    assert [type(error) for error in caught.value.exceptions] == [Oops, Oops]


async def test_a_test_that_is_cancelled_leaves_neither_socket_nor_task() -> None:
    before, tasks = sockets(), asyncio.all_tasks()
    waiting = asyncio.Event()

    async def forever(_: Any) -> None:
        waiting.set()
        await asyncio.sleep(3600)

    async def body() -> None:
        async with WebSocketTestResource() as resource:
            resource.register_message_handler("wait", forever)
            await resource.send_message({"type": "wait"})
            await resource.receive_message(timeout=3600)

    task = asyncio.create_task(body())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sockets() == before
    assert asyncio.all_tasks() == tasks


def test_one_that_is_never_closed_ends_with_its_loop() -> None:
    before = sockets()
    resource = WebSocketTestResource()

    async def body() -> None:
        await resource.start()
        await resource.connect()

    asyncio.run(body())
    assert sockets() == before


def test_it_can_be_closed_from_where_no_loop_runs() -> None:
    before = sockets()
    with asyncio.Runner() as runner:
        resource = WebSocketTestResource()
        runner.run(resource.start())
        resource.close_everywhere()
        assert sockets() == before


async def test_the_client_connects_sends_receives_and_closes(ws: WebSocketTestResource) -> None:
    async with WebSocketClient(ws.url) as client:
        connection = await client.connect("/ws/chat")
        await client.send({"n": 1})
        assert await client.receive_json() == {"n": 1}
        await client.close(4000, "done")
        assert (connection.close_code, connection.close_reason, connection.closed) == (4000, "done", True)
        await client.close()


async def test_the_client_sends_the_token_it_is_given(ws: WebSocketTestResource) -> None:
    def headers(_: Any, connection: Any) -> dict[str, Any]:
        return dict(connection.request.headers)

    ws.register_message_handler("headers", headers)
    async with WebSocketClient(ws.url.replace("ws", "http")) as client:
        await client.connect("/a", token="t0k3n", headers={"X-Mine": "1"})
        await client.send({"type": "headers"})
        received = {name.lower(): value for name, value in (await client.receive_json()).items()}
    assert (received["authorization"], received["x-mine"]) == ("Bearer t0k3n", "1")


async def test_a_client_that_is_not_connected_says_so() -> None:
    with pytest.raises(FrameworkError, match="not connected"):
        await WebSocketClient("ws://127.0.0.1:1").send({})


async def test_a_message_that_is_no_json_is_not_taken_for_it(ws: WebSocketTestResource) -> None:
    await ws.client.send("no json")
    with pytest.raises(FrameworkError, match="no JSON"):
        await ws.client.receive_json()


async def test_the_messages_of_a_connection_can_be_iterated_until_it_closes(ws: WebSocketTestResource) -> None:
    ws.broadcast("one")
    ws.broadcast("two")
    await ws.close_clients()
    assert [message async for message in ws.client] == ["one", "two"]


async def test_what_clients_sent_is_told_in_order_whatever_became_of_it(ws: WebSocketTestResource) -> None:
    ws.register_default_handler(lambda _: None)
    async with connect(ws.url) as socket:
        for number in range(40):
            await socket.send(f"{number}")
        assert await ws.received() == [f"{number}" for number in range(40)]
        await socket.send(b"\x00")
        await (await ws.connect()).socket.send('{"a": 1}')
    assert (await ws.received())[40:] == [b"\x00", '{"a": 1}']


async def test_a_default_handler_takes_the_place_of_the_echo(ws: WebSocketTestResource) -> None:
    ws.register_default_handler(lambda message: {"unknown": message})
    ws.register_message_handler("known", lambda _: "known")
    await ws.send_message({"type": "known"})
    await ws.send_message("text")
    assert [await ws.receive_message(), await ws.receive_message()] == ["known", {"unknown": "text"}]


async def test_a_starlette_handler_talks_to_a_real_peer(ws: WebSocketTestResource) -> None:
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                message = await socket.receive_json()
                await socket.send_json({"twice": 2 * message["n"]})
                await socket.send_bytes(b"\x00")
        except WebSocketDisconnect as end:
            codes.append((end.code, end.reason))

    codes: list[tuple[int, str]] = []
    socket = await ws.server_side("/ws/numbers?unit=m")
    assert (socket.url.path, socket.query_params["unit"]) == ("/ws/numbers", "m")
    socket.peer_says({"n": 1}, {"n": 2})
    socket.peer_leaves(4000, "enough")
    before = socket.accepted
    await handler(socket)
    assert (before, socket.accepted) == (False, True)
    assert codes == [(4000, "enough")]
    assert await socket.told() == ['{"twice":2}', b"\x00", '{"twice":4}', b"\x00"]
    assert socket.heard == ['{"n": 1}', '{"n": 2}']
    assert await socket.closed_with() is None


async def test_the_peer_sees_how_the_servers_side_closes(ws: WebSocketTestResource) -> None:
    socket = await ws.server_side()
    await socket.accept()
    await socket.send_text("bye")
    await socket.close(4404, "no such plan")
    assert await socket.closed_with() == 4404
    assert await socket.told() == ["bye"]
    assert socket.peer.close_reason == "no such plan"
    with pytest.raises(RuntimeError):
        await socket.send_text("once more")


async def test_a_server_side_that_sends_to_a_peer_that_left_is_told_so(ws: WebSocketTestResource) -> None:
    socket = await ws.server_side(accept=True)
    await socket.send_json([1])
    assert await socket.told_json() == [[1]]
    await socket.peer.close(1001)
    with pytest.raises(WebSocketDisconnect):
        await socket.send_text("hello")
