from unittest.mock import patch

SETTINGS = patch.dict("web.settings.FLAGS", {"beta": True})
mail_patch = patch("web.mail.send")


@SETTINGS
@patch("web.search.redis_pool")
class TestSearch:
    def test_hits(self, redis_pool):
        assert redis_pool

    @mail_patch
    def test_mail(self, send, redis_pool):
        with SETTINGS:
            assert send
