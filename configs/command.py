"""LightningCLI as this project runs it: from parsed values to a run in its folder."""

import argparse
import logging
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

import callbacks
import configs
import datamodules
import lightning_modules
from callbacks.checkpoints import LAST, Checkpoints, WholeFileCheckpointIO, newest, step_of
from callbacks.class_accuracy_writer import ClassAccuracyWriter
from callbacks.data_wait import DataWait
from callbacks.detection_writer import DetectionWriter
from callbacks.half_precision import HalfPrecisionCheck
from callbacks.prediction_writer import PredictionWriter
from callbacks.progress import ProgressBar
from callbacks.random_states import RandomStates
from callbacks.run_folder import MetricsTable
from callbacks.run_lock import HeldError, RunLock
from callbacks.run_record import RunRecord
from configs import Config
from configs.errors import UsageError, boil_down, explain
from datamodules.sample_datamodule import SampleDataModule, samples_per_batch

# Imported, their classes can be named in a config without their module.
CATALOGUES = (lightning_modules, datamodules, callbacks)


class Command(LightningCLI):
    """``lightning fit|validate|test|predict``: parses, builds and runs.

    Every run has a folder: ``--run_dir``, or ``runs/NAME`` after the configs. A command that changes values behind its
    configs gets a folder of its own, ``runs/NAME-1a2b3c``: so the same command goes on with its own run, and never
    with that of another. ``fit`` goes on from ``checkpoints/last.ckpt`` where there is one; the others evaluate it.

    Args:
        subcommand: what to do.
        arguments: the arguments but for ``--config``; their values go over those of the configs.
        chains: each named config, behind its bases.

    Raises:
        UsageError: if a key, class or value is wrong.
        HeldError: if another process trains in the folder.
    """

    def __init__(self, subcommand: str, arguments: list[str], chains: list[list[Config]]) -> None:
        self.arguments = arguments
        self.chains = chains
        _show_our_messages()
        with ExitStack() as self.held:
            super().__init__(
                LightningModule,
                LightningDataModule,
                save_config_callback=None,  # RunRecord keeps the config
                trainer_defaults={"use_distributed_sampler": False},  # the data modules share out the videos
                seed_everything_default=0,
                subclass_mode_model=True,
                subclass_mode_data=True,
                args=[subcommand, *(f"--config={file.text}" for chain in chains for file in chain), *arguments],
                auto_configure_optimizers=False,  # a method owns its optimizer
                load_from_checkpoint_support=False,  # the YAML is the truth, whatever a checkpoint says
            )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:  # noqa: ANN401, D102 - inherited
        return super().init_parser(exit_on_error=False, allow_abbrev=False, **kwargs)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:  # noqa: D102 - inherited
        parser.add_argument(
            "--seed_everything", type=int, default=self.seed_everything_default, help="Seed of everything random."
        )
        parser.add_argument(
            "--run_dir", type=str | None, default=None, help="Folder of the run (default: after the config, in runs/)."
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:  # noqa: D102 - inherited
        parser.add_class_arguments(Checkpoints, "checkpoint")
        for target in ("model", "data"):
            parser.link_arguments("seed_everything", f"{target}.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401, D102 - inherited
        files = [file for chain in self.chains for file in chain]
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            options = [action.dest for action in self._subcommand_parsers[args[0]]._actions]
            raise UsageError(boil_down(str(error), options, self.arguments, files)) from error

    def _parse_ckpt_path(self) -> None:
        """Nothing: values that a checkpoint was made with do not go over those that were asked for."""

    def before_instantiate_classes(self) -> None:
        """Choose the folder and the checkpoint."""
        config = self._values
        if config.run_dir is None:
            config.run_dir = config.trainer.default_root_dir or str(self._default_folder())
        self.folder = Path(config.run_dir)
        if self.subcommand == "fit" and not config.trainer.fast_dev_run and configs.is_first_process():
            self._hold_folder()
        self.recipe = self._parser(self.subcommand).dump(config, skip_none=False)
        config.ckpt_path = self._checkpoint(config)
        self.first_step = step_of(config.ckpt_path) if config.ckpt_path and self.subcommand == "fit" else 0

    def instantiate_classes(self) -> None:
        """Build data module, method and trainer; what is refused here is a wrong value."""
        try:
            super().instantiate_classes()
        except Exception as error:
            if line := explain(error):
                raise UsageError(line) from error
            raise

    def after_instantiate_classes(self) -> None:
        """Refuse a batch that the devices cannot share; say where the run is kept, and what it goes on from."""
        if self.subcommand == "fit" and isinstance(self.datamodule, SampleDataModule):
            try:
                samples_per_batch(
                    self.datamodule.global_batch_size, self.trainer.world_size, self.trainer.accumulate_grad_batches
                )
            except ValueError as error:
                raise UsageError(str(error)) from error
        checkpoint = self._values.ckpt_path
        if checkpoint is None:
            start = "" if self.subcommand == "fit" else ", no checkpoint: the model as configured"
        elif self.subcommand == "fit":
            start = f", going on from {checkpoint}, step {self.first_step}"
        else:
            start = f", weights of {checkpoint}"
        rank_zero_info(f"run folder {self.folder}{start}")

    @property
    def _values(self) -> Namespace:
        values: Namespace = self.config[self.subcommand]
        return values

    def _default_folder(self) -> Path:
        method = self._values.model.class_path.rpartition(".")[2]
        return configs.run_folder(self.chains, configs.take(self.arguments, "--ckpt_path")[1], method)

    def _hold_folder(self) -> None:
        """Keep other processes from training in the folder until the command ends."""
        try:
            self.held.enter_context(RunLock(self.folder / "fit.lock", wait=True))
        except HeldError as error:
            raise HeldError(
                f"{self.folder}: trained in by {error}; wait for it, stop it, or give another --run_dir"
            ) from error

    def _checkpoint(self, config: Namespace) -> str | None:
        folder = self.folder / "checkpoints"
        if config.ckpt_path == "last":
            config.ckpt_path = str(newest(folder) or folder / LAST)
        elif config.ckpt_path == "best":
            config.ckpt_path = str(folder / "best.ckpt")
        if config.ckpt_path is not None:
            if not Path(config.ckpt_path).is_file():
                raise UsageError(f"ckpt_path: no file {config.ckpt_path}")
            return str(config.ckpt_path)
        last = None if config.trainer.fast_dev_run else newest(folder)
        return None if last is None else str(last)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401
        """Build the trainer with the run folder's loggers, checkpoints, record and progress bar."""
        config = {**self._get(self.config_init, "trainer"), **kwargs, "default_root_dir": str(self.folder)}
        if config["logger"] in (None, True):
            config["logger"] = self._loggers()
        plugins = config["plugins"] or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            config["plugins"] = [*plugins, WholeFileCheckpointIO()]
        command = ["lightning", str(self.subcommand)]
        command += [f"--config={configs.shipped_name(chain[-1].path) or chain[-1].path}" for chain in self.chains]
        arguments = configs.take(self.arguments, "--ckpt_path")[1]
        self.record = RunRecord(self.folder, self.recipe, [*command, *arguments])
        forced: list[Callback] = [self.record, RandomStates()]
        if self.subcommand == "fit":
            forced += [DataWait(), HalfPrecisionCheck()]
        if config["enable_progress_bar"] is not False:
            forced.append(ProgressBar())
        if self.subcommand == "predict":
            forced += [PredictionWriter(self.folder), DetectionWriter(self.folder)]
        if self.subcommand == "test":
            forced.append(ClassAccuracyWriter(self.folder))
        if config["enable_checkpointing"] is not False:
            forced += self._get(self.config_init, "checkpoint").callbacks(self.folder / "checkpoints")
        try:
            trainer: Trainer = self._instantiate_trainer(config, forced)
        except (TypeError, ValueError) as error:  # Lightning's own checks of what the user gave
            raise UsageError(f"trainer: {' '.join(str(error).split())}") from error
        return trainer

    def _loggers(self) -> list[Logger]:
        fit = self.subcommand == "fit"
        folder = self.folder / "logs" if fit else self.folder / "logs" / str(self.subcommand)
        return [
            TensorBoardLogger(folder, name="", version="", purge_step=self.first_step or None, default_hp_metric=False),
            MetricsTable(folder / "metrics.csv", self.first_step if fit else None),
        ]

    def _run_subcommand(self, subcommand: str) -> None:
        with self.record.interruptible():
            super()._run_subcommand(subcommand)


@rank_zero_only
def _show_our_messages() -> None:
    """Let the packages' messages be seen, once, and silence what nobody can act on."""
    for catalogue in CATALOGUES:
        logger = logging.getLogger(catalogue.__name__)
        if not logger.handlers:
            logger.addHandler(logging.StreamHandler())
            logger.setLevel(logging.INFO)
            logger.propagate = False
    advertisement = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    advertisement.addFilter(lambda record: "litlogger" not in record.getMessage())
    # Going on in the same folder is what is meant, and so is another folder with --ckpt_path.
    for message in (r"Checkpoint directory .* exists and is not empty", r"The dirpath has changed from"):
        warnings.filterwarnings("ignore", message=message)
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
