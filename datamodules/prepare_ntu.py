"""From a folder of ``.skeleton`` files to one array: parallel, resumable, whole or not at all."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from pytorch_lightning.utilities import rank_zero_info
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from datamodules.ntu_protocol import missing_skeletons, parse_name
from datamodules.readers.skeleton import NUM_JOINTS, read_ntu
from datamodules.sample_datamodule import START_METHOD
from datamodules.skeleton_dataset import ARRAY_FILE, COLUMNS, FRAMES_FILE, INDEX_FILE, Listed, is_cache, read_index
from datamodules.transforms.skeleton import NUM_ACTORS, NUM_FRAMES, preprocess

Bodies = Literal["listed", "tracked"]
Task = TypeVar("Task")
Result = TypeVar("Result")

SUFFIX = ".skeleton"
SETTINGS_FILE = "settings.json"
BROKEN_FILE = "broken.txt"
# Of the files of a cache and of what is in them: another number, another cache.
VERSION = 1

SEQUENCE_SHAPE = (3, NUM_FRAMES, NUM_JOINTS, NUM_ACTORS)
_ROW_BYTES = 4 * int(np.prod(SEQUENCE_SHAPE))
_TO_DO, _BROKEN = -1, 0
_FILES_PER_TASK = 16
_LARGE_BLOCK = 16 << 20  # bytes; glibc itself takes at most 32 MiB for such a measure
_TASKS_AHEAD = 4
_SECONDS_BETWEEN_UPDATES = 0.25


class Recordings(NamedTuple):
    """What is in a folder of NTU RGB+D.

    Attributes:
        files: path of each sample below the folder, by name, in order of the names.
        sizes: of the files in bytes, in the same order.
        misnamed: path and what is wrong, of files whose names tell no sample.
        left_out: number of samples that the authors list as without usable skeletons.
    """

    files: dict[str, str]
    sizes: list[int]
    misnamed: dict[str, str]
    left_out: int


class Prepared(NamedTuple):
    """What came of preparing a folder.

    Attributes:
        folder: of the cache.
        samples: number of usable ones.
        broken: what is wrong with each broken file.
        left_out: as in ``Recordings``.
        read: number of files that were read this time.
    """

    folder: Path
    samples: int
    broken: list[str]
    left_out: int
    read: int

    def __str__(self) -> str:
        """Return one line for the user."""
        line = f"{self.samples:,} samples in {self.folder}"
        if self.left_out:
            line += f", {self.left_out} without usable skeletons left out (official list)"
        if self.broken:
            line += f"; {len(self.broken):,} broken files, such as {self.broken[0]}"
            line += f" (all in {self.folder / BROKEN_FILE})"
        return line


def find_recordings(root: Path) -> Recordings:
    """List the ``.skeleton`` files in a folder and below it; hidden ones are left out.

    Raises:
        ValueError: the folder is missing, holds no such file, or holds a sample twice.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the folder that holds the {SUFFIX} files")
    unusable = missing_skeletons("ntu120")
    found: dict[str, str] = {}
    misnamed: dict[str, str] = {}
    left_out = 0
    visited: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable or leave it out")

    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:  # by a link
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not name.lower().endswith(SUFFIX):
                continue
            stem, path = name[: -len(SUFFIX)], os.path.relpath(os.path.join(folder, name), root)
            try:
                parse_name(stem)
            except ValueError as error:
                misnamed[path] = f"{root / path}:1: {error}"
                continue
            if stem in found:
                raise ValueError(f"{root / path}: is also at {found[stem]}; keep one of the two")
            if stem in unusable:
                left_out += 1
            else:
                found[stem] = path
    if not found:
        raise ValueError(f"{root}: holds no {SUFFIX} files of NTU RGB+D; give the folder that they were unpacked to")
    files = dict(sorted(found.items()))
    return Recordings(files, [file_size(root / path) for path in files.values()], misnamed, left_out)


