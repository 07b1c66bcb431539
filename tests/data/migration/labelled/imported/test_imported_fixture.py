from .fixtures import chat_socket, number  # noqa: F401


async def test_chat(chat_socket, number):
    await chat_socket.send_json({})
