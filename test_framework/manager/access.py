"""Which manager whoever asks gets: the running test's, or the process's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

from test_framework.environment import Broker, Identity, IsolationOptions
from test_framework.isolation.names import DEFAULT_PREFIX
from test_framework.manager.holdings import Clients, Holdings, Wishes
from test_framework.manager.services import RealServices, ServicesConfig
from test_framework.settings import load_settings

__all__ = ["get_real_services", "lend_manager"]

# What a running test offers; the last one made is the one that runs.
_lent: list[Callable[[], RealServices]] = []
_own: dict[int, RealServices] = {}


def lend_manager(offer: Callable[[], RealServices]) -> Callable[[], None]:
    """Let :func:`get_real_services` give what ``offer()`` gives, until the returned function is called."""
    _lent.append(offer)

    def end() -> None:
        _lent.remove(offer)

    return end


def get_real_services() -> RealServices:
    """The running test's manager, or this process's own. Opens nothing by itself.

    Raises:
        SettingsError: a variable has an impossible value.
    """
    if _lent:
        return _lent[-1]()
    process = os.getpid()  # a forked child must not use its parent's
    if process not in _own:
        _own[process] = _standalone()
    return _own[process]


def _standalone() -> RealServices:
    settings = load_settings()
    identity = Identity(run_id=secrets.token_hex(8), worker_id="script")
    options = IsolationOptions(prefix=settings.database_prefix or DEFAULT_PREFIX)
    broker = Broker(settings.endpoints, identity, options=options)
    clients = Clients(
        broker,
        lease_timeout=None,
        connection_timeout=settings.connection_timeout,
        query_timeout=settings.query_timeout,
    )
    holdings = Holdings(clients, Wishes(owner="this process", redis_seed=True))
    config = ServicesConfig.of(settings, settings.endpoints)

    def closed() -> None:
        clients.close()
        broker.close()
        _own.pop(os.getpid(), None)

    return RealServices(holdings, config, on_close=closed)
