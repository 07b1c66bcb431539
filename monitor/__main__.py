"""What the monitor's container runs. Natively it is ``python -m test_framework.monitoring``: the same."""

import sys

from test_framework.monitoring.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
