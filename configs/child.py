"""``lightning`` commands in processes of their own, one at a time."""

import signal
import subprocess
import sys
from types import FrameType

import configs
from callbacks.run_record import SIGNALS

STOPPED = tuple(128 + signum for signum in SIGNALS)
"""Exit codes of a command that a signal stopped."""

_START = "import sys; sys.path.insert(0, {root!r}); from cli import main; sys.exit(main(sys.argv[1:]))"


class Child:
    """Runs a ``lightning`` command in a process; a signal to this one is handed on to it once, and kept in ``signum``.

    A run alone in its process leaves nothing behind for the next: no memory of a device, no random state.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, arguments: list[str], keep_open: tuple[int, ...] = ()) -> int:
        """Run a command to its end.

        Args:
            arguments: of ``lightning``, the subcommand first.
            keep_open: file descriptors that the process inherits.

        Returns:
            Its exit code.
        """
        handlers = {signum: signal.signal(signum, self._on_signal) for signum in SIGNALS}
        try:
            # Of the directory that this file is in, not of the working directory: see cli.train.
            start = [sys.executable, "-P", "-c", _START.format(root=str(configs.FOLDER.parent))]
            # In a session of its own: a terminal sends Ctrl-C to all of a session, and the second one would kill.
            self._process = subprocess.Popen([*start, *arguments], start_new_session=True, pass_fds=keep_open)
            if self.signum is not None:
                self._process.send_signal(self.signum)
            return self._process.wait()
        finally:
            self._process = None
            for signum, handler in handlers.items():
                signal.signal(signum, handler)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        if self._process is not None:
            self._process.send_signal(signum)
