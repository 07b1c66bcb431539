"""The package manager is used when we may, and otherwise told in one command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from test_framework.errors import BackendUnavailable
from test_framework.stack import packages
from test_framework.stack.packages import Installer, find_installer

BOTH = ["postgres", "redis"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of our own on the path, which write down how they were called; policy files in a directory of ours."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setattr(
        packages.shutil, "which", lambda name: str(directory / name) if (directory / name).exists() else None
    )
    monkeypatch.setattr(packages, "_POLICY", tmp_path / "policy" / "policy-rc.d")
    monkeypatch.setattr(packages, "_CREATE_CLUSTER", tmp_path / "createcluster.d" / "zz.conf")
    return tmp_path


def install(machine: Path, name: str, script: str = "true") -> None:
    file = machine / "bin" / name
    file.write_text(f'#!/bin/sh\necho "{name} $*" >> "{machine}/calls"\n{script}\n')
    file.chmod(0o755)


def calls(machine: Path) -> list[str]:
    return (machine / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt-get", "apt-get install -y --no-install-recommends postgresql-15 redis-server"),
        ("dnf", "dnf install -y postgresql15-server redis"),
        ("brew", "brew install postgresql@15 redis"),
    ],
)
def test_the_one_command_to_type_is_the_machines_own(
    machine: Path, monkeypatch: pytest.MonkeyPatch, manager: str, command: str
) -> None:
    install(machine, manager)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    installer = find_installer()
    assert installer is not None
    assert installer.advice(BOTH) == (command if manager == "brew" else f"sudo {command}")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert installer.advice(BOTH) == command


def test_a_machine_without_a_known_manager_has_no_installer(machine: Path) -> None:
    assert find_installer() is None


@pytest.mark.parametrize(("sudo", "allowed"), [("exit 0", True), ("exit 1", False), (None, False)])
def test_a_plain_user_may_install_through_sudo_that_asks_nothing(
    machine: Path, monkeypatch: pytest.MonkeyPatch, sudo: str | None, allowed: bool
) -> None:
    install(machine, "apt-get")
    if sudo:
        install(machine, "sudo", sudo)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    installer = find_installer()
    assert installer is not None
    assert installer.allowed is allowed
    assert installer.prefix == (("sudo", "-n") if allowed else ())


def test_apt_installs_with_services_kept_down_and_cleans_up_after_itself(machine: Path) -> None:
    policy, cluster = packages._POLICY, packages._CREATE_CLUSTER
    look = f'[ "$1" != install ] || cat "{policy}" "{cluster}" > "{machine}/seen"'
    install(machine, "apt-get", look)
    Installer("apt-get", allowed=True, prefix=()).install(BOTH, lambda _: None)
    assert calls(machine) == [
        "apt-get update -qq",
        "apt-get install -y --no-install-recommends postgresql-15 redis-server",
    ]
    assert (machine / "seen").read_text() == "#!/bin/sh\nexit 101\ncreate_main_cluster = false\n"
    assert not policy.exists()
    assert not cluster.exists()


def test_a_policy_that_was_there_before_stays(machine: Path) -> None:
    packages._POLICY.parent.mkdir()
    packages._POLICY.write_text("mine")
    install(machine, "apt-get")
    Installer("apt-get", allowed=True, prefix=()).install(["redis"], lambda _: None)
    assert packages._POLICY.read_text() == "mine"


def test_a_manager_that_fails_is_told_with_its_last_lines(machine: Path) -> None:
    install(machine, "apt-get", 'if [ "$1" = install ]; then echo E: no such package; exit 100; fi')
    with pytest.raises(BackendUnavailable, match="apt-get could not install") as caught:
        Installer("apt-get", allowed=True, prefix=()).install(BOTH, lambda _: None)
    assert "E: no such package" in (caught.value.cause or "")
    assert caught.value.where == "apt-get install -y --no-install-recommends postgresql-15 redis-server"
    assert not packages._POLICY.exists()
