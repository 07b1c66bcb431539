"""What a worker owns, and the stopwatch."""

import psycopg
import pytest


def test_the_coordinator_knows_what_is_owned(parallel_test_coordinator, isolated_external_postgres, redis_url):
    mine = {lease.name for lease in parallel_test_coordinator.mine()}
    owned = {(info.service, info.name) for info in parallel_test_coordinator.owned()}
    assert isolated_external_postgres.name in mine
    assert {lease.service for lease in parallel_test_coordinator.mine()} == {"postgres", "redis"}
    assert ("postgres", isolated_external_postgres.name) in owned
    assert parallel_test_coordinator.worker_id in isolated_external_postgres.name
    assert parallel_test_coordinator.workers >= 1


@pytest.mark.parametrize("again", range(8))
def test_no_two_workers_share(parallel_execution_validator, postgres_dsn, redis_url, again):
    parallel_execution_validator.check()
    with psycopg.connect(postgres_dsn) as connection:
        others = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND application_name NOT LIKE 'test-framework:%'"
        ).fetchone()
    assert others == (0,)


def test_the_stopwatch_measures(performance_monitor):
    performance_monitor.start("nothing")
    assert performance_monitor.end("nothing") >= 0
    performance_monitor.assert_performance("nothing", 5)
