import unittest
from unittest.mock import patch


class SignupTest(unittest.TestCase):
    def setUp(self):
        patcher = patch("signup.views.send_mail")
        self.send_mail = patcher.start()
        self.addCleanup(patcher.stop)
        self.redis = patch("signup.views.redis_client").start()
        self.clock = patch.object(signup_clock(), "now")
        self.clock.start()
        self.patchers = [
            patch("signup.views.requests.get"),
            patch("signup.views.db.session"),
        ]
        for one in self.patchers:
            one.start()

    def tearDown(self):
        patch.stopall()

    def test_signup(self):
        self.redis.get.return_value = None
        self.assertTrue(self.send_mail is not None)


def signup_clock():
    import signup.clock

    return signup.clock
