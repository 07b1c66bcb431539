"""``python -m test_framework``: the same as the command ``test-framework``."""

from test_framework.cli import main

if __name__ == "__main__":
    main()
