"""``python -m test_framework.embedded_clickhouse``."""

from __future__ import annotations

import sys

from test_framework.embedded_clickhouse.process import main

if __name__ == "__main__":
    sys.exit(main())
