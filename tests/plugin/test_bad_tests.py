"""What tests do wrong: each gets a clear message, and the next test is clean."""

from __future__ import annotations

import pytest

from tests.native_stack import NativeStack
from tests.plugin.harness import Project

CLEAN = """
    async def test_zz_the_next_test_is_clean(real_postgres, real_redis, real_clickhouse):
        assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60
        assert await real_postgres.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                                            " AND pid = pg_backend_pid()") == 0
        assert await real_redis.dbsize() == 0
        assert await real_clickhouse.execute("SELECT count() FROM user_events") == [(120000,)]
    """


def test_every_misuse_leaves_the_next_test_clean(project: Project) -> None:
    project.write(
        test_a="""
        import asyncio
        import threading

        import asyncpg
        import psycopg
        import pytest
        import pytest_asyncio

        async def test_it_forgets_a_transaction(real_postgres):
            await real_postgres.transaction().start()
            await real_postgres.execute("DELETE FROM backend.messages")

        async def test_the_rows_are_there_again(real_postgres):
            assert await real_postgres.fetchval("SELECT count(*) FROM messages") > 0

        async def test_it_forgets_locks(real_postgres):
            await real_postgres.execute("SELECT pg_advisory_lock(1)")
            await real_postgres.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")

        async def test_it_commits_by_text(real_postgres):
            await real_postgres.execute("BEGIN")
            await real_postgres.execute("INSERT INTO users (email) VALUES ('left@example.com')")
            await real_postgres.execute("COMMIT")

        @pytest_asyncio.fixture
        async def careless(real_postgres):
            await real_postgres.execute("BEGIN")
            await real_postgres.execute("DELETE FROM backend.messages")
            await real_postgres.execute("SELECT pg_advisory_lock(2)")
            await real_postgres.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")

        async def test_its_fixture_forgets_a_transaction_and_locks(careless, real_postgres):
            assert await real_postgres.fetchval("SELECT count(*) FROM messages") == 0

        async def test_the_time_that_it_gives_a_statement_is_up(real_postgres):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await real_postgres.execute("SELECT pg_sleep(60)")
            assert await real_postgres.fetchval("SELECT count(*) FROM messages") > 0

        async def test_nothing_was_left_by_the_commit(real_postgres):
            assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = 'left@example.com'") == 0

        async def test_it_is_cancelled_in_a_statement(real_postgres, real_clickhouse, real_redis):
            for slow in (
                real_postgres.execute("SELECT pg_sleep(60)"),
                real_clickhouse.execute("SELECT sleepEachRow(1) FROM numbers(3)"),
                real_redis.blpop("nothing", timeout=60),
            ):
                task = asyncio.ensure_future(slow)
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert await real_postgres.fetchval("SELECT 1") == 1
            assert await real_redis.ping()
            assert await real_clickhouse.execute("SELECT 1") == [(1,)]

        async def test_it_leaves_a_task_in_the_middle_of_a_statement(real_postgres):
            task = asyncio.create_task(real_postgres.execute("SELECT pg_sleep(60)"))
            await asyncio.sleep(0.1)
            task.add_done_callback(lambda done: None)

        def test_its_loop_is_closed_over_open_connections(real_postgres, real_redis, real_clickhouse):
            async def use():
                await real_redis.set("k", "v")
                assert await real_postgres.fetchval("SELECT 1") == 1
                assert await real_clickhouse.execute("SELECT 1") == [(1,)]

            loop = asyncio.new_event_loop()
            loop.run_until_complete(use())
            loop.close()
            asyncio.run(use())

        def test_it_leaves_connections_of_its_own_open(postgres_dsn):
            global left
            left = psycopg.connect(postgres_dsn)
            left.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")

        def test_the_server_closed_them():
            with pytest.raises(psycopg.OperationalError):
                for _ in range(50):
                    left.execute("SELECT 1")
                    threading.Event().wait(0.1)
            left.close()

        def test_it_drops_its_own_database(isolated_external_postgres):
            own = isolated_external_postgres
            with psycopg.connect(own.dsn.replace(own.name, "postgres"), autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{own.name}" WITH (FORCE)')

        async def test_it_leaves_a_thread_behind(real_postgres, request):
            loop_free = []

            def later():
                threading.Event().wait(0.5)
                try:
                    asyncio.run(real_postgres_of_old())
                except Exception as error:
                    loop_free.append(str(error))

            async def real_postgres_of_old():
                await real_postgres.execute("DELETE FROM users")

            thread = threading.Thread(target=later)
            thread.start()
            request.config.left = (thread, loop_free)

        def test_the_thread_hears_that_its_test_has_ended(request):
            thread, heard = request.config.left
            thread.join()
            assert "test_it_leaves_a_thread_behind has ended" in heard[0]

        async def test_it_asks_for_the_address_after_it_began(real_postgres, request):
            await real_postgres.execute("SELECT 1")
            with pytest.raises(Exception, match="has begun a transaction") as caught:
                request.getfixturevalue("postgres_dsn")
            assert 'postgres_isolation("database")' in str(caught.value)

        async def test_before_it_began_the_address_can_still_be_had(real_postgres, request):
            dsn = request.getfixturevalue("postgres_dsn")
            await real_postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
            with psycopg.connect(dsn) as connection:
                assert connection.execute("SELECT count(*) FROM users").fetchone() == (61,)
        """
        + CLEAN.replace("\n    ", "\n        ")
    )
    result = project.run("-q", "-p", "no:randomly", "--real-services")
    assert set(result.counts()) == {"passed"}, result.text


