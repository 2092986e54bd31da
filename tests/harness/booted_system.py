"""A Debian that boots its own systemd as PID 1 in namespaces of this machine: services run in their real sandboxes, and it can lose its power.

Its root is an overlay over one that debootstrap made once and that is kept in the folder for temporary files. It has a network of its own with nothing in it,
a /dev of its own and cgroups of its own, so that nothing in it can tell from anything outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil

from tests.harness.broker import require, wait_until

PACKAGES = "systemd,systemd-sysv,dbus,udev,init-system-helpers,python3,libstdc++6,zlib1g,mosquitto,mosquitto-clients,iproute2,procps"
BOOT_S, HALT_S = 60.0, 60.0
_CGROUPS = Path("/sys/fs/cgroup")
_CLONE_NEWNET = 0x40000000
_TIOCGPTN, _TIOCSPTLCK = 0x80045430, 0x40045431
_DIALOUT = 20  # in every Debian
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# $1 the lower root, $2 the folder of the overlay; what is left of the new PID 1 is systemd alone.
_BOOT = r"""
set -e
root=$2/root
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
  mknod -m 666 "$root/dev/${node% *}" c 1 "${node#* }"
done
mknod -m 666 "$root/dev/tty" c 5 0
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified" "$root/sys/fs/cgroup/devices"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o devices cgroup "$root/sys/fs/cgroup/devices"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi
# The kernel makes no user namespace, as PrivateUsers= wants one, inside of a mere chroot.
cd "$root"
pivot_root . .
umount -l .
# As PID 1 of a real machine would; credentials reach a service only where mounts propagate.
mount --make-rshared /
exec env -i container=stethos-test PATH="$3" /lib/systemd/systemd --system
"""


class CannotBootError(Exception):
    """Why no systemd can be booted here."""


def base_root() -> Path:
    """The root that all others lie over, made once for each release and list of packages; raises CannotBootError."""
    if os.geteuid() != 0:
        raise CannotBootError("booting a systemd in namespaces takes root")
    found = _own_cgroups()
    needed = {"": "cgroup2"} if _unified() else {"": "cgroup2", "name=systemd": "systemd", "devices": "devices"}
    if missing := [name for controllers, name in needed.items() if controllers not in found]:
        raise CannotBootError(f"booting a systemd in namespaces takes mounted cgroups: {', '.join(missing)}")
    debootstrap = require("debootstrap", "debootstrap")
    os_release = platform.freedesktop_os_release()
    release = os_release["VERSION_CODENAME"]
    # Ubuntu keeps mosquitto apart.
    components = "main,universe" if os_release["ID"] == "ubuntu" else "main"
    name = hashlib.sha256(f"{release} {PACKAGES}".encode()).hexdigest()[:16]
    root = Path(tempfile.gettempdir()) / f"stethos-debian-{name}"
    if root.exists() and root.stat().st_uid != 0:  # anybody may write into a folder for temporary files
        raise CannotBootError(f"{root} belongs to somebody else than root; remove it")
    if not root.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="stethos-debootstrap-"))
        try:
            options = ["--variant=minbase", f"--components={components}", f"--include={PACKAGES}"]
            command = [debootstrap, *options, release, str(unfinished)]
            subprocess.run(command, check=True, timeout=900, stdout=subprocess.DEVNULL)
            (unfinished / "etc/machine-id").write_text(f"{'5' * 32}\n")  # else every boot would be a first one
            unfinished.chmod(0o755)
            unfinished.rename(root)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return root


def _unified() -> bool:
    return (_CGROUPS / "cgroup.procs").exists()


def _own_cgroups() -> dict[str, Path]:
    """Where we are in each mounted hierarchy of cgroups, by its controllers; the name of version 2 is empty."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mounted = controllers.removeprefix("name=") if controllers else "" if _unified() else "unified"
        cgroup = _CGROUPS / mounted / path.lstrip("/")
        if (cgroup / "cgroup.procs").exists():
            found[controllers] = cgroup
    return found


