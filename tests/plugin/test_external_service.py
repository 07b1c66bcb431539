"""``real_http_client``, ``real_websocket_client`` and ``service_url`` in runs from outside."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plugin.harness import Project, Result

PROMISES = Path(__file__).parent / "projects" / "service"
MODES = {
    "a loop per test, auto mode": ("auto", "function", ()),
    "a loop per session, strict mode, two workers": ("strict", "session", ("-n", "2")),
}


def all_passed(result: Result) -> Result:
    assert result.status == 0, result.text
    assert set(result.counts()) == {"passed"}, result.text
    return result


@pytest.mark.parametrize("mode", MODES)
def test_every_fixture_of_the_service_keeps_its_promises(project: Project, mode: str) -> None:
    asyncio_mode, scope, arguments = MODES[mode]
    for file in sorted(PROMISES.glob("test_*.py")):
        shutil.copy(file, project.path)
    project.ini(f"asyncio_default_test_loop_scope = {scope}", asyncio_mode=asyncio_mode)
    all_passed(project.run("-q", *arguments, USE_REAL_SERVICES="true"))
