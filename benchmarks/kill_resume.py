"""Does a run that ``kill -9`` ended go on as if nothing had happened? Kills at random moments, compares the ends.

``python -m benchmarks.kill_resume [--processes 1 2] [--kills 20] [--seed 0]`` trains embedded tubelet contrast (a
queue, two loading workers, two accumulated batches a step, validation in mid-epoch) undisturbed, then once more for
each kill: the run is killed at a moment drawn at random within a step, a validation or the writing of a checkpoint, the
same command is given again, and everything in the last and the best checkpoint is compared bit by bit, as are the
tables of logged numbers. After some of the kills ``last.ckpt`` is torn by hand, as by a failing disk. On two processes
(gloo) both are killed, or one, whose death the other has to notice.

The command runs in forked processes that have imported everything; checkpoints are written slowly, so that kills hit
every part of the writing.
"""

import argparse
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
import torch._dynamo  # the optimizer imports it at its first step
import torch.utils.tensorboard  # before the fork, once, as all else
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

import cli
import configs.command  # noqa: F401
from benchmarks.record import record
from callbacks.checkpoints import LAST, PREVIOUS, problem_of, step_of

PIPE = "KILL_RESUME_PIPE"
ARGUMENTS = """fit --config tubelet.yaml --run_dir run --trainer.accelerator cpu --trainer.max_epochs 2
--trainer.accumulate_grad_batches 2 --trainer.check_val_every_n_epoch 1 --trainer.val_check_interval 0.5
--trainer.log_every_n_steps 1 --trainer.enable_progress_bar false --trainer.enable_model_summary false
--trainer.callbacks benchmarks.kill_resume.Moments --checkpoint.every_n_train_steps 2 --checkpoint.monitor val/loss
--checkpoint.mode min --model.queue_size 40 --data.train_videos 96 --data.val_videos 24
--data.global_batch_size 16 --data.eval_batch_size 8 --data.num_workers 2""".split()
EQUAL = "equal"
KINDS = ("step", "checkpoint", "validation")
SECONDS_TO_NOTICE = 120.0


class Moments(Callback):
    """Tells the parent when a step, a batch of validation or a checkpoint begins, and on which step."""

    def _tell(self, trainer: Trainer, kind: str) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking:
            os.write(int(os.environ[PIPE]), f"{kind} {trainer.global_step}\n".encode())

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """A training batch has come."""
        self._tell(trainer, "step")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A batch of validation has come."""
        self._tell(trainer, "validation")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written."""
        self._tell(trainer, "checkpoint")


