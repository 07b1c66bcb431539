"""The monitor: probes the servers all the time, and tells over HTTP how they are.

It lives in the package: a top-level module called ``monitor`` would shadow the one a user's project may have.
"""
