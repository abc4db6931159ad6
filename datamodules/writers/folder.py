"""Folders that are there whole or not at all."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_info


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


def write_missing_folder(folder: Path, write: Callable[[Path], object], what: str) -> None:
    """Write a folder unless it is there, and say so; see `write_folder`.

    Args:
        folder: to make.
        write: fills the folder that it is given.
        what: is written, for the message.

    Raises:
        OSError: the folder cannot be written.
    """
    if not folder.is_dir():
        rank_zero_info(f"writing {what} to {folder}")
        write_folder(folder, write)


def content_key(content: Any) -> str:  # noqa: ANN401 - anything that JSON knows
    """Twelve hexadecimal digits that name a folder after what is in it."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