class SlowFile:
    """A file that is written a little at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, data: memoryview) -> None:
        """Write."""
        share = len(data) // 32 + 1
        for start in range(0, len(data), share):
            self.file.write(data[start : start + share])
            self.file.flush()
            time.sleep(0.003)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the file has
        """Do all else as the file does."""
        return getattr(self.file, name)

    def __enter__(self) -> "SlowFile":
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.file.close()


def write_slowly() -> None:
    """Let this process write checkpoints a little at a time, with pauses about the renamings."""
    open_file, replace = Path.open, os.replace

    def slow_open(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        file = open_file(path, mode, *arguments, **options)
        return SlowFile(file) if mode == "wb" and path.name.endswith(".ckpt.part") else file

    def slow_replace(source: Path, target: Path) -> None:
        if str(target).endswith(".ckpt"):
            time.sleep(0.02)
        replace(source, target)
        if str(target).endswith(".ckpt"):
            time.sleep(0.02)

    Path.open, os.replace = slow_open, slow_replace  # type: ignore[method-assign, assignment]


class Event(NamedTuple):
    """Something that ``Moments`` told.

    Attributes:
        kind: step, validation or checkpoint.
        step: optimizer steps done.
        time: in seconds, of ``time.monotonic``.
    """

    kind: str
    step: int
    time: float


class Run:
    """``lightning fit`` on one or two processes.

    Args:
        folder: working directory.
        cache: folder of the embedded videos.
        processes: how many.
    """

    def __init__(self, folder: Path, cache: Path, processes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.reading, writing = os.pipe()
        arguments = [*ARGUMENTS, "--data.cache", str(cache), "--trainer.devices", str(processes)]
        if processes > 1:
            arguments += ["--trainer.strategy", "ddp"]
        self.pids: list[int] = []
        for rank in range(processes):
            environment = {PIPE: str(writing)}
            if processes > 1:
                environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                environment |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(processes)}
            pid = os.fork()
            if not pid:
                self._work(arguments, environment, rank)
            self.pids.append(pid)
        os.close(writing)
        self.codes: dict[int, int] = {}

    def _work(self, arguments: list[str], environment: dict[str, str], rank: int) -> None:
        code = 1
        try:
            os.chdir(self.folder)
            log = os.open(f"rank{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ |= environment
            rank_zero_only.rank = rank
            write_slowly()
            code = cli.main(arguments)
        finally:
            os._exit(code)

    def events(self) -> Iterator[Event]:
        """What happens, until the last process ends."""
        rest = b""
        while len(self.codes) < len(self.pids):
            self._reap()
            if not select.select([self.reading], [], [], 0.05)[0]:
                continue
            data = os.read(self.reading, 65536)
            *lines, rest = (rest + data).split(b"\n")
            now = time.monotonic()
            for line in lines:
                kind, step = line.decode().split()
                yield Event(kind, int(step), now)
            if not data:
                time.sleep(0.05)

    def _reap(self) -> None:
        for pid in self.pids:
            if pid not in self.codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    self.codes[pid] = os.waitstatus_to_exitcode(status)

    def kill(self, ranks: list[int]) -> float:
        """Kill some processes, wait until all are gone.

        Returns:
            Seconds until the others had ended by themselves.
        """
        for rank in ranks:
            os.kill(self.pids[rank], signal.SIGKILL)
        start = time.monotonic()
        while len(self.codes) < len(self.pids):
            self._reap()
            time.sleep(0.02)
            if time.monotonic() - start > SECONDS_TO_NOTICE:
                for pid in set(self.pids) - self.codes.keys():
                    os.kill(pid, signal.SIGKILL)
        os.close(self.reading)
        return time.monotonic() - start

    def finish(self) -> list[Event]:
        """Let it come to its end.

        Raises:
            RuntimeError: it failed.
        """
        events = list(self.events())
        os.close(self.reading)
        if set(self.codes.values()) != {0}:
            raise RuntimeError(f"exit codes {list(self.codes.values())}, see {self.folder}/rank0.log")
        return events


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401 - any value of a checkpoint
    """Where two checkpoints differ, tensors bit by bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        if not same or one.numpy().tobytes() != other.numpy().tobytes():
            yield place
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            yield from differences(one.get(key), other.get(key), f"{place}/{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}/{number}")
    elif one != other:
        yield f"{place} ({one} and {other})"


