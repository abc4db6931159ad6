"""``lightning submit``: a fit as a job of SLURM.

The job is a script to read, to edit and to submit again. A Python launcher such as submitit would pickle a function in
its place, bring a dependency, and requeue by itself, beside Lightning, which wants to do so too.
"""

import argparse
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import configs
from callbacks.run_folder import write_whole
from configs import ConfigError
from configs.command import Command
from datamodules.sample_datamodule import samples_per_batch

FOLDER = Path(__file__).parent
SCRIPT = "submit.sbatch"
SECONDS_BEFORE_THE_END = 120
"""At which the scripts ask for the signal; SLURM may send it a minute earlier."""

DESCRIPTION = """\
Run `lightning fit` as a job of SLURM: write RUN/submit.sbatch, show it, and submit it. Arguments other than these are
those of fit, and checked before. A job that is preempted, or whose time is over, saves a checkpoint, goes back into the
queue and goes on. The same command again continues the run, after a job of it that still is in the queue."""


class Values(Command):
    """Parses the arguments of ``lightning fit``, and builds and runs nothing."""

    def _set_seed(self) -> None:
        """Nothing: nothing is drawn."""

    def _hold_folder(self) -> None:
        """Nothing: the job does."""

    def instantiate_classes(self) -> None:
        """Nothing: the data may be on the nodes alone, and the devices are."""

    def after_instantiate_classes(self) -> None:
        """Nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing."""


def submit(names: list[str], arguments: list[str]) -> int:
    """Write a script and submit it.

    Args:
        names: of the configs.
        arguments: the others after the subcommand.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: an argument, or the shares of the batch, are wrong; there is no sbatch.
        configs.errors.UsageError: a key, class or value of the config is wrong.
        ValueError: sbatch refuses the script.
        OSError: the script cannot be written.
    """
    options, rest = _parse(arguments)
    if not names:
        raise ConfigError("submit: no config named; as in: lightning submit --config tubelet.yaml --gpus 8")
    for option, least in (("nodes", 1), ("gpus", 0), ("cpus", 1)):
        value = getattr(options, option)
        if value is not None and value < least:
            raise ConfigError(f"submit: --{option} {value} must be at least {least}")
    if configs.take(rest, "--ckpt_path")[0] is not None:
        raise ConfigError("submit takes no --ckpt_path: a job that comes back goes on from its own checkpoint")
    for option, instead in (("num_nodes", "nodes"), ("devices", "gpus")):
        if configs.take(rest, f"--trainer.{option}")[0] is not None:
            raise ConfigError(f"submit: give --{instead} for --trainer.{option}")
    _check_time(options.time)
    if not options.dry_run and shutil.which("sbatch") is None:
        raise ConfigError("submit: no sbatch here: submit from a node of the cluster; --dry-run only writes the script")
    run_dir, others = configs.take(rest, "--run_dir")
    chains = [configs.chain(name) for name in names]
    folder = Path(run_dir) if run_dir is not None else configs.run_folder(chains, others)
    if options.gpus == 0:
        others = [*others, "--trainer.accelerator=cpu"]
    values = Values("fit", [*others, f"--run_dir={folder}"], chains).config["fit"]
    per_node = _processes_per_node(options.gpus, values.trainer.devices)
    data = values.data.init_args
    if "global_batch_size" in data:
        try:
            samples_per_batch(
                data.global_batch_size, options.nodes * per_node, values.trainer.accumulate_grad_batches or 1
            )
        except ValueError as error:
            raise ConfigError(f"submit: {options.nodes} nodes x {per_node}: {error}") from error
    header = {
        "job-name": f"{folder.name}-{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:6]}",
        "dependency": "singleton",  # jobs of one name, and so of one run, after each other
        "nodes": str(options.nodes),
        "gpus-per-node": None if options.gpus == 0 else str(per_node),
        "ntasks-per-node": str(per_node),
        "cpus-per-task": str(options.cpus if options.cpus is not None else int(data.get("num_workers", 0)) + 1),
        "time": options.time,
        "partition": options.partition,
        "output": str(folder / "slurm-%j.out"),
        **dict(_pair(text) for text in options.sbatch),
    }
    command = [str(_lightning()), "fit", *(f"--config={name}" for name in names), *others, f"--run_dir={folder}"]
    script = _fill(FOLDER / ("one_node.sbatch" if options.nodes == 1 else "several_nodes.sbatch"), header, command)
    path = folder / SCRIPT
    write_whole(path, script.encode())
    print(script)
    print(f"wrote {path}: {options.nodes} x {per_node} processes, at most {_limit(options.time)}", flush=True)
    return 0 if options.dry_run else _submit(path)


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        "lightning submit",
        usage="lightning submit --config NAME [--nodes N] [--gpus N] [--time T] [--KEY VALUE ...]",
        description=DESCRIPTION,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--nodes", type=int, default=1, help="default: 1")
    parser.add_argument(
        "--gpus",
        type=int,
        help="of each node, with a process each (default: the config's trainer.devices); 0: one process on CPU cores",
    )
    parser.add_argument("--time", default="24:00:00", help="as sbatch takes it, such as 2-12:00:00 (default: 24:00:00)")
    parser.add_argument("--partition", help="default: the cluster's")
    parser.add_argument("--cpus", type=int, help="cores of each process (default: data.num_workers + 1)")
    parser.add_argument(
        "--sbatch", nargs="+", default=[], metavar="KEY=VALUE", help="other options of sbatch: account=vision mem=400G"
    )
    parser.add_argument("--dry-run", action="store_true", help="write and show the script, and do not submit it")
    try:
        return parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(f"submit: {error}") from error


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.lstrip("-").partition("=")
    return key, value


