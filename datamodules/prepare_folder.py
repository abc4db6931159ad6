"""What preparations share that write one file per sample: how they were made, what is broken, how far they are."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from datamodules.prepare_ntu import SETTINGS_FILE, progress_bar

_SECONDS_BETWEEN_UPDATES = 0.25

Result = TypeVar("Result")


def settle(out: Path, wanted: dict[str, Any], what: str) -> None:
    """Write down how the files of a folder are made, or find that they are made so.

    Args:
        out: the folder, which is there.
        wanted: what decides the content of the files, in plain JSON types.
        what: the files hold, for messages.

    Raises:
        ValueError: the folder holds something else, or was made in another way.
    """
    file = out / SETTINGS_FILE
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        is_other = any(path.suffix != ".part" for path in out.iterdir())
        if is_other and not file.exists():  # another process may have settled it by now
            raise ValueError(f"{out}: is there and is no folder of {what}; remove it, or give another") from None
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(wanted))
        part.rename(file)
        return
    except ValueError:
        found = None
    if found != wanted:
        raise ValueError(f"{out}: was made in another way ({found}, not {wanted}); remove it, or give another")


def write_lines(file: Path, lines: list[str]) -> None:
    """Write a list of what is wrong; without any, no file is left."""
    if lines:
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    else:
        file.unlink(missing_ok=True)


def in_bytes(count: int) -> str:
    """Write a number of bytes for people."""
    for unit, power in (("TiB", 40), ("GiB", 30)):
        if count >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count / (1 << 20):.1f} MiB"


def followed(results: Iterable[Result], label: str, total: int, visible: bool) -> Iterator[Result]:
    """Pass results on while a bar on stderr tells how many there are.

    Args:
        results: one of each sample.
        label: of the bar.
        total: number of samples.
        visible: whether to draw the bar.
    """
    updated = time.monotonic()
    with progress_bar(visible) as bar:
        task = bar.add_task(label, total=total)
        for result in results:
            bar.advance(task)
            if time.monotonic() - updated > _SECONDS_BETWEEN_UPDATES:
                bar.refresh()
                updated = time.monotonic()
            yield result
