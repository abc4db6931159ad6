"""One process at a time for one job."""

import errno
import fcntl
import json
import os
import platform
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HEARTBEAT = 30.0
"""Seconds between two signs of life."""
DEAD_AFTER = 300.0
"""Seconds without one after which the holder on another host counts as dead."""

_NOT_SUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK)


class HeldError(ValueError):
    """Another process has the lock; the message says which."""


class JobLock:
    """The file ``lock`` in a job's folder, held while the job runs.

    On one host the kernel decides, by ``flock``: the lock ends with the last process that has it open, be it killed or
    not, so a lock that a dead process left is free at once, and one whose child still runs is not. Where the folder is
    shared, ``flock`` need not reach other hosts (or the file system has none): there a holder that has touched the file
    in the last 5 minutes is alive, and one that has not is dead. A holder touches it every 30 seconds.

    Args:
        folder: of the job; made if it is not there.

    Raises:
        HeldError: when entered, if another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Take the lock, or say who has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take()
        except BaseException:
            os.close(self.file)
            raise
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock; the file stays, empty."""
        self._stop.set()
        self._thread.join()
        os.ftruncate(self.file, 0)
        os.close(self.file)

    def _take(self) -> None:
        exact = True
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(holder(self.path) or "another process") from None
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            exact = False
        here = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        earlier = _content(self.path)
        left_here = exact and earlier.get("host") == here["host"]
        if earlier and not left_here and time.time() - os.fstat(self.file).st_mtime < DEAD_AFTER:
            raise HeldError(_describe(earlier))
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, json.dumps(here).encode(), 0)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with suppress(OSError):  # a file system that is away for a while
                os.utime(self.file)


def holder(path: Path) -> str:
    """Say who a lock file names; empty where nobody, or the file is not there. He may have died since."""
    content = _content(path)
    return _describe(content) if content else ""


def _content(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # being written at this moment, or empty
        return {}
    return content if isinstance(content, dict) else {}


def _describe(content: dict[str, str]) -> str:
    return f"process {content.get('pid')} on {content.get('host')} since {content.get('since')}"
