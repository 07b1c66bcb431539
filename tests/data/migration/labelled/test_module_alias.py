import unittest.mock as um
from unittest import mock as m

import worker.jobs


@m.patch.object(worker.jobs, "redis_client")
@um.patch("worker.jobs.time.sleep")
def test_retries(sleep, redis_client):
    redis_client.lpop.side_effect = [b"job", None]
    worker.jobs.run()
    assert sleep.call_count == 1


def test_environment_is_read():
    with m.patch.dict("os.environ", {"QUEUE": "low"}, clear=True):
        assert worker.jobs.queue() == "low"


def test_many_parts():
    with um.patch.multiple("worker.jobs", connect=um.DEFAULT, cursor=um.DEFAULT) as parts:
        worker.jobs.store({"a": 1})
        parts["cursor"].execute.assert_called()


def test_plain_module_path():
    import unittest.mock

    thing = unittest.mock.NonCallableMock()
    assert worker.jobs.keep(thing) is thing
