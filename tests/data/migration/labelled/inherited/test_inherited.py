from .base import BaseDatabaseTest


class TestReports(BaseDatabaseTest):
    def test_counts(self, cursor, row):
        cursor.execute("SELECT count(*) FROM reports")
        assert row


class TestOther:
    def test_not_inherited(self, row):
        assert row
