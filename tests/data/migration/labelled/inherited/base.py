from unittest.mock import MagicMock

import pytest


class BaseDatabaseTest:
    @pytest.fixture(autouse=True)
    def _prepare(self):
        self.connection = MagicMock()

    @pytest.fixture
    def cursor(self):
        return self.connection.cursor()

    @pytest.fixture
    def row(self):
        return (1, 2)