class BootedSystem:
    """One machine in `folder`; what it wrote to its disk outlives a reboot and a power cut."""

    def __init__(self, folder: Path) -> None:
        self._lower = base_root()
        self._folder = folder
        for name in ("root", "upper", "work"):
            (folder / name).mkdir(exist_ok=True)
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init: psutil.Process | None = None
        self._cgroups: list[Path] = []

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        """Its disk goes too: some hundred megabytes."""
        self.cut_power()
        for name in ("root", "upper", "work"):
            shutil.rmtree(self._folder / name)

    @property
    def root(self) -> Path:
        """Its files, as seen from outside while it runs."""
        return Path(f"/proc/{self._pid}/root")

    @property
    def _pid(self) -> int:
        assert self._init is not None, "it is not running"
        return self._init.pid

    def boot(self) -> None:
        """Switch it on and wait until every service that starts at boot has started, or failed to."""
        enter = self._make_cgroups()
        namespaces = "--mount --pid --uts --ipc --net --cgroup --fork --kill-child"
        script = f'{enter}exec unshare {namespaces} sh -c "$4" sh "$@"'
        log = (self._folder / "console.log").open("ab")
        with log:
            self._unshare = subprocess.Popen(
                ["sh", "-ec", script, "sh", str(self._lower), str(self._folder), _PATH, _BOOT],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._has_init, 10.0, f"a PID 1; see {log.name}")
        wait_until(self._answers, BOOT_S, f"an answer of systemd; see {log.name}")
        self.run("ip", "link", "set", "lo", "up")
        self.run("systemctl", "is-system-running", "--wait", check=False, timeout_s=BOOT_S)

    def reboot(self) -> None:
        """In an orderly way: its systemd stops every service first."""
        self.run("systemctl", "reboot", check=False)
        self._ended(HALT_S)
        self.boot()

    def cut_power(self) -> None:
        """Every process of it is gone at once; what the kernel was told to write is written."""
        if self._init is not None and self._init.is_running():
            self._init.send_signal(signal.SIGKILL)
        self._ended(HALT_S)

    def run(
        self, *command: str, check: bool = True, timeout_s: float = 30.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside, as its root would from a console."""
        enter = [
            "nsenter",
            f"--target={self._pid}",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--net",
            "--cgroup",
            "--root",
        ]
        done = subprocess.run(
            [*enter, "--wd=/", "env", "-i", f"PATH={_PATH}", "LC_ALL=C.UTF-8", *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Inside of the `with`, sockets that this thread opens, and those of threads that it starts, are in the machine's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/thread-self/ns/net").open() as outside, Path(f"/proc/{self._pid}/ns/net").open() as inside:
            if libc.setns(inside.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                libc.setns(outside.fileno(), _CLONE_NEWNET)

    def _make_cgroups(self) -> str:
        """Empty cgroups for this boot, and the shell lines that move their first process in."""
        name = f"stethos-test-{os.getpid()}-{os.urandom(4).hex()}"
        for parent in _own_cgroups().values():
            cgroup = parent / name
            cgroup.mkdir()
            self._cgroups.append(cgroup)
            for setting in ("cpuset.cpus", "cpuset.mems"):  # without them version 1 lets nobody in
                if (cgroup / setting).exists() and not _unified():
                    (cgroup / setting).write_text((parent / setting).read_text())
        return "".join(f"echo $$ > {cgroup}/cgroup.procs; " for cgroup in self._cgroups)

    def _has_init(self) -> bool:
        assert self._unshare is not None
        if self._unshare.poll() is not None:
            console = (self._folder / "console.log").read_text(errors="replace")
            raise AssertionError(f"the machine ended at once:\n{console}")
        children = psutil.Process(self._unshare.pid).children()
        self._init = next((child for child in children if child.name() == "systemd"), None)
        return self._init is not None

    def _answers(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"starting", "running", "degraded"}

    def _ended(self, timeout_s: float) -> None:
        """Wait for its last process, and take its cgroups away, the innermost first."""
        if self._unshare is not None:
            self._unshare.wait(timeout_s)
        self._unshare = self._init = None
        for cgroup in self._cgroups:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                with contextlib.suppress(OSError):  # the kernel is not done with its last process yet
                    Path(folder).rmdir()
        self._cgroups = []


class PortInside:
    """A serial device of a booted machine: a pseudo-terminal of its own, behind a name in its /dev."""

    def __init__(self, system: BootedSystem, name: str) -> None:
        self.path = f"/dev/{name}"
        dev = system.root / "dev"
        self._device = os.open(dev / "pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.ioctl(self._device, _TIOCSPTLCK, struct.pack("i", 0))
        (number,) = struct.unpack("i", fcntl.ioctl(self._device, _TIOCGPTN, struct.pack("i", 0)))
        node = dev / f"pts/{number}"
        # As udev would: the group may, others may not.
        os.chown(node, 0, _DIALOUT)
        node.chmod(0o660)
        self._port = os.open(node, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._port)
        (dev / name).unlink(missing_ok=True)
        (dev / name).symlink_to(f"pts/{number}")

    def write(self, data: bytes, timeout_s: float = 10.0) -> None:
        """Send `data`, as fast as it is read."""

        def taken() -> bool:
            nonlocal data
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._device, data[:1024]) :]
            return not data

        wait_until(taken, timeout_s, f"somebody reads {self.path}")
        termios.tcdrain(self._device)

    def close(self) -> None:
        os.close(self._device)
        os.close(self._port)
