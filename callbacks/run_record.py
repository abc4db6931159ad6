"""What a run writes down about itself, and how it stops and goes on."""

import importlib.metadata
import os
import platform
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info

from callbacks.checkpoints import LAST, CheckpointError
from callbacks.run_folder import finish_start, keep_config, keep_versions, write_whole
from lightning_modules.side_stream import SideStream

PACKAGES = ("video-efficient-zoo", "torchvision", "pytorch-lightning", "torchmetrics", "av")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or SIGUSR1; not an ``Exception``, so that nothing between training loop and command catches it.

    Args:
        signum: number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """What a shell reports for this signal: 130, 143 or 138."""
        return 128 + self.signum


class RunRecord(Callback):
    """Keeps the run folder, stops on Ctrl-C, SIGTERM and SIGUSR1 with a checkpoint, and says how to go on.

    Writes ``config.yaml`` (an earlier, different one is kept and the difference told) and ``versions.json``; puts the
    config into each checkpoint, as YAML text under ``zoo_config``; logs ``train/learning_rate`` and
    ``data/broken``, the number of videos that could not be read, where the data module counts them in ``broken``. When
    a run goes on with another learning rate or weight decay in its config, that of the config holds, not that in the
    checkpoint's optimizer.

    Args:
        folder: of the run.
        recipe: the config as run, YAML text.
        command: the command line that goes on with the run.
    """

    def __init__(self, folder: Path, recipe: str, command: Sequence[str]) -> None:
        self.folder = folder
        self.recipe = recipe
        self.command = list(command)
        self.rates: list[list[dict[str, float]]] = []
        self.earlier_rates: list[list[dict[str, float]]] = []
        self._pid = os.getpid()
        self._training = False
        self._stepped = False
        self._signum: int | None = None
        self._side_stream = SideStream()
        self._told: Callable[[], float] = int  # 0: nothing was told yet
        self._saved_step: int | None = None

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turn the first of the signals into ``Interrupted``: in training when the step is done, else at once.

        A second Ctrl-C kills the process. Any other that follows is ignored: SLURM sends several before it kills.
        """
        handlers = {signum: signal.signal(signum, self._on_signal) for signum in SIGNALS}
        try:
            yield
        finally:
            for signum, handler in handlers.items():
                signal.signal(signum, handler)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a worker just forked, which its parent still needs for the step
            return
        if signum == signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)
        first = self._signum is None
        self._signum = self._signum or signum
        if first and not self._training:
            raise Interrupted(signum)

    def state_dict(self) -> dict[str, Any]:
        """The rates as configured, for comparison with those of a config that goes on."""
        return {"rates": self.rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the rates that the checkpoint's run was configured with."""
        self.earlier_rates = state_dict["rates"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write down what is run, by what, and where."""
        # Lightning's own handlers would broadcast from within, and ranks that are told at different moments would wait
        # for each other; on SLURM they would also save there, and requeue what sbatch requeues.
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        # Without them there is nothing to tell the other processes, for which each step would wait for the one before.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if stage != "fit":
            write_whole(self.folder / f"{TrainerFn(stage).value}.yaml", self.recipe.encode())
        elif difference := keep_config(self.folder, self.recipe):
            rank_zero_info(difference)
        keep_versions(self.folder, {"subcommand": TrainerFn(stage).value, **facts(trainer, self.command)})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the rates of the fresh optimizers; a checkpoint's are put over them next."""
        self.rates = [
            [
                {"lr": group.get("initial_lr", group["lr"]), "weight_decay": group.get("weight_decay", 0.0)}
                for group in optimizer.param_groups
            ]
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the config's rates hold where they differ from the checkpoint's.

        Raises:
            ValueError: the processes do not go on from the same step.
        """
        if trainer.world_size > 1:
            steps = torch.tensor([trainer.global_step, -trainer.global_step], device=trainer.strategy.root_device)
            torch.distributed.all_reduce(steps, torch.distributed.ReduceOp.MAX)
            last, first = int(steps[0]), -int(steps[1])
            if first != last:  # as where a network file system shows an older folder to some nodes
                raise ValueError(
                    f"processes go on from different steps, {first} and {last}: not all see the newest checkpoint in "
                    f"{self.folder / 'checkpoints'}; give the same command again"
                )
        for number, (before, now) in enumerate(zip(self.earlier_rates, self.rates, strict=False)):
            if len(before) == len(now) and before != now:
                self._change_rates(trainer, number, before, now)
        self._training = True

    def _change_rates(
        self, trainer: Trainer, number: int, before: list[dict[str, float]], now: list[dict[str, float]]
    ) -> None:
        optimizer = trainer.optimizers[number]
        factors = [new["lr"] / old["lr"] if old["lr"] else 1.0 for old, new in zip(before, now, strict=True)]
        for group, new, factor in zip(optimizer.param_groups, now, factors, strict=True):
            group["lr"] *= factor
            if "initial_lr" in group:
                group["initial_lr"] *= factor
            if "weight_decay" in group:
                group["weight_decay"] = new["weight_decay"]
        for config in trainer.lr_scheduler_configs:
            for scheduler in [config.scheduler, *getattr(config.scheduler, "_schedulers", [])]:
                if scheduler.optimizer is optimizer and hasattr(scheduler, "base_lrs"):
                    scheduler.base_lrs = [
                        rate * factor for rate, factor in zip(scheduler.base_lrs, factors, strict=True)
                    ]
        rank_zero_info(f"rates of the config hold, not those of the checkpoint: {before[0]} -> {now[0]}")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Log the learning rate of this step, that of the first group of parameters."""
        if trainer.optimizers:
            rate = torch.tensor(float(trainer.optimizers[0].param_groups[0]["lr"]))  # a number would go to the GPU
            pl_module.log("train/learning_rate", rate, batch_size=1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Log the broken videos, and stop if asked to.

        Raises:
            Interrupted: after the step in which a signal came; on several processes, all stop after the same one. After
                the last step of an epoch it is saved, and the stop is that after the next step: a validation that is
                due would not be made up for.
        """
        self._stepped = trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        broken = _broken(trainer)
        if broken is not None:
            pl_module.log("data/broken", torch.tensor(float(len(broken))), batch_size=1)
        if not self._stepped or not (signum := self._agreed_signal(trainer)):
            return
        if not trainer.is_last_batch:
            raise Interrupted(signum)
        if trainer.checkpoint_callback:  # in case that there is no time for the rest
            trainer.save_checkpoint(self.folder / "checkpoints" / LAST)
            self._saved_step = None  # what follows is not in it

    def _agreed_signal(self, trainer: Trainer) -> int:
        """Largest number of the signals that reached any process; 0 without one.

        On GPUs that of the step before, but for the last step of an epoch: the answer to this one's would have to be
        waited for.
        """
        if trainer.world_size == 1:
            return self._signum or 0
        # At each step, since a step may take long and SLURM waits for seconds.
        told = torch.full((), self._signum or 0, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        before, self._told = self._told, self._side_stream.read_later(told)
        return int((self._told if trainer.is_last_batch or not self._later(trainer) else before)())

    @staticmethod
    def _later(trainer: Trainer) -> bool:
        return trainer.strategy.root_device.type == "cuda"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the last regular checkpoint does not have, and name the broken videos once more."""
        if trainer.checkpoint_callback and self._saved_step != trainer.global_step:
            trainer.save_checkpoint(self.folder / "checkpoints" / LAST)
        self._training = False
        broken = _broken(trainer)
        if broken:
            rank_zero_info(
                f"broken videos replaced by others: {len(broken)}, listed in {self.folder / 'data' / 'broken.txt'}"
            )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write down that the run is complete: all its epochs or steps are done, or a callback ended it."""
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            finish_start(self.folder, {"date": _now(), "epoch": trainer.current_epoch, "step": trainer.global_step})

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the config into the checkpoint."""
        checkpoint["zoo_config"] = self.recipe
        self._saved_step = trainer.global_step

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save ``last.ckpt`` if the run stops between two steps, and say how to go on.

        Within a step nothing is saved: the weights may not be finite, and a queue may be ahead of its encoder.
        """
        stopped = isinstance(exception, Interrupted)
        if not self._training:
            if isinstance(exception, Interrupted) and trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(exception.signum)  # they would wait for this one
            return
        # One process alone may fail; the others would wait for it forever while saving.
        agreed = stopped or trainer.world_size == 1
        batches = trainer.fit_loop.epoch_loop.batch_progress.total
        between = batches.ready == batches.processed  # type: ignore[attr-defined]
        possible = self._stepped and between and trainer.checkpoint_callback
        saved = None
        if possible and agreed and not isinstance(exception, CheckpointError):
            saved = self.folder / "checkpoints" / LAST
            trainer.save_checkpoint(saved)
        self._training = False
        since = "" if self._saved_step is None else f" since step {self._saved_step}"
        where = f"saved {saved}" if saved else f"nothing saved{since}"
        rank_zero_info(f"\nstopped after step {trainer.global_step}, {where}; to go on:\n  {shlex.join(self.command)}")


def facts(trainer: Trainer, command: Sequence[str]) -> dict[str, Any]:
    """What a number in a table depends on besides its config: versions, commit, machine. Plain JSON."""
    device = trainer.strategy.root_device
    return {
        "date": _now(),
        "command": shlex.join(command),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: _version(name) for name in PACKAGES},
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        **_git(),
        "host": platform.node(),
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{_processor()}, {os.cpu_count()} cores",
        "processes": trainer.world_size,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _broken(trainer: Trainer) -> dict[str, str] | None:
    return getattr(getattr(trainer, "datamodule", None), "broken", None)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    """Commit of the checkout that this file runs from; None where it was installed without one."""
    here = Path(__file__)

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", here.parent, *arguments], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed copy may lie within somebody else's checkout: only a file that git tracks counts.
    if git("ls-files", "--error-unmatch", here.name) is None:
        return {"git_commit": None, "git_dirty": None}
    status = git("status", "--porcelain", "--untracked-files=no")
    return {"git_commit": git("rev-parse", "HEAD"), "git_dirty": None if status is None else status != ""}


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
