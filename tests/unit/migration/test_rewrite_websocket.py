"""Rules of the rewriter for WebSockets, each on the smallest test that shows it."""

from __future__ import annotations

import textwrap

import pytest

from test_framework.migration.rewriter import MARK, Rewrite, rewrite_file

HEAD = "import datetime\nimport json\nfrom unittest.mock import ANY, AsyncMock, MagicMock, call\n"
SERVER = "from fastapi import WebSocket, WebSocketDisconnect\n"


def rewrite(body: str, code: str = "", *, serves: bool = True) -> Rewrite:
    source = HEAD + (SERVER if serves else "") + textwrap.dedent(code) + "\n\nasync def test_it():\n"
    return rewrite_file(source + textwrap.indent(textwrap.dedent(body).lstrip("\n"), "    "))


def test_the_servers_side_is_a_real_one_under_the_name_without_mock() -> None:
    found = rewrite("""
        mock_websocket = AsyncMock()
        await mock_websocket.send_json({"a": 1})
        mock_websocket.send_json.assert_awaited_once_with({"a": 1})
    """)
    assert found.complete
    assert "async def test_it(isolated_websocket):" in found.text
    assert "    websocket = await isolated_websocket.server_side(accept=True)\n" in found.text
    assert 'assert await websocket.told_json() == [{"a": 1}]' in found.text
    assert "requires_websocket" not in found.text


def test_what_accepts_by_itself_is_not_accepted_before() -> None:
    found = rewrite("""
        ws = AsyncMock()
        await ws.accept()
        await ws.send_text("a")
        ws.accept.assert_awaited_once()
    """)
    assert "ws = await isolated_websocket.server_side()\n" in found.text
    assert "assert ws.accepted\n" in found.text


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ('ws.receive_json.side_effect = [{"n": 1}, {"n": 2}]', 'ws.peer_says({"n": 1}, {"n": 2})\n'),
        ('ws.receive_json.side_effect = [{"n": 1}, WebSocketDisconnect(code=1001)]', "ws.peer_leaves(1001)\n"),
        ('ws.receive_json.return_value = {"n": 1}', 'ws.peer_says({"n": 1})\n'),
    ],
)
def test_what_is_received_is_said_by_the_other_end(told: str, said: str) -> None:
    found = rewrite(f"""
        ws = AsyncMock()
        {told}
        assert (await ws.receive_json())["n"] == 1
    """)
    assert said in found.text
    assert found.complete


def test_where_nothing_serves_the_code_is_a_client() -> None:
    found = rewrite(
        """
        ws = AsyncMock()
        ws.recv.side_effect = ["a", "b"]
        await ws.send("x")
        assert [await ws.recv(), await ws.recv()] == ["a", "b"]
        assert ws.send.await_args_list[0].args[0] == "x"
        """,
        serves=False,
    )
    assert "ws = (await isolated_websocket.connect()).socket" in found.text
    assert 'isolated_websocket.broadcast("a")\n    isolated_websocket.broadcast("b")' in found.text
    assert 'assert (await isolated_websocket.received())[0] == "x"' in found.text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("await ws.send_text({'a': 1})", "send_text sends dict: a WebSocket takes text and bytes"),
        ("await ws.send_json({'at': datetime.datetime(2025, 1, 1)})", "whether what send_json sends is JSON"),
        ("await ws.close()\n        await ws.send_text('a')", "the code calls send_text after the end"),
        ("await ws.send_text('a')\n        await ws.accept()", "before it accepts it"),
        ("ws.send_text('a')", "without await"),
        ("ws.receive_text.return_value = 5\n        await ws.receive_text()", "a WebSocket receives text and bytes"),
        (
            "ws.receive_text.side_effect = OSError()\n        await ws.receive_text()",
            "receiving is told to raise OSError",
        ),
        ("await ws.send_json({'a': 1})\n        ws.send_json.assert_awaited_with({'a': ANY})", "cannot be told"),
        ("ws.headers.get('a')", "headers of a WebSocket is not understood"),
    ],
)
def test_what_no_socket_does_is_marked(body: str, reason: str) -> None:
    found = rewrite(f"""
        ws = AsyncMock()
        {body}
    """)
    assert found.text.count(MARK) == 1, found.text
    assert reason in found.text
    assert "ws = AsyncMock()" in found.text


def test_a_plain_test_is_marked() -> None:
    source = f"{HEAD}{SERVER}\n\ndef test_it():\n    ws = AsyncMock()\n    ws.send_json.assert_not_awaited()\n"
    assert "a WebSocket needs an async test" in rewrite_file(source).text


def test_of_several_servers_sides_each_is_told_its_own() -> None:
    found = rewrite("""
        first, second = AsyncMock(), AsyncMock()
        for ws in [first, second]:
            await ws.send_json([1])
        second.send_json.assert_awaited_once()
    """)
    assert found.text.count("await isolated_websocket.server_side(accept=True)") == 2
    assert "assert len(await second.told_json()) == 1" in found.text


def test_of_several_clients_nobody_knows_who_got_what() -> None:
    found = rewrite(
        """
        ws1, ws2 = AsyncMock(), AsyncMock()
        await ws1.send("a")
        ws1.send.assert_awaited_once()
        """,
        serves=False,
    )
    assert "several WebSockets send" in found.text