def end_of(folder: Path) -> dict[str, Any]:
    """Everything that a run ended with: its checkpoints and its table, without the name of the folder.

    Nor with ``current_score``, which Lightning's ``ModelCheckpoint`` writes and never reads.
    """

    def without_folder(value: Any) -> Any:  # noqa: ANN401 - any value of a checkpoint
        if isinstance(value, dict):
            return {without_folder(key): without_folder(value[key]) for key in value if key != "current_score"}
        if isinstance(value, list | tuple):
            return [without_folder(part) for part in value]
        return value.replace(str(folder), "") if isinstance(value, str) else value

    names = (LAST, "best.ckpt")
    found = {name: torch.load(folder / "run" / "checkpoints" / name, weights_only=True) for name in names}
    table = (folder / "run" / "logs" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    return {**without_folder(found), "metrics": table}


def found_in(folder: Path) -> str:
    """What a killed run left: steps of its checkpoints, and files that were being written."""
    words = []
    for name in (LAST, PREVIOUS):
        path = folder / name
        problem = problem_of(path)
        if problem is None:
            words.append(f"{path.stem} {step_of(path)}")
        elif path.exists():
            words.append(f"{path.stem} torn")
    for path in sorted(folder.glob("*.part")):
        problem = problem_of(path)
        words.append(f"{'whole' if problem is None else 'half a'} `{path.name}`")
    return ", ".join(words) or "no checkpoint"


def tear(path: Path, draw: random.Random) -> str:
    """Damage a file as a failing disk does: cut it off, or zero a part of it."""
    data = bytearray(path.read_bytes())
    at = draw.randrange(len(data) // 10, len(data) * 9 // 10)
    if draw.random() < 0.5:
        path.write_bytes(data[:at])
        return f"cut to {at / len(data):.0%}"
    length = min(65536, len(data) - at)
    data[at : at + length] = bytes(length)
    path.write_bytes(data)
    return f"64 KiB zeroed at {at / len(data):.0%}"


def measure(work: Path, processes: int, kills: int, seed: int) -> list[dict[str, object]]:
    """Train undisturbed, then with a kill each; returns a row a kill."""
    draw = random.Random(f"{seed} {processes}")
    cache = work / "videos"
    reference = Run(work / f"whole{processes}", cache, processes).finish()
    whole = end_of(work / f"whole{processes}")
    by_kind = {kind: [event for event in reference if event.kind == kind] for kind in KINDS}
    following = {first: second.time - first.time for first, second in pairwise(reference)}
    rows = []
    for number in range(kills):
        kind = KINDS[number % len(KINDS)]
        target = draw.randrange(len(by_kind[kind]))
        delay = draw.random() * following.get(by_kind[kind][target], 0.1)
        victims = draw.choice([[0, 1], [0], [1]]) if processes > 1 else [0]
        folder = work / f"kill{processes}_{number}"
        run = Run(folder, cache, processes)
        seen = Counter[str]()
        for event in run.events():
            seen[event.kind] += 1
            if event.kind == kind and seen[kind] == target + 1:
                break
        time.sleep(delay)
        noticed = run.kill(victims)
        checkpoints = folder / "run" / "checkpoints"
        found = found_in(checkpoints)
        is_torn = number % 5 == 4 and (checkpoints / PREVIOUS).exists()
        if is_torn:
            found += f"; `{LAST}` then {tear(checkpoints / LAST, draw)}"
        Run(folder, cache, processes).finish()
        log = (folder / "rank0.log").read_text(encoding="utf-8")
        origins = [line.partition("going on from ")[2] for line in log.splitlines() if "going on from " in line]
        warned = sum("is torn" in line for line in log.splitlines())
        wrong = list(differences(whole, end_of(folder)))
        row = {
            "kill": number + 1,
            "within": kind,
            "step": event.step,
            "after ms": round(1000 * delay),
            "killed": "all" if len(victims) == processes else f"rank {victims[0]}",
            **({"noticed after s": round(noticed, 1) if len(victims) < processes else None} if processes > 1 else {}),
            "left behind (steps)": found,
            "went on from": Path(origins[-1]).name.replace(".ckpt, step", "") if origins else "start",
            "end": "; ".join(wrong[:5]) or EQUAL,
        }
        rows.append(row)
        print(row, flush=True)
        if is_torn and warned != 1:
            raise RuntimeError(f"{warned} warnings of a torn checkpoint, see {folder}/rank0.log")
        if not wrong:
            shutil.rmtree(folder)
    return rows


def main() -> None:
    """Kills and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for the runs; those that differ are left there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = {}
    with tempfile.TemporaryDirectory() as scratch:
        for processes in arguments.processes:
            title = f"{processes} process{'es' if processes > 1 else ''}"
            tables[title] = measure(arguments.work or Path(scratch), processes, arguments.kills, arguments.seed)
    ends = [row["end"] for rows in tables.values() for row in rows]
    wrong = len(ends) - ends.count(EQUAL)
    print(f"{len(ends)} kills, {len(ends) - wrong} ends equal, {wrong} not")
    record("kill_resume", tables, seed=arguments.seed)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