def test_a_plain_function_that_takes_an_asynchronous_client_is_told_what_to_take_instead(project: Project) -> None:
    project.write(
        test_a="""
        def test_postgres(real_postgres):
            real_postgres.fetch("SELECT 1")

        def test_redis(real_redis):
            real_redis.get("k")

        def test_clickhouse(real_clickhouse):
            real_clickhouse.execute("SELECT 1")
        """
    )
    result = project.run()
    result.passes(failed=3)
    assert result.status == pytest.ExitCode.TESTS_FAILED
    for part in ("or take postgres_dsn", "or take redis_url or external_redis_config", "or take clickhouse_url"):
        assert part in result.text
    assert "never awaited" not in result.text


def test_a_seed_without_the_shipped_tables_is_told_by_the_data_fixtures(project: Project) -> None:
    project.write(
        test_a="""
        import pytest

        @pytest.fixture
        def foreign(real_postgres, test_isolation):
            test_isolation.holdings.run(lambda it: it.execute("DROP SCHEMA auth CASCADE"))

        def test_a(foreign, test_user):
            pass
        """
    )
    result = project.run()
    result.passes(error=1)
    assert "the fixture test_user needs the shipped table auth.users" in result.text
    assert "TEST_FIXTURES_MODE=extend" in result.text


def test_a_marker_and_a_fixture_that_contradict_each_other_are_an_error(project: Project) -> None:
    project.write(
        test_a="""
        import pytest

        @pytest.mark.postgres_isolation("transaction")
        def test_a(postgres_dsn):
            pass
        """
    )
    result = project.run()
    result.passes(error=1)
    assert "is marked for a transaction and takes isolated_external_postgres, postgres_dsn" in result.text


def test_what_the_guard_refuses_a_marker_allows(project: Project) -> None:
    project.write(
        test_a="""
        import pytest

        async def test_a(real_redis):
            await real_redis.execute_command("FLUSHALL")

        @pytest.mark.redis_unguarded
        async def test_b(real_redis):
            assert await real_redis.config_set("slowlog-max-len", 128)
        """
    )
    result = project.run()
    result.passes(passed=1, failed=1)
    assert "@pytest.mark.redis_unguarded" in result.text


def test_a_failing_teardown_of_the_users_does_not_hide_the_tests_own_failure(project: Project) -> None:
    project.write(
        test_a="""
        import pytest

        @pytest.fixture
        def broken(real_postgres):
            yield
            raise RuntimeError("teardown")

        async def test_a(broken, real_postgres):
            await real_postgres.execute("DELETE users")

        async def test_b(real_postgres):
            assert await real_postgres.fetchval("SELECT count(*) FROM users") == 60
        """
    )
    result = project.run()
    result.passes(passed=1, failed=1, error=1)
    assert "syntax error" in result.text
    assert "RuntimeError: teardown" in result.text


def test_a_forked_child_leaves_its_parents_database_alone(project: Project) -> None:
    project.write(
        test_a="""
        import os

        async def test_a(real_postgres, request):
            await real_postgres.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
            if (child := os.fork()) == 0:
                request.config._ensure_unconfigure()  # as a child does that ends with pytest
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert await real_postgres.fetchval("SELECT count(*) FROM users WHERE email = 'mine@example.com'") == 1
        """
    )
    project.run("-q", "-W", "ignore::DeprecationWarning").passes(passed=1)


def test_no_password_is_shown_by_a_failing_test_with_its_locals(project: Project, stack: NativeStack) -> None:
    project.write(
        test_a="""
        async def test_a(
            postgres_dsn, redis_url, clickhouse_url, isolated_external_postgres, isolated_external_redis,
            external_redis_config, real_postgres, real_redis, real_clickhouse, real_services,
            parallel_test_coordinator,
        ):
            config, leases = real_services.config, parallel_test_coordinator.mine()
            assert [postgres_dsn, redis_url, clickhouse_url, external_redis_config, leases, config] == []
        """
    )
    result = project.run("--showlocals", "-vv")
    result.passes(failed=1)
    secret = stack.variables["TEST_POSTGRES_PASSWORD"]
    for text in (result.text, project.junit.read_text()):
        assert secret not in text
        assert "canary" not in text
