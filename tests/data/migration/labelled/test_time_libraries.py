import datetime

import freezegun
import time_machine
from freezegun import freeze_time


@freeze_time("2024-01-01")
def test_frozen():
    assert datetime.date.today().year == 2024


@freezegun.freeze_time("2024-01-01", as_kwarg="frozen")
class TestFrozen:
    def test_tick(self, frozen):
        frozen.tick()


def test_context():
    with freeze_time("2024-01-01") as frozen:
        frozen.move_to("2024-02-01")


def test_fixture(freezer):
    freezer.move_to("2025-01-01")


@time_machine.travel(0)
def test_travel():
    pass


def test_started():
    freezer = freeze_time("2020-01-01")
    freezer.start()
    freezer.stop()
