"""What can go wrong with a language model in a test."""

from __future__ import annotations

from test_framework.errors import FrameworkError

__all__ = ["BudgetExceeded", "CassetteMismatch", "LlmError", "LlmUnavailable"]


class LlmUnavailable(FrameworkError):
    """There is neither a recording to replay nor a key to make one with."""


class LlmError(FrameworkError):
    """The endpoint answered with an error.

    Args:
        status: of HTTP; 0 when no answer came.
    """

    def __init__(
        self, what: str, *, status: int, where: str | None = None, cause: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(what, where=where, cause=cause, fix=fix)
        self.status = status


class BudgetExceeded(FrameworkError):
    """A call was not made, because it could have cost more than is left."""


class CassetteMismatch(FrameworkError):
    """The test asks for something that its recording does not hold."""
