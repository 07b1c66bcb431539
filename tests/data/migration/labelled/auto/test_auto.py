def test_reached_without_asking():
    assert True


def test_asks(fake_clock):
    fake_clock.return_value = 3
