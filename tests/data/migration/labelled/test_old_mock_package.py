import mock
from mock import Mock, patch
from mock.mock import MagicMock


class TestOldStyle(object):
    @mock.patch("legacy.storage.os.path.exists")
    def test_exists(self, exists):
        exists.return_value = True

    @patch("legacy.net.urllib2.urlopen")
    def test_opens(self, urlopen):
        urlopen.side_effect = [Mock(code=200), MagicMock(code=500)]
