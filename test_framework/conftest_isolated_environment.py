"""The fixtures of what a test owns, for a ``conftest.py`` that names what it uses.

    from test_framework.conftest_isolated_environment import *

They are the very fixtures that the plugin offers anyway: nothing is set up twice.
"""

from __future__ import annotations

from test_framework.plugin import (
    environment_fixtures,
    http_fixtures,
    isolation_fixtures,
    parallel_fixtures,
    services_fixtures,
)
from test_framework.plugin.environment_fixtures import *
from test_framework.plugin.http_fixtures import *
from test_framework.plugin.isolation_fixtures import *
from test_framework.plugin.parallel_fixtures import *
from test_framework.plugin.services_fixtures import *

# The clients come along: what is isolated is reached through them.
__all__ = (
    environment_fixtures.__all__
    + http_fixtures.__all__
    + isolation_fixtures.__all__
    + parallel_fixtures.__all__
    + services_fixtures.__all__
)
