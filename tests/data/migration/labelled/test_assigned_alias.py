from unittest import mock

patch = mock.patch
patch_object = mock.patch.object
Fake = mock.MagicMock


class Reporter:
    pass


@patch("reports.export.open")
def test_export(opened):
    opened.return_value.write.return_value = 3


@patch_object(Reporter, "send_email")
def test_sends(send):
    fake = Fake()
    send(fake)


class TestThroughAttribute:
    patcher_class = staticmethod(mock.patch)

    def test_member(self):
        with self.patcher_class("reports.db.connect"):
            pass
