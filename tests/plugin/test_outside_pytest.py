"""The manager of the services where no pytest runs."""

from __future__ import annotations

from tests.native_stack import NativeStack
from tests.plugin.harness import Project
from tests.plugin.test_trouble import nothing_is_held

USES = """
    import asyncio
    from test_framework.real_services import get_real_services

    async def main():
        services = get_real_services()
        assert services is get_real_services()
        await services.ensure_all_services_available()
        async with services.postgres.connection() as one, services.postgres.connection() as other:
            await one.execute("INSERT INTO users (email) VALUES ('mine@example.com')")
            assert await other.fetchval("SELECT count(*) FROM users") == 61
        await services.redis.set("k", "v")
        assert await services.redis.get("k") == "v"
        assert await services.clickhouse.execute("SELECT count() FROM user_events") == [(120000,)]
        await services.reset_all_data()
        async with services.postgres.connection() as one:
            assert await one.fetchval("SELECT count(*) FROM users") == 60
        return services

    """


def test_a_script_has_namespaces_of_its_own_and_gives_them_back(project: Project, stack: NativeStack) -> None:
    done = project.script(
        USES
        + """
    async def both():
        services = await main()
        await services.aclose()
        assert get_real_services() is not services

    asyncio.run(both())
    print("done")
    """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", ""), done.stderr
    nothing_is_held(stack)


def test_a_script_that_forgets_to_close_ends_all_the_same_and_is_reclaimed(
    project: Project, stack: NativeStack
) -> None:
    done = project.script(USES + "\n    asyncio.run(main())\n    print('done')\n")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    stack.ok("reap")
    nothing_is_held(stack)


def test_importing_the_manager_opens_nothing_and_a_missing_stack_is_told(lonely_project: Project) -> None:
    done = lonely_project.script(
        """
        import asyncio
        from test_framework.errors import ServiceUnavailable
        from test_framework.real_services import get_real_services

        async def main():
            try:
                await get_real_services().ensure_all_services_available(timeout=0.3)
            except ServiceUnavailable as error:
                print(error)

        asyncio.run(main())
        """
    )
    assert done.returncode == 0, done.stderr
    for service in ("postgres", "redis", "clickhouse"):
        assert f"{service} at localhost:1: " in done.stdout
    assert "make test-up" in done.stdout
