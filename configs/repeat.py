"""The same fit with several seeds, one after the other: each in a process and a run folder of its own."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

import configs
from callbacks.run_folder import write_whole
from callbacks.run_summary import missing_end
from configs import Config, ConfigError
from configs.child import STOPPED, Child

RECORD = "repeat.json"


class Repeat:
    """``lightning repeat --seeds N fit ...``: seeds S, S + 1, ..., in ``RUN/seed_S``, where S is the config's.

    A finished seed is left alone and a stopped one goes on, so that the same command completes what an earlier one
    began. What was run is kept in ``RUN/repeat.json``, and another config or argument is refused: a mean is over runs
    that differ in nothing but the seed.

    Args:
        names: of the configs.
        arguments: the other arguments of ``lightning fit``.
        seeds: how many.

    Raises:
        ConfigError: a config is missing or unreadable, an argument is not for repeated runs, or there is nothing to
            name the folder after.
    """

    def __init__(self, names: list[str], arguments: list[str], seeds: int) -> None:
        if seeds < 1:
            raise ConfigError(f"--seeds {seeds} must be at least 1")
        chains = [configs.chain(name) for name in names]
        checkpoint, rest = configs.take(arguments, "--ckpt_path")
        if checkpoint is not None:
            raise ConfigError("repeat takes no --ckpt_path: each seed goes on from its own checkpoint")
        seed, rest = configs.take(rest, "--seed_everything")
        run_dir, rest = configs.take(rest, "--run_dir")
        if run_dir is None and not names:
            raise ConfigError("repeat needs --run_dir FOLDER where no --config is named")
        self.command = ["lightning", "repeat", "--seeds", str(seeds), "fit"]
        self.command += [*(f"--config={name}" for name in names), *arguments]
        default = configs.run_folder(chains, rest)
        self.folder = Path(run_dir) if run_dir is not None else default.with_name(f"{default.name}-seeds")
        self.names, self.arguments = names, rest
        first = _first_seed(seed, chains)
        self.runs = {number: self.folder / f"seed_{number}" for number in range(first, first + seeds)}
        values = [yaml.safe_load(file.text) for chain in chains for file in chain]
        self.record = json.dumps({"configs": values, "arguments": rest}, indent=1, default=str, sort_keys=True)
        self.child = Child()

    def run(self) -> int:
        """Run what is not finished, and stop at the first seed that fails.

        Returns:
            Exit code of ``lightning``: 0 when all are finished.

        Raises:
            ValueError: the folder holds runs of another command, or cannot be written.
        """
        self._keep_record()
        for seed, folder in self.runs.items():
            if folder.is_dir() and not missing_end(folder):
                print(f"seed {seed}: finished before, in {folder}", flush=True)
                continue
            print(f"seed {seed}: in {folder}", flush=True)
            arguments = [*(f"--config={name}" for name in self.names), *self.arguments]
            code = self._fit([*arguments, f"--seed_everything={seed}", f"--run_dir={folder}"])
            if self.child.signum is not None or code in STOPPED:
                code = 128 + self.child.signum if self.child.signum is not None else code
                print(f"stopped in seed {seed}; to go on:\n  {shlex.join(self.command)}", file=sys.stderr)
                return code
            if code:
                print(
                    f"lightning: error: seed {seed} failed; mend it and give the same command again:\n"
                    f"  {shlex.join(self.command)}",
                    file=sys.stderr,
                )
                return code if code > 0 else 1
            if reason := missing_end(folder):
                raise ValueError(f"{folder}: {reason}, though its process ended well; fast_dev_run keeps no run")
        return 0

    def _keep_record(self) -> None:
        path = self.folder / RECORD
        try:
            if not path.is_file():
                write_whole(path, self.record.encode())
            elif path.read_text(encoding="utf-8") != self.record:
                raise ValueError(
                    f"{path}: the seeds here were run with {_difference(path, self.record)}; "
                    "give another --run_dir, or the same config and arguments"
                )
        except OSError as error:
            raise ValueError(f"{path}: cannot be written or read ({error.strerror}); give another --run_dir") from error

    def _fit(self, arguments: list[str]) -> int:
        return self.child.run(["fit", *arguments])


def _first_seed(given: str | None, chains: list[list[Config]]) -> int:
    values: list[Any] = [yaml.safe_load(file.text) for chain in chains for file in chain]
    seeds = [value["seed_everything"] for value in values if isinstance(value, dict) and "seed_everything" in value]
    seed = given if given is not None else seeds[-1] if seeds else 0
    try:
        return int(seed)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"seed_everything: '{seed}' is no whole number") from error


def _difference(path: Path, record: str) -> str:
    try:
        before, now = json.loads(path.read_text(encoding="utf-8")), json.loads(record)
        if before["arguments"] != now["arguments"]:
            return f"the arguments {shlex.join(before['arguments']) or '(none)'}"
    except (ValueError, KeyError, TypeError):
        return "something unreadable"
    return "other values in the config"
