from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def fake_clock():
    with mock.patch("auto.clock.utcnow") as clock:
        yield clock


@pytest.fixture(autouse=True)
def no_mail():
    with mock.patch("auto.mail.send"):
        yield
