"""One process at a time for one run, or one job of a benchmark."""

import errno
import fcntl
import json
import os
import platform
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pytorch_lightning.utilities import rank_zero_info

HEARTBEAT = 30.0
"""Seconds between two signs of life."""
DEAD_AFTER = 300.0
"""Seconds without one after which the holder on another host counts as dead."""
LAST_WORDS = 60.0
"""Seconds that the loaders of a killed process are given to end."""

_NOT_SUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK)


class HeldError(ValueError):
    """Another process has the lock; the message says which."""


class RunLock:
    """A file, held while a run goes on.

    On one host the kernel decides, by ``flock``: the lock ends with the last process that has it open, be it killed or
    not, so a lock that a dead process left is free at once, and one whose child still runs is not. Where the folder is
    shared, ``flock`` need not reach other hosts (or the file system has none): there a holder that has touched the file
    in the last 5 minutes is alive, and one that has not is dead. A holder touches it every 30 seconds. The same SLURM
    job, started again, knows that its earlier start has ended.

    Args:
        path: of the file, which goes with the lock. A folder that is made for it goes, too, if nothing else came in.
        wait: for a holder that may have been killed, until it is known.

    Raises:
        HeldError: when entered, if another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, wait: bool = False) -> None:
        self.path = path
        self.wait = wait
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Take the lock, or say who has it."""
        self._folder_made = not self.path.parent.exists()
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._take()
            except BaseException:
                os.close(self.file)
                raise
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self.file), self.path.stat()):
                    break
            os.close(self.file)  # its holder has removed it since it was opened
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock."""
        self._stop.set()
        self._thread.join()
        if _content(self.path) == self._here:  # else another host took this process for dead
            self.path.unlink(missing_ok=True)
        os.close(self.file)
        if self._folder_made:
            with suppress(OSError):  # not empty
                self.path.parent.rmdir()

    def _take(self) -> None:
        exact = self._flock()
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        self._here: dict[str, str | int] = {"host": platform.node(), "pid": os.getpid(), "since": since, **_slurm()}
        earlier = _content(self.path)
        left_here = exact and earlier.get("host") == self._here["host"]
        if earlier and not left_here and not _same_job(earlier, self._here):
            self._outlive(earlier)
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, json.dumps(self._here).encode(), 0)

    def _flock(self) -> bool:
        """Take it from the kernel; False where the file system has no locks."""
        deadline = time.monotonic() + LAST_WORDS
        while True:
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                content = _content(self.path)
                killed = content.get("host") == platform.node() and not _alive(int(content.get("pid", 0)))
                if not (self.wait and killed) or time.monotonic() > deadline:
                    raise HeldError(_describe(content) if content else "another process") from None
                time.sleep(0.1)
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
                return False

    def _outlive(self, earlier: dict[str, str]) -> None:
        """Return once a holder that only its heartbeat tells of is dead."""
        seen = os.fstat(self.file).st_mtime
        if self.wait and time.time() - seen < DEAD_AFTER:
            rank_zero_info(f"{self.path}: held by {_describe(earlier)}; waiting to see whether it lives")
        while time.time() - seen < DEAD_AFTER:
            if not self.wait or os.fstat(self.file).st_mtime != seen:
                raise HeldError(_describe(earlier))
            time.sleep(min(1.0, HEARTBEAT))

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with suppress(OSError):  # a file system that is away for a while
                os.utime(self.file)


def holder(path: Path) -> str:
    """Say who a lock file names; empty where nobody, or the file is not there. He may have died since."""
    content = _content(path)
    return _describe(content) if content else ""


def _slurm() -> dict[str, str]:
    job = os.environ.get("SLURM_JOB_ID")
    return {} if job is None else {"job": job, "restart": os.environ.get("SLURM_RESTART_COUNT", "0")}


def _same_job(earlier: Mapping[str, object], here: Mapping[str, object]) -> bool:
    """Whether a lock is of an earlier start of this SLURM job: SLURM ends one before it begins the next."""
    return "job" in here and earlier.get("job") == here["job"] and earlier.get("restart") != here["restart"]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # else it is another user's
    return True


def _content(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # being written at this moment, or empty
        return {}
    return content if isinstance(content, dict) else {}


def _describe(content: dict[str, str]) -> str:
    return f"process {content.get('pid')} on {content.get('host')} since {content.get('since')}"
