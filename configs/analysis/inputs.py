"""Networks under several weights, and the videos that they are shown."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from pytorch_lightning.utilities import rank_zero_info
from rich.console import Console
from rich.progress import track
from torch import Tensor

import configs
from configs import ConfigError
from configs.command import Command
from configs.errors import UsageError, explain
from configs.severe_benchmark.runner import Weights, read_weights
from datamodules.batch import ClipBatch
from datamodules.sample_datamodule import Loader
from datamodules.sampling.few_labels import uniform
from datamodules.video_datamodule import VideoDataModule
from lightning_modules.features import Features
from lightning_modules.networks import VideoNetwork
from lightning_modules.recognition import Recognition
from lightning_modules.views.video import VideoAugmentation
from lightning_modules.weights.importers.load import load_each

DEFAULT_CONFIG = "severe_embedded/ucf101.yaml"


class Parts(Command):
    """Method and data module of a config, built as for ``lightning test``, and not run."""

    def before_instantiate_classes(self) -> None:
        """Nothing: there is no run folder."""

    def instantiate_classes(self) -> None:
        """Build method and data module; what is refused here is a wrong value."""
        try:
            self.config_init = self.parser.instantiate_classes(self.config)
        except Exception as error:
            if line := explain(error):
                raise UsageError(line) from error
            raise
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")

    def after_instantiate_classes(self) -> None:
        """Nothing: there is no run folder."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing."""


class Model(NamedTuple):
    """A network under certain weights, on its device and in evaluation mode.

    Attributes:
        name: in legends.
        method: prepares clips and computes features.
        device: of the network.
    """

    name: str
    method: Recognition
    device: torch.device

    @property
    def network(self) -> VideoNetwork:
        """The network alone."""
        network = self.method.networks[0]
        assert isinstance(network, VideoNetwork)
        return network

    def prepare(self, clips: Tensor) -> Tensor:
        """Normalise as the weights want it: uint8 (B, T, H, W, 3) to float32 (B, 3, T, H, W) on the device."""
        crop = self.method.crop
        assert isinstance(crop, VideoAugmentation)
        return crop.centre(clips.to(self.device))


@dataclass(frozen=True)
class Inputs:
    """What an analysis looks at.

    Attributes:
        models: a network under each of the weights.
        data: the videos; their evaluation list is looked at.
    """

    models: list[Model]
    data: VideoDataModule

    def batches(self, what: str, loader: Loader | None = None) -> Iterator[ClipBatch]:
        """Batches of the evaluation list, or of a loader, with a progress bar on a terminal.

        Args:
            what: is done, for the bar.
            loader: of the data module.
        """
        console = Console(stderr=True)
        loader = self.data.test_dataloader() if loader is None else loader
        for batch in track(loader, what, console=console, transient=True, disable=not console.is_terminal):
            yield self.data.on_before_batch_transfer(batch, 0)

    @torch.inference_mode()
    def features(self, loader: Loader | None = None) -> list[Features]:
        """Features of videos by each of the models, means over their clips, float32 (N, D) on the CPU.

        Args:
            loader: see `batches`.
        """
        parts: list[list[Features]] = [[] for _ in self.models]
        for batch in self.batches("features", loader):
            for model, own in zip(self.models, parts, strict=True):
                clips = [model.method.encode(model.prepare(clip)).float() for clip in batch["clip"].unbind(1)]
                own.append(Features.of_batch(torch.stack(clips).mean(0).cpu(), batch))
        return [Features.gather(own, torch.device("cpu")) for own in parts]

    def class_name(self, label: int) -> str:
        """What a class is called."""
        names = self.data.class_names
        return names[label] if 0 <= label < len(names) else f"class {label + 1}" if label >= 0 else "no label"


def open_inputs(
    weights: list[Weights], config: str | None, arguments: list[str], videos: int | None, clips: int | None
) -> Inputs:
    """Build a network for each of the weights, and the data.

    Args:
        weights: see `name_weights`.
        config: of an ``ActionRecognition``; the embedded UCF101 when None.
        arguments: that change the config's values.
        videos: to look at, evenly over the classes; all when None or where there are not so many.
        clips: of a video; as the config says when None.

    Raises:
        ConfigError: the config is missing or of another method, or an argument is wrong.
        ValueError: weights do not fit, or the data are not there.
    """
    if videos is not None and videos < 1:
        raise ConfigError(f"--videos {videos} must be at least 1")
    chain = configs.chain(config or DEFAULT_CONFIG)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    few = [] if clips is None else [f"--data.eval_clips={clips}"]
    built: dict[tuple[str, ...], Parts] = {}
    models: list[Model] = []
    for one in weights:
        if one.arguments not in built:
            built[one.arguments] = build(chain, [*few, *one.arguments, *arguments, "--model.weights=null"])
        method = copy.deepcopy(built[one.arguments].model)
        assert isinstance(method, Recognition)
        models.append(Model(one.name, method.to(device).eval(), device))
        load_each([models[-1].network], one.source)
    data = built[weights[0].arguments].datamodule
    assert isinstance(data, VideoDataModule)
    data.prepare_data()
    data.setup("test")
    labelled = int((data.val_samples.labels >= 0).sum())
    if videos is not None and videos < labelled:
        data.val_samples = data.val_samples.select(uniform(data.val_samples, videos, 0))
    rank_zero_info(f"{len(data.val_samples):,} videos, {', '.join(model.name for model in models)}")
    return Inputs(models, data)


def build(chain: list[configs.Config], arguments: list[str]) -> Parts:
    """Build method and data of a config of action recognition.

    Raises:
        ConfigError: it is of another method or of other data, or an argument is wrong.
    """
    try:
        parts = Parts("test", arguments, [chain])
    except UsageError as error:
        raise ConfigError(str(error)) from error
    method, path = parts.model, chain[-1].path
    if not isinstance(method, Recognition) or not isinstance(method.crop, VideoAugmentation):
        wanted = f"give a config of ActionRecognition, such as {DEFAULT_CONFIG}"
        raise ConfigError(f"{path}: is of {type(method).__name__}; {wanted}")
    if not isinstance(parts.datamodule, VideoDataModule):
        raise ConfigError(f"{path}: {type(parts.datamodule).__name__} has no clips of videos")
    return parts


def name_weights(given: list[str]) -> list[Weights]:
    """Read ``--weights``.

    Args:
        given: each ``NAME=FILE`` or ``FILE``, where FILE is a checkpoint or weights file, a name of the catalogue, or
            ``none``.

    Returns:
        The weights, each under another name.

    Raises:
        ConfigError: two have one name, or there are none.
        ValueError: a file is missing or damaged.
    """
    if not given:
        raise ConfigError("--weights NAME=FILE ... is needed; FILE may be none, a network from scratch")
    found = []
    for text in given:
        name, equals, file = text.partition("=")
        # A path may itself have an equals sign in it.
        alone = not equals or Path(text).expanduser().is_file()
        if not alone and not (name and file):
            raise ConfigError(f"--weights {text}: give NAME=FILE")
        found.append(read_weights(text, None) if alone else read_weights(file, name))
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--weights: two are called '{name}'; give NAME=FILE")
    return found
