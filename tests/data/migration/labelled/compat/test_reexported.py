from .compat import FakeCoroutine, MagicMock, mock, patch


@patch("mail.sender.smtplib.SMTP")
def test_sends(smtp):
    smtp.return_value = MagicMock()


@mock.patch.object(dict, "get")
def test_module_again(get):
    pass


async def test_renamed():
    db = FakeCoroutine()
    await db.fetchrow("SELECT 1")
