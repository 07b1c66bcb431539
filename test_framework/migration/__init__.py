"""From mocks to real services: find every use of a mock, rewrite what can be rewritten, guide the rest.

Nothing here needs a server, and nothing here imports the code that it reads.
"""
