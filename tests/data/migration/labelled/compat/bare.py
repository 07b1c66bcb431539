"""The mock module itself, from whichever package has it."""

try:
    import unittest.mock as mock
except ImportError:
    import mock
