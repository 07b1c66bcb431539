import compat.compat
from compat import compat as helpers


def test_dotted():
    with helpers.patch("mail.box.listdir"):
        pass
    assert compat.compat.MagicMock()