def file_size(path: Path) -> int:
    """Return the bytes of a file, -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1  # a link that leads nowhere: broken when it is read


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def settings(recordings: Recordings, bodies: Bodies) -> dict[str, Any]:
    """Return what decides the content of a cache, in plain JSON types."""
    return {
        "version": VERSION,
        "bodies": bodies,
        "files": list(recordings.files.values()),
        "sizes": recordings.sizes,
        "misnamed": list(recordings.misnamed.values()),
        "left_out": recordings.left_out,
    }


def prepare(
    root: str | Path, out: str | Path, workers: int | None = None, bodies: Bodies = "listed", progress: bool = True
) -> Prepared:
    """Preprocess a folder of ``.skeleton`` files into a cache that ``NTUSkeletonDataModule`` reads.

    Work goes on in ``<out>.part``, which gets the name ``out`` when all is done. A run that is stopped, however, goes
    on where it was when it is started again. A second run at the same time waits for the first.

    Args:
        root: as of ``find_recordings``.
        out: folder to make. It holds ``skeletons.npy``, float32 (N, 3, 300, 25, 2); ``num_frames.npy``, int64 (N,), 0
            where the file is broken; ``index.csv``; ``broken.txt``, what is wrong with each broken file.
        workers: processes; as many as there are cores when None.
        bodies: ``listed`` takes a body's place within the frame for its identity, as the published code does;
            ``tracked`` goes by the sensor's body IDs.
        progress: whether to draw a bar on stderr.

    Raises:
        ValueError: as of ``find_recordings``; all files are broken; ``out`` is something else, or cannot be written.
    """
    root, out = Path(root).expanduser(), Path(out).expanduser()
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers} must be at least 1")
    if workers is None:
        workers = available_cores()
    recordings = find_recordings(root)
    wanted = settings(recordings, bodies)
    part = out.with_name(f"{out.name}.part")
    try:
        done = finished(out, wanted)
        if done is not None:
            return done
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(part):
            done = finished(out, wanted)
            if done is not None:
                part.rmdir()
                return done
            job = _Job(root, part, recordings, bodies, wanted)
            read = job.run(workers, progress)
            job.finish()
            part.rename(out)
    except OSError as error:
        raise ValueError(f"{out}: cannot be written ({error.strerror}); make room for it, or give another") from error
    made = finished(out, wanted)
    assert made is not None
    return made._replace(read=read)


def finished(out: Path, wanted: dict[str, Any]) -> Prepared | None:
    """Return what an earlier run made; None where there is nothing.

    Args:
        out: folder of the cache.
        wanted: settings that it has to have been made with.

    Raises:
        ValueError: there is something else.
    """
    if not made_before(out, wanted, is_cache):
        return None
    samples = sum(sample.frames > 0 for sample in read_index(out))
    return Prepared(out, samples, (out / BROKEN_FILE).read_text().splitlines(), wanted["left_out"], 0)


def made_before(out: Path, wanted: dict[str, Any], is_made: Callable[[Path], bool]) -> bool:
    """Tell whether a folder was made with some settings; False where there is nothing.

    Args:
        out: the folder.
        wanted: in plain JSON types.
        is_made: tells whether a folder holds what it has to.

    Raises:
        ValueError: there is something else, or it was made with other settings.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    file = out / SETTINGS_FILE
    if not is_made(out) or not file.is_file():
        raise ValueError(f"{out}: is there and is no folder of prepared skeletons; remove it, or give another")
    if _read_settings(file) != wanted:
        raise ValueError(
            f"{out}: was prepared from other files or in another way; remove it to prepare it again, or give another"
        )
    return True


