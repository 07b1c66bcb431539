"""All fixtures of this package, for a ``conftest.py`` that names what it uses.

    from test_framework.conftest_comprehensive import *

They are the very fixtures that the plugin offers anyway: nothing is set up twice.
"""

from __future__ import annotations

from test_framework import conftest_isolated_environment, conftest_real_services
from test_framework.conftest_isolated_environment import *
from test_framework.conftest_real_services import *

__all__ = conftest_real_services.__all__ + conftest_isolated_environment.__all__
