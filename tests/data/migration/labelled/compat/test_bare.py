import unittest

from compat.bare import mock


class Syslog(mock.Mock):
    pass


class MailerTests(unittest.TestCase):
    @mock.patch("smtplib.SMTP")
    def test_sent(self, smtp):
        smtp.return_value.send_message = mock.Mock()

    @mock.patch("syslog.syslog", Syslog())
    def test_logged(self):
        pass
