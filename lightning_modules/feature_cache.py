"""Features of a frozen network, computed once for each clip of each video and kept on disk."""

import fcntl
import hashlib
import json
import logging
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_modules.networks import Network

FORMAT = "video-efficient-zoo/features/1"
PART_VIDEOS = 32

_log = logging.getLogger(__name__)


class VideoFeatures(NamedTuple):
    """Features of all clips of a video: its name, and float32 (N, D)."""

    name: str
    clips: np.ndarray


class CacheError(ValueError):
    """Cached features cannot be used or made; the message says which, why, and what to do."""


def digest_of_weights(network: Network) -> str:
    """SHA-256, in hexadecimal, of a network's class, arguments, and all of its tensors."""
    digest = hashlib.sha256(json.dumps([type(network).__name__, network.arguments], sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


class FeatureCache:
    """Features of one network for one data set, in a folder of its own; reading goes through a memory map.

    The folder's name is a digest of ``facts``: what the features depend on. Where a fact changes, the old folder is
    not looked at; it stays until somebody deletes it. Inside lie ``clips.npy``, float32 (all clips, D), video after
    video; ``videos.npy``, float32 (videos, D), their means (equation 2.3); and ``index.json``, written last, with the
    facts, the names, the number of clips of each and checksums. Features that are not there yet are computed in parts,
    each of which is written whole, so that an interrupted run loses little, and several processes share the work.

    What is damaged is computed anew: nothing but time is lost by that. A file of another size or checksum than
    ``index.json`` says, or features of another length than asked for, is reported in one line and removed; so are
    damaged parts.

    Args:
        root: folder of all caches; created.
        facts: what the features depend on, each as text.
        dim: D, length of the features.
    """

    def __init__(self, root: Path, facts: Mapping[str, str], dim: int) -> None:
        self.facts = dict(facts)
        self.dim = dim
        key = hashlib.sha256(json.dumps([FORMAT, self.facts], sort_keys=True).encode()).hexdigest()
        self.folder = root.expanduser() / key[:24]
        self._rows: dict[str, int] = {}
        self._starts = np.zeros(1, np.int64)
        self._clips = self._videos = np.zeros((0, dim), np.float32)

    @property
    def _index(self) -> Path:
        return self.folder / "index.json"

    def open(self, names: Sequence[str], check: bool = True) -> bool:
        """Open the cache, if it is complete.

        Args:
            names: of the videos that are needed.
            check: compare the checksum, which reads all features once.

        Returns:
            Whether it is open. What is damaged has been removed.
        """
        try:
            index: dict[str, Any] = json.loads(self._index.read_bytes())
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            return self._discard(f"its index cannot be read ({error})")
        if index.get("format") != FORMAT or index.get("facts") != self.facts:
            return self._discard("its index is of something else")
        if index["dim"] != self.dim:
            return self._discard(f"it holds features of length {index['dim']}, the network gives {self.dim}")
        counts = np.array(index["counts"], np.int64)
        arrays = {}
        for name, rows in (("clips", int(counts.sum())), ("videos", len(counts))):
            path = self.folder / f"{name}.npy"
            try:
                array = np.load(path, mmap_mode="r") if rows else np.load(path)
            except (OSError, ValueError) as error:
                return self._discard(f"{path.name} cannot be read ({error})")
            if array.shape != (rows, self.dim) or array.dtype != np.float32:
                return self._discard(f"{path.name} is {array.dtype} {array.shape}, not float32 {(rows, self.dim)}")
            if check and _checksum(array) != index["checksums"][name]:
                return self._discard(f"{path.name} is damaged (another checksum)")
            arrays[name] = array
        rows_of = {name: row for row, name in enumerate(index["names"])}
        absent = [name for name in names if name not in rows_of]
        if absent:
            return self._discard(f"{len(absent)} videos are not in it, such as {absent[0]}")
        self._rows, self._starts = rows_of, np.concatenate([[0], counts.cumsum()])
        self._clips, self._videos = arrays["clips"], arrays["videos"]
        return True

    def done(self) -> set[str]:
        """Names of the videos that earlier parts hold; damaged parts are removed."""
        return {name for part in self._parts() for name in part}

    def write_parts(self, videos: Iterable[VideoFeatures], report: Callable[[int], None] = lambda count: None) -> None:
        """Write features as they come.

        Args:
            videos: names and features.
            report: called with the number of videos after each.

        Raises:
            CacheError: features are of another length than D.
            OSError: a part cannot be written.
        """
        gathered: dict[str, np.ndarray] = {}
        for count, (name, clips) in enumerate(videos, start=1):
            if clips.ndim != 2 or clips.shape[1] != self.dim or not len(clips):
                raise CacheError(f"{name}: its features are {clips.shape}, not (clips, {self.dim})")
            gathered[name] = clips
            if len(gathered) == PART_VIDEOS:
                self._write_part(gathered)
                gathered = {}
            report(count)
        if gathered:
            self._write_part(gathered)

    def merge(self, names: Sequence[str]) -> list[str]:
        """Make the cache of all parts, once all are written; another run that does so at the same time is waited for.

        Args:
            names: of all videos, in the order to store them.

        Returns:
            Names of the videos that no part holds: they could not be read, and are cached as missing.

        Raises:
            OSError: the cache cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            if not self.open(names):
                self._merge(names)
            for path in self.folder.glob("part-*.npz"):
                path.unlink(missing_ok=True)
        self.open(names, check=False)
        return [name for name in names if not self.num_clips(name)]

    def _merge(self, names: Sequence[str]) -> None:
        counts = dict.fromkeys(names, 0)
        for part in self._parts():
            counts.update((name, len(clips)) for name, clips in part.items() if name in counts)
        starts = dict(zip(names, np.cumsum([0, *counts.values()]).tolist(), strict=False))
        rows = {name: row for row, name in enumerate(names)}
        with ExitStack() as stack:
            clips = stack.enter_context(_new_array(self.folder / "clips.npy", (sum(counts.values()), self.dim)))
            videos = stack.enter_context(_new_array(self.folder / "videos.npy", (len(counts), self.dim)))
            for part in self._parts():
                for name in part.keys() & counts.keys():
                    clips[starts[name] : starts[name] + counts[name]] = part[name]
                    videos[rows[name]] = part[name].mean(0, dtype=np.float64)
            checksums = {"clips": _checksum(clips), "videos": _checksum(videos)}
        index = {
            "format": FORMAT,
            "facts": self.facts,
            "dim": self.dim,
            "names": list(names),
            "counts": list(counts.values()),
            "checksums": checksums,
        }
        with _whole(self._index) as partial:
            partial.write_text(json.dumps(index))

    def num_clips(self, name: str) -> int:
        """Number of clips of a video; 0 where it could not be read."""
        row = self._rows[name]
        return int(self._starts[row + 1] - self._starts[row])

    def look_up(self, names: Sequence[str], clip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of clips and of their videos.

        Args:
            names: of B videos.
            clip: int64 (B, N), numbers of clips; below 0 for none.

        Returns:
            float32 (B, N, D) of the clips, zeros for none; float32 (B, D) of the videos; and bool (B,), whether the
            video could be read at all.

        Raises:
            CacheError: a video is not in the cache, or has fewer clips.
        """
        wanted = clip.cpu().numpy()
        clips = np.zeros((*wanted.shape, self.dim), np.float32)
        videos = np.zeros((len(names), self.dim), np.float32)
        known = np.zeros(len(names), bool)
        for place, name in enumerate(names):
            if name not in self._rows:
                raise CacheError(f"{name}: is not among the samples whose features are cached in {self.folder}")
            row, count = self._rows[name], self.num_clips(name)
            known[place] = count > 0
            if not count:
                continue
            if wanted[place].max(initial=-1) >= count:
                raise CacheError(
                    f"{name}: clip {wanted[place].max()} is asked for, and the teacher's video has {count} clips "
                    f"(counted from 0): the two modalities differ in length, leave the sample out"
                )
            videos[place] = self._videos[row]
            there = wanted[place] >= 0
            clips[place, there] = self._clips[self._starts[row] + wanted[place][there]]
        return torch.from_numpy(clips), torch.from_numpy(videos), torch.from_numpy(known)

    def _discard(self, reason: str) -> bool:
        _log.warning("%s: cached features are computed anew, as %s", self.folder, reason)
        for name in ("index.json", "clips.npy", "videos.npy"):
            (self.folder / name).unlink(missing_ok=True)
        return False

    def _parts(self) -> Iterator[dict[str, np.ndarray]]:
        for path in sorted(self.folder.glob("part-*.npz")):
            try:
                with np.load(path) as part:
                    names, counts, clips = part["names"].tolist(), part["counts"], part["clips"]
                if clips.shape != (counts.sum(), self.dim) or len(names) != len(counts):
                    raise ValueError(f"it holds {clips.shape}")
            except FileNotFoundError:
                continue  # another run has merged it
            except Exception as error:  # zipfile and zlib have errors of their own
                _log.warning("%s: is computed anew, as it cannot be read (%s)", path, error)
                path.unlink(missing_ok=True)
                continue
            yield dict(zip(names, np.split(clips, counts.cumsum()[:-1]), strict=True))

    def _write_part(self, features: Mapping[str, np.ndarray]) -> None:
        with _whole(self.folder / f"part-{uuid.uuid4().hex}.npz") as partial, partial.open("wb") as file:
            np.savez(
                file,
                names=np.array(list(features)),
                counts=np.array([len(clips) for clips in features.values()], np.int64),
                clips=np.concatenate(list(features.values())).astype(np.float32),
            )


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which gets its name when that went well, also if several processes do so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _new_array(path: Path, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Give a float32 array of zeros in a file to be filled; it is mapped, so that it may exceed the memory."""
    with _whole(path) as partial:
        if not shape[0]:  # nothing can be mapped
            with partial.open("wb") as file:
                np.save(file, np.zeros(shape, np.float32))
            yield np.zeros(shape, np.float32)
            return
        array = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
        yield array
        array.flush()


def _checksum(array: np.ndarray) -> int:
    checksum = 0
    for start in range(0, len(array), 4096):
        checksum = zlib.crc32(array[start : start + 4096].tobytes(), checksum)
    return checksum
