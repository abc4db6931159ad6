"""Folders that are there whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Fill a folder beside its place, then give it its name.

    Several processes may do so at once: the first to finish wins, and the others' work is removed.

    Args:
        folder: to make; folders on the way are made.
        write: fills the folder that it is given.

    Raises:
        OSError: the folder cannot be written, such as for want of space.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        write(part)
        part.rename(folder)
    except OSError:
        # Another process was first, which is as good; anything else is an error.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
