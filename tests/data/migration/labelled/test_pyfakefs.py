from pyfakefs import fake_filesystem_unittest
from pyfakefs.fake_filesystem_unittest import Patcher, patchfs


class ConfigTest(fake_filesystem_unittest.TestCase):
    def setUp(self):
        self.setUpPyfakefs()

    def test_reads(self):
        self.fs.create_file("/etc/app.ini")


@patchfs
def test_decorated(fake):
    fake.create_file("/a")


def test_fixture(fs):
    fs.create_file("/var/data.txt", contents="x")


def test_context():
    with Patcher() as patcher:
        assert patcher.fs
