from unittest.mock import (
    MagicMock,
    patch as _patch,
)


@_patch(
    "styles.net"
    ".requests"
    ".get",
    return_value=MagicMock(
        status_code=200,
    ),
)
def test_multiline(get):
    assert get
