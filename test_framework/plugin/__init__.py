"""The pytest plugin, found by its entry point: installing the package is enough.

Fixtures are here by theme: ``services_fixtures`` (real services and drop-ins), ``isolation_fixtures`` (what a test
owns), ``data_fixtures`` (rows), ``http_fixtures`` and ``websocket_fixtures`` (the service under test),
``environment_fixtures`` (files, language model, whole environments), ``parallel_fixtures`` (workers, stopwatch). All
are described in ``docs/fixtures.md``.
"""

from __future__ import annotations

from test_framework.plugin.data_fixtures import *
from test_framework.plugin.environment_fixtures import *
from test_framework.plugin.hooks import *
from test_framework.plugin.http_fixtures import *
from test_framework.plugin.isolation_fixtures import *
from test_framework.plugin.parallel_fixtures import *
from test_framework.plugin.services_fixtures import *
from test_framework.plugin.websocket_fixtures import *
