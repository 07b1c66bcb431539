#!/usr/bin/env python3
"""Make the project's own virtual environment with the locked dependencies. Standard library only.

    python3 scripts/bootstrap.py [DIRECTORY]

It is called by make when the lock file is newer than the environment. Works where ``python3 -m venv`` lacks
ensurepip (Debian without python3-venv), through the first of: venv with ensurepip, uv, virtualenv, pip into an empty
venv, the system's package manager.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

MINIMUM = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:6.2f} s] setup            {text}", file=sys.stderr, flush=True)


def stop(what: str, fix: str) -> None:
    print(f"error: {what}\n  fix: {fix}", file=sys.stderr)
    sys.exit(3)


def quiet(command: list[str]) -> bool:
    """Run ``command``; whether it worked. Its output is shown only when it is the last resort."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def find_python() -> str:
    """This interpreter if it is new enough, otherwise the newest one on PATH."""
    if sys.version_info >= MINIMUM:
        return sys.executable
    for minor in range(20, MINIMUM[1] - 1, -1):
        if found := shutil.which(f"python3.{minor}"):
            return found
    stop(
        f"Python {MINIMUM[0]}.{MINIMUM[1]} or newer is needed, this is {sys.version.split()[0]}",
        "install a newer Python, then run the command again (or name it: make PYTHON=/path/to/python3.12 …)",
    )
    raise AssertionError


def has_pip(venv: Path) -> bool:
    return quiet([str(venv / "bin" / "python"), "-m", "pip", "--version"])


def create(venv: Path, python: str) -> None:
    """An environment that has pip, by the first way that works here."""
    if has_pip(venv):
        return
    shutil.rmtree(venv, ignore_errors=True)
    say(f"making {venv.name} with {python}")
    ways = [
        [[python, "-m", "venv", str(venv)]],
        [["uv", "venv", "--seed", "--python", python, str(venv)]],
        [["virtualenv", "--python", python, str(venv)], [python, "-m", "virtualenv", str(venv)]],
        [
            [python, "-m", "venv", "--without-pip", str(venv)],
            [python, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet", "pip"],
        ],
    ]
    for commands in ways:
        for command in commands:
            quiet(command)
            if has_pip(venv):
                return
        shutil.rmtree(venv, ignore_errors=True)
    if install_venv_package(python) and quiet([python, "-m", "venv", str(venv)]) and has_pip(venv):
        return
    shutil.rmtree(venv, ignore_errors=True)
    stop(
        f"{python} cannot make a virtual environment (ensurepip is missing)",
        "Debian and Ubuntu: sudo apt-get install python3-venv; elsewhere: install uv or virtualenv",
    )


def install_venv_package(python: str) -> bool:
    """Debian splits ensurepip off; fetch it when we may without asking for a password."""
    if not shutil.which("apt-get"):
        return False
    prefix = [] if os.getuid() == 0 else ["sudo", "-n"]
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    say("installing python3-venv through apt-get")
    quiet([*prefix, "apt-get", "update", "-qq"])
    install = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"]
    return quiet([*install, f"python{version.stdout.strip()}-venv"]) or quiet([*install, "python3-venv"])


def install(venv: Path) -> None:
    """The locked dependencies, each checked against its hash, then this project in place."""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    if not sys.stderr.isatty():
        pip.append("--quiet")
    packages = sum(1 for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line)
    say(f"installing {packages} locked packages (the first time takes a minute or two)")
    for arguments in (
        ["--require-hashes", "-r", str(ROOT / "requirements.lock")],
        ["--no-deps", "--no-build-isolation", "-e", str(ROOT)],
    ):
        if subprocess.run([*pip, *arguments], check=False).returncode != 0:
            stop(
                "pip could not install the locked dependencies; its message is above",
                "check the network and the package index that pip is configured for, then run the command again",
            )


def main() -> None:
    venv = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".venv").resolve()
    create(venv, find_python())
    install(venv)
    (venv / ".installed").touch()
    say("ready")


if __name__ == "__main__":
    main()
