"""A small service on PostgreSQL, Redis and ClickHouse: what tests speak to when no other application is named.

It is an ordinary application, ``test_framework.external.reference.app:create_app``, which any ASGI server runs, and an
example to copy from. Nothing of it is loaded before it is served.
"""
