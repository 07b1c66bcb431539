"""The service and data fixtures for a ``conftest.py`` that names what it uses.

    from test_framework.conftest_real_services import *

They are the very fixtures that the plugin offers anyway: nothing is set up twice.
"""

from __future__ import annotations

from test_framework.plugin import (
    data_fixtures,
    http_fixtures,
    parallel_fixtures,
    services_fixtures,
    websocket_fixtures,
)
from test_framework.plugin.data_fixtures import *
from test_framework.plugin.http_fixtures import *
from test_framework.plugin.parallel_fixtures import *
from test_framework.plugin.services_fixtures import *
from test_framework.plugin.websocket_fixtures import *

__all__ = (
    services_fixtures.__all__
    + data_fixtures.__all__
    + http_fixtures.__all__
    + parallel_fixtures.__all__
    + websocket_fixtures.__all__
)
