"""Who owns what among the workers of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from test_framework.isolation.values import Lease, LeaseInfo
    from test_framework.plugin.owned import Owned
    from test_framework.plugin.run import Run

__all__ = ["Coordinator", "Validator"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


class Coordinator:
    """This worker among the others.

    Args:
        run_id: the same for all workers of this run, and for no other run.
        worker_id: ``gw0``, ``gw1`` …; ``master`` without xdist.
        workers: how many there are.
    """

    def __init__(self, run: Run, owned: Owned) -> None:
        self._run = run
        self._owned = owned
        self.run_id = run.run_id
        self.worker_id = run.worker_id
        self.workers = run.workers

    def owned(self) -> list[LeaseInfo]:
        """Every namespace that this worker owned or owns, oldest first."""
        return self._run.broker.ownership() if self._run.used else []

    def mine(self) -> list[Lease]:
        """What the running test holds now."""
        return self._owned.leases


class Validator:
    """Looks in the stack's books, which all workers and runs share."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def conflicts(self) -> list[str]:
        """One line for every namespace that somebody else holds as well; empty when isolation is whole."""
        return self._run.broker.conflicts()

    def check(self) -> None:
        """Fail the test unless nobody shares anything with this worker.

        Raises:
            AssertionError: with all conflicts.
        """
        found = self.conflicts()
        if found:
            raise AssertionError("namespaces are shared:\n" + "\n".join(found))
