"""A ClickHouse HTTP endpoint on the embedded engine: the real ClickHouse, in process, where there is no server.

Run it with ``python -m test_framework.embedded_clickhouse --help``. It needs the extra ``embedded``:
``pip install "real-service-test-framework[embedded]"``. What it can and cannot do: ``docs/embedded-clickhouse.md``.

Nothing outside this package imports it; it is a program, started as a child process.
"""
