"""Install what is missing through the system's own package manager, when we may; otherwise say what to type."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from test_framework.errors import BackendUnavailable

__all__ = ["Installer", "find_installer"]

_PACKAGES = {
    "apt-get": {"postgres": "postgresql-15", "redis": "redis-server"},
    "dnf": {"postgres": "postgresql15-server", "redis": "redis"},
    "brew": {"postgres": "postgresql@15", "redis": "redis"},
}
_INSTALL = {
    "apt-get": ["apt-get", "install", "-y", "--no-install-recommends"],
    "dnf": ["dnf", "install", "-y"],
    "brew": ["brew", "install"],
}
_POLICY = Path("/usr/sbin/policy-rc.d")
_CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.d/zz-test-framework.conf")


@dataclass(frozen=True)
class Installer:
    """The machine's package manager and whether we may use it. ``prefix`` is ``sudo -n`` or nothing."""

    manager: str
    allowed: bool
    prefix: tuple[str, ...]

    def command(self, components: Sequence[str]) -> list[str]:
        """What installs ``components``, as words."""
        packages = [_PACKAGES[self.manager][name] for name in components if name in _PACKAGES[self.manager]]
        return [*_INSTALL[self.manager], *packages]

    def advice(self, components: Sequence[str]) -> str:
        """The one command a person types."""
        sudo = "" if self.manager == "brew" or os.getuid() == 0 else "sudo "
        return sudo + shlex.join(self.command(components))

    def install(self, components: Sequence[str], report: Callable[[str], None]) -> None:
        """Install, with the servers' own services neither started now nor at boot.

        Raises:
            BackendUnavailable: the package manager failed; its last lines are in the message.
        """
        if self.manager == "apt-get":
            report("refreshing the package lists (apt-get update)")
            self._run(["apt-get", "update", "-qq"], check=False)
        command = self.command(components)
        report(f"installing: {shlex.join(command)}")
        with self._services_kept_down(components):
            self._run(command)

    def _run(self, command: Sequence[str], *, check: bool = True) -> None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "HOMEBREW_NO_AUTO_UPDATE": "1"}
        done = subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=environment,
        )
        if check and done.returncode != 0:
            raise BackendUnavailable(
                f"{command[0]} could not install what the native backend needs",
                where=shlex.join(command),
                cause="\n    ".join(done.stdout.splitlines()[-8:]),
                fix="mend that (network, package sources), install by hand, or use Docker: BACKEND=compose",
            )

    @contextlib.contextmanager
    def _services_kept_down(self, components: Sequence[str]) -> Iterator[None]:
        """Debian starts a server when its package is installed, and makes a cluster: a test machine wants neither."""
        if self.manager != "apt-get":
            yield
            return
        written = []
        policies = ((_POLICY, "#!/bin/sh\nexit 101\n"), (_CREATE_CLUSTER, "create_main_cluster = false\n"))
        for file, text in policies:
            if not file.exists():
                self._write(file, text)
                written.append(file)
        try:
            yield
        finally:
            for file in written:
                self._run(["rm", "-f", str(file)], check=False)
        if "redis" in components and Path("/run/systemd/system").exists():
            self._run(["systemctl", "disable", "--now", "redis-server"], check=False)

    def _write(self, file: Path, text: str) -> None:
        script = f"mkdir -p {file.parent} && printf %s {shlex.quote(text)} > {file} && chmod 755 {file}"
        self._run(["sh", "-c", script])


def find_installer() -> Installer | None:
    """The package manager of this machine, or ``None`` when it has none that we know."""
    manager = next((name for name in _INSTALL if shutil.which(name)), None)
    if manager is None:
        return None
    if manager == "brew":
        return Installer(manager, allowed=True, prefix=())
    if os.getuid() == 0:
        return Installer(manager, allowed=True, prefix=())
    sudo = shutil.which("sudo")
    asks_nothing = (
        sudo is not None and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
    )
    return Installer(manager, allowed=asks_nothing, prefix=("sudo", "-n") if asks_nothing else ())