def _limit(text: str) -> timedelta | None:
    """Time limit in one of sbatch's notations; None for another."""
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(re.fullmatch(r"\d+", part) for part in [*parts, *([days] if dash else [])]) or len(parts) > 3:
        return None
    if dash:
        units = ("hours", "minutes", "seconds")[: len(parts)]
    else:
        units = (("minutes",), ("minutes", "seconds"), ("hours", "minutes", "seconds"))[len(parts) - 1]
    return timedelta(days=int(days or 0), **{unit: int(part) for unit, part in zip(units, parts, strict=True)})


def _check_time(text: str) -> None:
    limit = _limit(text)
    if limit is None:
        raise ConfigError(
            f"submit: --time {text} is none of sbatch's notations: MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, "
            "DAYS-HOURS, DAYS-HOURS:MINUTES, DAYS-HOURS:MINUTES:SECONDS"
        )
    if limit.total_seconds() < 2 * (SECONDS_BEFORE_THE_END + 60):
        raise ConfigError(
            f"submit: --time {text} is {limit} h, of which the last {SECONDS_BEFORE_THE_END} to "
            f"{SECONDS_BEFORE_THE_END + 60} seconds are for saving: give 6 minutes at least"
        )


def _processes_per_node(gpus: int | None, devices: object) -> int:
    if gpus is not None:
        return max(gpus, 1)
    if not re.fullmatch(r"[1-9]\d*", str(devices)):
        raise ConfigError(f"submit: give --gpus, of each node: the config's trainer.devices is {devices}")
    return int(str(devices))


def _lightning() -> Path:
    command = Path(sys.executable).with_name("lightning")
    if not command.is_file():
        raise ConfigError(f"submit: no {command}: install the project beside its Python, as uv run does")
    return command


def _fill(template: Path, header: dict[str, str | None], command: list[str]) -> str:
    """Put options and the command into one of the scripts.

    Args:
        template: the script.
        header: options of sbatch; None leaves one out, an empty value stands for a flag.
        command: to run in place of ``lightning fit "$@"``.
    """
    head, line, body = template.read_text(encoding="utf-8").partition("\n\n")
    lines = [line for line in head.splitlines() if line.startswith("#SBATCH")]
    for key, value in header.items():
        lines = [line for line in lines if not re.match(rf"#SBATCH --{re.escape(key)}\b(?!-)", line)]
        if value is not None:
            lines.append(f"#SBATCH --{key}" + (f"={shlex.quote(value)}" if value else ""))
    body = body.replace('lightning fit "$@"', shlex.join(command))
    return "\n".join(["#!/usr/bin/env bash", *lines]) + line + body


def _submit(path: Path) -> int:
    done = subprocess.run(["sbatch", path], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"sbatch refuses {path}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    print(done.stdout.strip())
    return 0
