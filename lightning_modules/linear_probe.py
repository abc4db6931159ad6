"""Linear evaluation of frozen networks (thesis A.1; tables 3.1, 3.5, 3.6, A.2 to A.4)."""

from lightning_modules.frozen_features import FrozenFeatures
from lightning_modules.networks.network import Network
from lightning_modules.views.multimodal import ClipCrop
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.views.video import VideoAugmentation


class LinearProbe(FrozenFeatures):
    """Trains a linear classifier on the features of frozen networks.

    The networks stay in evaluation mode: neither their weights nor their batch norm statistics change. Each sequence
    has ``crops`` random crops, drawn from (seed, number of the crop, sample), which the epochs go through in turn. So
    their features can be computed once, before training, and kept: training with and without is the same.

    Kept features are float32 (crops, N, D) on the device of each process: 330 MB a crop for BiGRU on NTU-60 (40,091 x
    2048), and those of the centre crops of the evaluation list, which validation uses. They are in no checkpoint: a run
    that goes on computes them again.

    Args:
        networks: see ``Recognition``, as the next three.
        weights: see there.
        crop: see there.
        num_classes: see there.
        cache_features: compute the features once; otherwise at each step.
        crops: random crops of a sequence. The published script draws one at each epoch, which are 80.
        learning_rate: see ``Recognition``, as all that follow; of SGD.
        weight_decay: see there.
        milestones: see there; of 80 epochs in A.1.
        seed: see there.

    Raises:
        ValueError: as of ``Recognition``, or there is no crop.
    """

    def __init__(
        self,
        networks: list[Network],
        weights: str | list[str | None] | None = None,
        crop: SequenceCrop | ClipCrop | VideoAugmentation | None = None,
        num_classes: int | None = None,
        cache_features: bool = True,
        crops: int = 5,
        learning_rate: float = 0.1,
        weight_decay: float = 0.0,
        milestones: tuple[int, ...] = (50, 70),
        seed: int = 0,
    ) -> None:
        super().__init__(
            networks=networks,
            weights=weights,
            crop=crop,
            num_classes=num_classes,
            optimizer="sgd",
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            milestones=milestones,
            seed=seed,
        )
        self.freeze_networks(crops, cache_features)
