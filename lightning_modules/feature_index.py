"""Features of many videos on the disk, and the nearest of them to one, in well under a second for a million."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

ROWS, MANIFEST, ABOUT = "features.float32", "manifest.jsonl", "index.json"
ROWS_AT_ONCE = 65536


class Entry(NamedTuple):
    """A video of an index.

    Attributes:
        name: of it.
        state: numbers that are others when the file is another, such as its size and time.
    """

    name: str
    state: list[int]


class FeatureIndex:
    """A folder with one feature of unit length for each of N videos.

    ``features.float32`` holds the rows, float32 (N, D), and is mapped into memory; ``manifest.jsonl`` a line for each,
    in their order; ``index.json`` the width D and what the features were made by. A row is written before its line, so
    that an index whose making was killed is whole up to there.

    Args:
        folder: of the index, made where it is not there.
        made_by: plain values, such as the checkpoint; features made by something else are thrown away.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, made_by: dict[str, object]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.width = 0
        self.entries: list[Entry] = []
        about = _read_json(folder / ABOUT)
        plain = json.loads(json.dumps(made_by))
        if about is not None and about.get("made_by") == plain:
            self.width = int(about["width"])
            self.entries = list(_read_manifest(folder / MANIFEST))
        else:
            for name in (ABOUT, MANIFEST, ROWS):
                (folder / name).unlink(missing_ok=True)
        self._made_by = plain
        self._trim()

    def _trim(self) -> None:
        """Take away what a kill has left half written: rows without a line, and the other way around."""
        rows = self.folder / ROWS
        if not rows.exists() or not self.width:
            self.entries = []
            rows.unlink(missing_ok=True)
            (self.folder / MANIFEST).unlink(missing_ok=True)
            return
        count = min(len(self.entries), rows.stat().st_size // self._row_bytes)
        self.entries = self.entries[:count]
        os.truncate(rows, count * self._row_bytes)
        self._write_manifest()

    @property
    def _row_bytes(self) -> int:
        return 4 * self.width

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.entries)

    @property
    def rows(self) -> np.ndarray:
        """The features, float32 (N, D), mapped into memory."""
        if not self.entries:
            return np.zeros((0, self.width), np.float32)
        # Copied when written to, which nobody does: torch warns of arrays that cannot be.
        return np.memmap(self.folder / ROWS, np.float32, "c", shape=(len(self), self.width))

    def keep(self, wanted: Sequence[Entry]) -> list[Entry]:
        """Drop the videos that are gone or have changed.

        Args:
            wanted: all videos as they are now.

        Returns:
            Those of them that have no row yet.
        """
        now = {one.name: one.state for one in wanted}
        stays = np.array([now.get(one.name) == one.state for one in self.entries], bool)
        if not stays.all():
            part = self.folder / f"{ROWS}.part"
            rows = self.rows
            with part.open("wb") as file:
                for first in range(0, len(rows), ROWS_AT_ONCE):
                    chosen = stays[first : first + ROWS_AT_ONCE]
                    file.write(np.ascontiguousarray(rows[first : first + ROWS_AT_ONCE][chosen]).tobytes())
            del rows
            # Without a manifest there is no index: a kill between the two files costs the features, not their order.
            (self.folder / MANIFEST).unlink(missing_ok=True)
            part.replace(self.folder / ROWS)
            self.entries = [one for one, stay in zip(self.entries, stays, strict=True) if stay]
            self._write_manifest()
        known = {one.name for one in self.entries}
        return [one for one in wanted if one.name not in known]

    def add(self, entry: Entry, feature: np.ndarray) -> None:
        """Add a video.

        Args:
            entry: which.
            feature: float (D,), of any length but 0.

        Raises:
            ValueError: the feature is zero, not finite, or of another width than the others.
        """
        row = np.asarray(feature, np.float32)
        length = float(np.linalg.norm(row))
        if not np.isfinite(length) or length == 0:
            raise ValueError(f"{entry.name}: its feature is of length {length}, so that it is near to nothing")
        if not self.width:
            self.width = len(row)
            (self.folder / ABOUT).write_text(json.dumps({"width": self.width, "made_by": self._made_by}))
        if row.shape != (self.width,):
            raise ValueError(f"{entry.name}: its feature is {row.shape}, those of the index are ({self.width},)")
        with (self.folder / ROWS).open("ab") as rows:
            rows.write((row / length).tobytes())
        with (self.folder / MANIFEST).open("a", encoding="utf-8") as lines:
            lines.write(_packed(entry))
        self.entries.append(entry)

    def search(self, query: np.ndarray, k: int) -> list[tuple[Entry, float]]:
        """The nearest videos by cosine, exactly, from the nearest.

        Args:
            query: float (D,).
            k: how many, or all where there are fewer.
        """
        similarity = cosines(self.rows, query)
        k = min(k, len(similarity))
        best = np.argpartition(-similarity, k - 1)[:k] if k else np.zeros(0, int)
        order = best[np.argsort(-similarity[best], kind="stable")]
        return [(self.entries[row], float(similarity[row])) for row in order.tolist()]

    def _write_manifest(self) -> None:
        part = self.folder / f"{MANIFEST}.part"
        with part.open("w", encoding="utf-8") as file:
            file.writelines(_packed(one) for one in self.entries)
        part.replace(self.folder / MANIFEST)


def cosines(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosine of the angle between a query and each of N rows of unit length.

    Args:
        rows: float32 (N, D), may be mapped from the disk; float16 is turned into float32 part by part.
        query: float (D,).

    Returns:
        float32 (N,).
    """
    direction = np.asarray(query, np.float32)
    direction = direction / max(float(np.linalg.norm(direction)), 1e-12)
    # A matrix-vector product reads each number once: memory, not arithmetic, is what takes time. torch's uses all
    # cores, NumPy's one.
    column = torch.from_numpy(direction)
    found = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = np.ascontiguousarray(rows[first : first + ROWS_AT_ONCE], np.float32)
        torch.mv(torch.from_numpy(part), column, out=torch.from_numpy(found[first : first + ROWS_AT_ONCE]))
    return found


def _packed(entry: Entry) -> str:
    return f"{json.dumps([entry.name, entry.state], ensure_ascii=False)}\n"


def _read_manifest(file: Path) -> Iterator[Entry]:
    """Lines up to the first that is not whole."""
    if not file.exists():
        return
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            name, state = json.loads(text)
        except ValueError:
            return
        yield Entry(str(name), list(state))


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("width"), int) else None
