"""A Django app's views."""
from unittest.mock import Mock, patch

from django.test import TestCase, override_settings
from django.utils import timezone


class ViewTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = Mock(username="a")

    @override_settings(DEBUG=True)
    @patch("web.views.timezone.now")
    @patch("web.models.Article.objects.filter")
    def test_list(self, filter_articles, now):
        now.return_value = timezone.now()
        filter_articles.return_value.count.return_value = 3

    def test_cache(self):
        with patch("django.core.cache.cache.get", return_value=None) as get:
            self.client.get("/")
        get.assert_called()

    def test_request(self):
        request = Mock(method="GET", GET={})
        self.assertEqual(request.method, "GET")

    def test_client_is_real(self):
        response = self.client.patch("/articles/1/", {"title": "x"})
        self.assertEqual(response.status_code, 200)
