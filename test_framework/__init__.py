"""Real PostgreSQL, Redis and ClickHouse for Python tests.

Nothing is imported here: the pytest plugin and the warm ``up`` must start in milliseconds.
"""

__version__ = "0.1.0"
