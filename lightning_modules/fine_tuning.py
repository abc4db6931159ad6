"""Fine-tuning networks with a classifier: semi-supervised, transfer and supervised recognition (2.4.3, A.1, A.2)."""

from fnmatch import fnmatchcase
from typing import Literal, Self

from lightning_modules.networks.network import Network
from lightning_modules.recognition import Recognition
from lightning_modules.views.multimodal import ClipCrop
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.views.video import VideoAugmentation


class FineTuning(Recognition):
    """Trains networks and classifier together, from pretrained weights or, without any, from scratch.

    Semi-supervised learning (table 3.3) is this with the data module's ``labelled_fraction``, transfer (table 3.4) with
    the weights of a run on other data, "supervised only" (tables 3.3, A.1) without ``weights``. So are training a
    teacher on RGB or flow (2.4.3), and a depth student's few labels, of which the last block and the classifier learn.

    Layers all of whose parameters are frozen stay in evaluation mode: their batch norm statistics do not move.

    Args:
        networks: see ``Recognition``, as the next four.
        weights: see there.
        adapt_input: see there; for a depth student that starts from weights of flow (table 2.4).
        crop: see there.
        num_classes: see there.
        train_only: patterns of the names of the parameters that train, such as ``classifier.*`` and
            ``networks.0.layer4.*``; all when None.
        optimizer: see ``Recognition``, as all that follow; Adam in A.1.
        learning_rate: see there.
        weight_decay: see there.
        milestones: see there; of 50 epochs in A.1.
        warmup_epochs: see there.
        seed: see there.

    Raises:
        ValueError: as of ``Recognition``.
    """

    def __init__(
        self,
        networks: list[Network],
        weights: str | list[str | None] | None = None,
        adapt_input: bool = False,
        crop: SequenceCrop | ClipCrop | VideoAugmentation | None = None,
        num_classes: int | None = None,
        train_only: list[str] | None = None,
        optimizer: Literal["sgd", "adam", "adamw"] = "adam",
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        milestones: tuple[int, ...] = (30, 40),
        warmup_epochs: int = 0,
        seed: int = 0,
    ) -> None:
        self.train_only = train_only
        super().__init__(
            networks=networks,
            weights=weights,
            crop=crop,
            num_classes=num_classes,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            milestones=milestones,
            warmup_epochs=warmup_epochs,
            seed=seed,
            adapt_input=adapt_input,
        )

    def build(self, num_classes: int) -> None:
        """Make the classifier, and freeze what shall not train.

        Raises:
            ValueError: a pattern of ``train_only`` matches no parameter.
        """
        super().build(num_classes)
        if self.train_only is None:
            return
        names = [name for name, _ in self.named_parameters()]
        for pattern in self.train_only:
            if not any(fnmatchcase(name, pattern) for name in names):
                parts = sorted(
                    {".".join(name.split(".")[: 3 if name.startswith("networks.") else 1]) for name in names}
                )
                raise ValueError(f"train_only: no parameter is called {pattern}; there are {', '.join(parts)}, each .*")
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(any(fnmatchcase(name, pattern) for pattern in self.train_only))
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the frozen layers."""
        super().train(mode)
        for module in self.networks.modules():
            own = list(module.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
        return self
