"""Names for old and new interpreters."""
try:
    from unittest.mock import MagicMock, patch
except ImportError:
    from mock import MagicMock, patch

from unittest import mock
from unittest.mock import AsyncMock as FakeCoroutine

__all__ = ["FakeCoroutine", "MagicMock", "mock", "patch"]