def _read_settings(file: Path) -> object:
    """Return what a run wrote down; None where it did not, or not to the end."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def locked(part: Path) -> Iterator[None]:
    """Make a folder, and hold it alone: a lock ends with its process."""
    import fcntl

    while True:
        part.mkdir(exist_ok=True)
        try:
            handle = os.open(part, os.O_RDONLY)
        except FileNotFoundError:
            continue  # finished just now
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(os.fstat(handle), os.stat(part))
            except FileNotFoundError:
                same = False  # it was finished, and has another name by now
            if same:
                yield
                return
        finally:
            os.close(handle)


class _Job:
    """One folder being prepared; ``done.npy`` says of each row whether it is to do, broken, or how long it is."""

    def __init__(self, root: Path, part: Path, recordings: Recordings, bodies: Bodies, wanted: dict[str, Any]) -> None:
        self.root, self.part, self.bodies = root, part, bodies
        self.names, self.paths = list(recordings.files), list(recordings.files.values())
        self.misnamed = list(recordings.misnamed.values())
        self.done_file = part / "done.npy"
        file = part / SETTINGS_FILE
        if _read_settings(file) != wanted:
            for name in os.listdir(part):
                (part / name).unlink()
            shape = (len(self.names), *SEQUENCE_SHAPE)
            np.lib.format.open_memmap(part / ARRAY_FILE, "w+", np.float32, shape)
            np.save(self.done_file, np.full(len(self.names), _TO_DO, np.int64))
            (part / BROKEN_FILE).touch()
            # Last: without it nothing of the above counts.
            file.write_text(json.dumps(wanted))
        self.offset = (part / ARRAY_FILE).stat().st_size - len(self.names) * _ROW_BYTES
        self.done: np.ndarray = np.load(self.done_file, mmap_mode="r+")

    def run(self, workers: int, progress: bool) -> int:
        """Read all files that are to do.

        Returns:
            How many there were.
        """
        rows = np.flatnonzero(self.done == _TO_DO).tolist()
        tasks = [rows[start : start + _FILES_PER_TASK] for start in range(0, len(rows), _FILES_PER_TASK)]
        work = partial(_read_rows, str(self.root), self.paths, self.bodies, str(self.part / ARRAY_FILE), self.offset)
        # Without a thread of its own: workers are forked after it has started.
        with progress_bar(progress and len(rows) > 0) as bar:
            task = bar.add_task(f"{self.root.name}", total=len(self.names), completed=len(self.names) - len(rows))
            results = map(work, tasks) if workers == 1 or len(tasks) < 2 else in_parallel(work, tasks, workers)
            self._take(results, bar, task)
        return len(rows)

    def _take(self, results: Iterator[list["_Row"]], bar: Progress, task: TaskID) -> None:
        updated = time.monotonic()
        with (self.part / ARRAY_FILE).open("rb") as sequences, (self.part / BROKEN_FILE).open("a") as broken:
            for rows in results:
                broken.write("".join(f"{row.broken}\n" for row in rows if row.broken))
                broken.flush()
                # A row that is said to be done has to be there after a power cut, too.
                os.fsync(sequences.fileno())
                for row in rows:
                    self.done[row.row] = row.frames
                bar.advance(task, len(rows))
                if time.monotonic() - updated > _SECONDS_BETWEEN_UPDATES:
                    bar.refresh()
                    updated = time.monotonic()

    def finish(self) -> None:
        """Write the index, and check that there is something in it."""
        file = self.part / BROKEN_FILE
        lines = self.misnamed + list(dict.fromkeys(file.read_text().splitlines()))
        if not self.done.any():
            raise ValueError(f"{self.root}: all {len(self.names):,} {SUFFIX} files are broken, such as {lines[-1]}")
        rows = enumerate(zip(self.names, self.done.tolist(), strict=True))
        write_index(self.part, [listed(row, name, frames) for row, (name, frames) in rows])
        file.write_text("".join(f"{line}\n" for line in lines))
        self.done_file.unlink()


def write_index(folder: Path, samples: list[Listed]) -> None:
    """Write ``index.csv`` and ``num_frames.npy``, as ``read_index`` wants them; rows are in order."""
    lines = [",".join(COLUMNS), *(",".join(map(str, sample[1:])) for sample in samples)]
    (folder / INDEX_FILE).write_text("\n".join(lines) + "\n")
    np.save(folder / FRAMES_FILE, np.array([sample.frames for sample in samples], np.int64))


def listed(row: int, name: str, frames: int = 0) -> Listed:
    """Return the line of the index that a name of NTU RGB+D gives."""
    of = parse_name(name)
    return Listed(row, name, of.subject, of.camera, of.setup, of.action, frames)


class _Row(NamedTuple):
    row: int
    frames: int
    broken: str | None


def _read_rows(root: str, paths: list[str], bodies: Bodies, array: str, offset: int, rows: list[int]) -> list[_Row]:
    """Read some of the files, and write them to their rows."""
    keep_freed_memory()
    results = []
    handle = os.open(array, os.O_WRONLY)
    try:
        for row in rows:
            path = os.path.join(root, paths[row])
            try:
                recording = read_ntu(path).first(NUM_FRAMES)
                try:
                    sequence, frames = preprocess(
                        recording.tracked() if bodies == "tracked" else recording.listed(), NUM_FRAMES
                    )
                except ValueError as error:
                    raise ValueError(f"{path}:1: {error}; leave the file out") from error
            except ValueError as error:
                results.append(_Row(row, _BROKEN, str(error)))
                continue
            # Not through a map: a full disk is then an error, not the end of the process.
            data, place = sequence.tobytes(), offset + row * _ROW_BYTES
            while data:
                written = os.pwrite(handle, data, place)
                data, place = data[written:], place + written
            results.append(_Row(row, frames, None))
    finally:
        os.close(handle)
    return results


def keep_freed_memory() -> None:
    """Let the C library keep small blocks that are freed, for the next file.

    glibc takes the largest block that was ever freed for the measure of what it gives back to the system. Without such
    a block each file's arrays are entered page by page anew, which takes longer than reading the file.
    """
    np.empty(_LARGE_BLOCK, np.uint8)


def in_parallel(work: Callable[[Task], Result], tasks: list[Task], workers: int) -> Iterator[Result]:
    """Do tasks in processes of their own.

    Args:
        work: what to do with a task.
        tasks: which there are.
        workers: number of processes.

    Yields:
        What came of each task, in the order in which they are done.

    Raises:
        ValueError: a process was killed.
    """
    context = multiprocessing.get_context(START_METHOD)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (os.getpid(), work))
    pending: set[Future[Result]] = set()
    waiting = iter(tasks)
    try:
        for task in waiting:
            pending.add(pool.submit(_do, task))
            if len(pending) >= _TASKS_AHEAD * workers:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker was killed, perhaps for want of memory; run the same again with fewer workers to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_work: Callable[[Any], Any]


def _do(task: Task) -> Any:  # noqa: ANN401 - whatever the work gives
    return _work(task)


def _start_worker(parent: int, work: Callable[[Any], Any]) -> None:
    """Leave Ctrl-C to the main process, and end with it: a killed one cannot tell its workers."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def progress_bar(visible: bool) -> Progress:
    """Return a bar on stderr that is drawn when it is told to, by no thread of its own."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        disable=not visible,
    )


def prepare_aside(root: Path, cache: Path, bodies: Bodies) -> None:
    """Prepare a folder on the first use of its files, as ``prepare``, and say so."""
    if not cache.exists():
        rank_zero_info(f"{root}: holds {SUFFIX} files; they are preprocessed once, into {cache}")
    rank_zero_info(str(prepare(root, cache, bodies=bodies)))
