"""The reference service's sockets."""

import asyncio
import datetime

import pytest


@pytest.mark.asyncio
async def test_a_message_is_answered_with_the_time(real_websocket_client):
    await real_websocket_client.connect("/ws/chat")
    await real_websocket_client.send({"type": "message", "content": "hello"})
    answer = await real_websocket_client.receive_json()
    assert (answer["type"], answer["content"]) == ("message_received", "hello")
    assert datetime.datetime.fromisoformat(answer["timestamp"]).tzinfo is not None
    await real_websocket_client.close()


@pytest.mark.asyncio
async def test_a_connection_may_be_left_open(real_websocket_client):
    await real_websocket_client.connect("/ws/chat")


@pytest.mark.asyncio
async def test_a_message_of_a_conversation_is_a_row(
    real_websocket_client, real_postgres, test_user_token, test_conversation
):
    await real_websocket_client.connect("/ws/chat", token=test_user_token)
    sent = {"type": "message", "content": "over the socket", "conversation_id": str(test_conversation["id"])}
    await real_websocket_client.send(sent)
    answer = await real_websocket_client.receive_json()
    row = await real_postgres.fetchrow("SELECT * FROM messages WHERE content = 'over the socket'")
    assert (str(row["id"]), row["conversation_id"]) == (answer["id"], test_conversation["id"])


@pytest.mark.asyncio
async def test_events_reach_whoever_listens(real_websocket_client, real_http_client):
    await real_websocket_client.connect("/ws/events")
    posted = (await real_http_client.post("/api/events", json={"event_type": "mine"})).json()
    event = await real_websocket_client.receive_json()
    assert (event["type"], event["event_id"]) == ("event", posted["event_id"])


@pytest.mark.asyncio
async def test_many_clients_at_once_are_each_answered(real_websocket_client):
    clients = [await real_websocket_client.connect("/ws/chat") for _ in range(20)]
    await asyncio.gather(*(client.send({"type": "message", "content": n}) for n, client in enumerate(clients)))
    answers = await asyncio.gather(*(client.receive_json() for client in clients))
    assert [answer["content"] for answer in answers] == list(range(20))


def test_a_plain_function_has_the_address(websocket_url):
    from websockets.sync.client import connect

    with connect(f"{websocket_url}/ws/chat") as connection:
        connection.send('{"type": "ping"}')
        assert '"pong"' in connection.recv(5)
