"""These only have the names."""


def patch(version):
    return version.split(".")[2]


class MagicMock:
    """A clown."""
