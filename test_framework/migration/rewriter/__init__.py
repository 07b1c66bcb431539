"""Rewrites test files: mocks of our services become the real ones, with the data that the mocks spoke of.

A test is read with the code that it calls, as far as that is in sight; nothing is executed. Where all that a mock was
told can be said with rows and keys, and all that was asserted of it can be asserted of data, the test is rewritten;
otherwise it stays as it was, with one comment.
"""

from test_framework.migration.rewriter.context import Context
from test_framework.migration.rewriter.rewriting import MARK, Rewrite, rewrite_file

__all__ = ["MARK", "Context", "Rewrite", "rewrite_file"]
