"""``lightning severe``: every setting with every seed, each a job in a folder of its own."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import configs
from callbacks.run_lock import HeldError, RunLock, holder
from callbacks.run_summary import missing_end
from configs import ConfigError
from configs.child import STOPPED, Child
from configs.severe_benchmark.results import (
    RESULT,
    Identity,
    config_digest,
    read_result,
    state,
    write_result,
)
from configs.severe_benchmark.settings import Setting
from lightning_modules.weights.catalogue import CATALOGUE, locate
from lightning_modules.weights.files import read_weights_file
from lightning_modules.weights.importers.load import IMPORTERS
from lightning_modules.weights.importers.tclr import TCLR

LOCK = "lock"
TCLR_ARGUMENTS = ("--model.network.dilated_last_stage=true", "--model.mean=[0,0,0]", "--model.std=[1,1,1]")
"""Its own last stage, fed in 0..1 by fmthoker/SEVERE-BENCHMARK; all others with ImageNet's statistics."""


@dataclass(frozen=True)
class Weights:
    """Weights to evaluate.

    Attributes:
        source: path or catalogue name; None for a network from scratch.
        sha256: of the file.
        name: in tables and folders.
        arguments: of ``lightning fit`` that the published code runs these weights with.
        data: that they were trained on; empty where unknown.
    """

    source: str | None
    sha256: str | None
    name: str
    arguments: tuple[str, ...] = ()
    data: str = ""


@dataclass(frozen=True)
class Job:
    """A setting with a seed.

    Attributes:
        number: from 0, over all settings, also those without data: the same on every host.
        setting: what is run.
        seed: of everything random.
        folder: of the run and its result.
    """

    number: int
    setting: Setting
    seed: int
    folder: Path

    def __str__(self) -> str:
        """Name it in messages."""
        return f"job {self.number} ({self.setting.name}, seed {self.seed})"


