from unittest.mock import create_autospec

import clickhouse_connect.driver
import pytest


@pytest.fixture
def warehouse():
    return create_autospec(clickhouse_connect.driver.Client)
