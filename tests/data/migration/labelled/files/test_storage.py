import os
import pathlib
from unittest.mock import MagicMock, mock_open, patch


@patch("os.makedirs")
@patch.object(pathlib.Path, "exists", return_value=True)
def test_prepares(exists, makedirs):
    makedirs.assert_not_called()


@patch("files.storage.shutil.copyfile")
def test_copies(copyfile):
    m = mock_open()
    with patch("files.storage.open", m, create=True):
        pass


def test_spec():
    path = MagicMock(spec=pathlib.Path)
    handle = MagicMock()
    handle.readlines.return_value = []
    assert os.fspath and path and handle