class Severe:
    """Runs jobs: ``lightning fit`` and ``lightning test`` of a setting's config, in ``OUT/NAME/FAMILY/SETTING/seed_S``.

    A finished job is left alone and one that was stopped or killed goes on from its last checkpoint, so that the same
    command completes what an earlier one began. A job is run by one process at a time, see ``RunLock``. Its folder
    belongs to the weights (by SHA-256) and the config that it was begun with; others are refused. When a setting's data
    are missing or one of its jobs fails, the other settings are run all the same.

    Args:
        weights: what is evaluated.
        settings: what on.
        family: of the settings: the folder of their configs.
        seeds: how many: 0, 1, ...
        out: folder of all results.
        roots: where the data are, see ``read_roots``.
        arguments: further ones of ``lightning fit``, such as ``--trainer.devices 8``.

    Raises:
        ConfigError: ``seeds`` is below 1, or the name cannot be that of a folder.
    """

    def __init__(
        self,
        weights: Weights,
        settings: list[Setting],
        family: str,
        seeds: int,
        out: Path,
        roots: dict[str, dict[str, str]],
        arguments: list[str],
    ) -> None:
        if seeds < 1:
            raise ConfigError(f"--seeds {seeds} must be at least 1")
        if weights.name in ("", ".", "..") or "/" in weights.name:
            raise ConfigError(f"--name '{weights.name}' cannot be the name of a folder")
        self.weights, self.family, self.roots, self.arguments = weights, family, roots, arguments
        folder = out / weights.name / family
        pairs = [(setting, seed) for setting in settings for seed in range(seeds)]
        self.jobs = [
            Job(number, setting, seed, folder / setting.name / f"seed_{seed}")
            for number, (setting, seed) in enumerate(pairs)
        ]
        self.child = Child()

    def choose(self, only: str | None, number: int | None) -> list[Job]:
        """Choose jobs.

        Args:
            only: ``SETTING:SEED`` or ``SETTING``.
            number: of a job.

        Raises:
            ConfigError: there is no such job.
        """
        jobs = self.jobs
        if number is not None:
            if not 0 <= number < len(jobs):
                raise ConfigError(f"--job {number}: the jobs are 0 to {len(jobs) - 1}; --list prints them")
            jobs = [jobs[number]]
        if only is not None:
            name, _, seed = only.partition(":")
            jobs = [job for job in jobs if job.setting.name == name and seed in ("", str(job.seed))]
            if not jobs:
                raise ConfigError(f"--only {only}: no such job; --list prints them")
        return jobs

    def listing(self, jobs: list[Job]) -> str:
        """A line for each job: number, setting, seed, how far it is, and where; or what is missing."""
        width = max(len(job.setting.name) for job in jobs)
        lines = []
        for job in jobs:
            done = state(job.folder)
            missing = job.setting.missing(self.roots) if done != "finished" else ""
            held = holder(job.folder / LOCK) if done != "finished" else ""
            words = missing or done + (f", taken by {held}" if held else "")
            lines.append(f"{job.number:>4}  {job.setting.name:<{width}}  seed {job.seed}  {words}  ({job.folder})")
        return "\n".join(lines)

    def run(self, jobs: list[Job], all_needed: bool = False) -> int:
        """Run what is not finished.

        Args:
            jobs: to run.
            all_needed: whether those without data were asked for, too.

        Returns:
            Exit code of ``lightning``: 0 when all jobs that have data have results, and some have.
        """
        absent = {job.setting.name: job.setting.missing(self.roots) for job in jobs}
        for line in filter(None, absent.values()):
            print(f"left out, {line}", file=sys.stderr, flush=True)
        failed: dict[str, str] = {}
        done: set[int] = set()
        for job in jobs:
            name = job.setting.name
            if absent[name] or name in failed:
                continue
            try:
                with RunLock(job.folder / LOCK) as lock:
                    failure = self._run(job, lock)
            except HeldError as held:
                print(f"{job}: being run by {held}; left alone", file=sys.stderr, flush=True)
                continue
            except (ValueError, OSError) as error:
                failure = str(error)
            if self.child.signum is not None:
                print(f"stopped in {job}; the same command goes on", file=sys.stderr)
                return 128 + self.child.signum
            if not failure:
                done.add(job.number)
            else:
                failed[name] = failure
                print(f"lightning: error: {job}: {failure}", file=sys.stderr, flush=True)
        needed = [job for job in jobs if all_needed or not absent[job.setting.name]] or jobs
        without = [str(job) for job in needed if job.number not in done]
        if without:
            more = f", and {len(without) - 5} more" if len(without) > 5 else ""
            print(f"not done: {', '.join(without[:5])}{more}; the same command goes on", file=sys.stderr)
        return 1 if without else 0

    def _run(self, job: Job, lock: RunLock) -> str:
        """Run a job that this process holds; returns what went wrong, if anything did.

        Raises:
            ValueError: the folder belongs to other weights or another config, or the test logged nothing.
            OSError: a file cannot be written.
        """
        arguments = [*self.weights.arguments, *self.arguments]
        if job.setting.samples is not None:
            arguments.append(f"--data.samples={job.setting.samples}")
        digest = config_digest(job.setting.values, arguments)
        identity = Identity(
            self.weights.name,
            self.weights.sha256,
            self.family,
            job.setting.name,
            job.seed,
            digest,
            tuple(arguments),
        )
        identity.keep(job.folder)
        if (done := read_result(job.folder / RESULT)) is not None:
            if done.identity != identity:
                raise ValueError(f"{done.path}: is of another job than {job.folder / 'job.json'}; move it away")
            print(f"{job}: finished before, in {job.folder}", flush=True)
            return ""
        paths = job.setting.paths(self.roots)
        weights = "null" if self.weights.source is None else self.weights.source
        command = [f"--config={job.setting.config}", f"--model.weights={weights}", f"--seed_everything={job.seed}"]
        command += [f"--data.{key}={Path(path).expanduser()}" for key, path in paths.items()]
        command += [*arguments, f"--run_dir={job.folder}"]
        for subcommand in ("fit", "test"):
            if subcommand == "fit" and (job.folder / "versions.json").is_file() and not missing_end(job.folder):
                continue
            print(f"{job}: {subcommand}, in {job.folder}", flush=True)
            code = self.child.run([subcommand, *command], keep_open=(lock.file,))
            if code:
                self.child.signum = self.child.signum or (code - 128 if code in STOPPED else None)
                return f"{subcommand} ended with {code}; mend it and give the same command again"
        if reason := missing_end(job.folder):
            return f"{reason}, though its process ended well; fast_dev_run keeps no run"
        result = write_result(job.folder, identity, self.weights.source, self.weights.data, paths)
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in sorted(result.metrics.items()))
        print(f"{job}: {numbers}", flush=True)
        return ""


def read_weights(source: str, name: str | None) -> Weights:
    """Find weights, and look whether they are whole.

    Args:
        source: a file, a name of the catalogue, or ``none``.
        name: what to call them; by default after the file, or after the run whose checkpoint it is.

    Raises:
        ValueError: there are none, or the file is no weights file.
    """
    if source == "none":
        return Weights(None, None, name or "none", data="none")
    path = locate(source)
    file = read_weights_file(path)
    importer = next((one for one in IMPORTERS if one.recognises(file.tensors, file.header is not None)), None)
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if name is None:
        catalogued = not Path(source).expanduser().exists()
        # runs/tubelet/checkpoints/last.ckpt: all runs' files are called so
        of_run = path.parent.name == "checkpoints" and path.absolute().parent.parent.name
        name = source.replace("/", "_") if catalogued else of_run or path.stem
    entry = None if Path(source).expanduser().exists() else CATALOGUE.get(source)
    data = entry.data.partition(":")[0] if entry is not None else "" if file.header is None else file.header["data"]
    return Weights(str(path), digest, name, TCLR_ARGUMENTS if importer is TCLR else (), data.removesuffix("DataModule"))


def folder_of(family: str) -> Path:
    """Folder of the shipped settings of a family."""
    return configs.FOLDER / family
