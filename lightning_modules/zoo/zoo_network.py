"""A network and a classifier on it, with the same methods whatever the network is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from torch import Tensor, nn

from lightning_modules.weights.header import FORMAT, Header, WeightsError, build_network, read_preprocessing
from lightning_modules.zoo.hub import HubMixin
from lightning_modules.zoo.model_card import model_card

if TYPE_CHECKING:
    from huggingface_hub import ModelCard


class ZooNetwork(nn.Module, HubMixin):
    """What `lightning_modules.create_network` gives.

    ``save_pretrained(FOLDER)``, ``from_pretrained(FOLDER or NAME)`` and ``push_to_hub(NAME)`` are those of
    ``huggingface_hub.PyTorchModelHubMixin``: ``model.safetensors``, ``config.json`` and a model card. The card states
    data, recipe, metrics and licence as far as ``provenance`` knows them;
    ``save_pretrained(FOLDER, model_card_kwargs={"licence": "MIT"})`` states the licence.

    Args:
        architecture: Class in `lightning_modules.networks`.
        arguments: Of that class.
        preprocessing: Arguments of `Preprocessing`, or of `SkeletonInput`.
        num_classes: Of the classifier; 0: there is none, and `forward` gives features.
        classes: Names of the classes, if known.
        provenance: Where the weights come from, as plain JSON: ``weights``, ``method``, ``data``, ``licence``,
            ``recipe`` (text) and ``metrics`` (numbers by name).

    Attributes:
        network: The backbone.
        classifier: ``nn.Linear``, or ``nn.Identity`` without classes.
        preprocessing: What the network takes: ``num_frames``, ``shape`` and ``layout``, for clips also ``crop_size``,
            ``short_side``, ``mean`` and ``std``; called with a clip or sequence, it prepares it.

    Raises:
        WeightsError: There is no such architecture, or its arguments or the preprocessing do not fit.
        ValueError: ``num_classes`` is negative.
    """

    def __init__(
        self,
        architecture: str,
        arguments: dict[str, Any],
        preprocessing: dict[str, Any],
        num_classes: int = 0,
        classes: Sequence[str] = (),
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        header = Header(
            format=FORMAT,
            architecture=architecture,
            arguments=arguments,
            method="",
            data="",
            preprocessing=preprocessing,
            version="",
            torch="",
        )
        self.network = build_network(header, "config.json")
        self.preprocessing = read_preprocessing(preprocessing, "config.json")
        self.provenance = dict(provenance or {})
        self.num_classes = 0
        self.classes: tuple[str, ...] = ()
        self.classifier: nn.Module = nn.Identity()
        self.reset_classifier(num_classes, classes)

    @property
    def feature_dim(self) -> int:
        """Length of the features."""
        return self.network.feature_dim

    @property
    def config(self) -> dict[str, Any]:
        """Arguments that build this network's like, as plain JSON types."""
        facts = {key: list(value) if isinstance(value, tuple) else value for key, value in self._input_facts.items()}
        return {
            "architecture": type(self.network).__name__,
            "arguments": self.network.arguments,
            "preprocessing": facts,
            "num_classes": self.num_classes,
            "classes": list(self.classes),
            "provenance": self.provenance,
        }

    @property
    def _input_facts(self) -> Mapping[str, Any]:
        return asdict(self.preprocessing)

    def forward_features(self, input: Tensor) -> Tensor:
        """Features: float (B, ...) as ``preprocessing`` gives it, to float (B, feature_dim)."""
        features: Tensor = self.network(input)
        return features

    def forward(self, input: Tensor) -> Tensor:
        """Logits, float (B, num_classes), or features, float (B, feature_dim), where there are no classes."""
        output: Tensor = self.classifier(self.forward_features(input))
        return output

    def reset_classifier(self, num_classes: int, classes: Sequence[str] = ()) -> None:
        """Put a fresh classifier in the place of the present one: weights from N(0, 0.01), bias 0.

        Args:
            num_classes: 0 takes the classifier away.
            classes: Their names, if known.

        Raises:
            ValueError: ``num_classes`` is negative, or there is not one name for each class.
        """
        if num_classes < 0 or (classes and len(classes) != num_classes):
            raise ValueError(f"num_classes={num_classes} must be 0 or more, and have a name each, got {len(classes)}")
        self.num_classes = num_classes
        self.classes = tuple(classes)
        self.classifier = nn.Identity()
        if num_classes:
            like = next(self.network.parameters())
            linear = nn.Linear(self.feature_dim, num_classes, device=like.device, dtype=like.dtype)
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.zeros_(linear.bias)
            self.classifier = linear

    def generate_model_card(self, *args: object, **kwargs: Any) -> "ModelCard":  # noqa: ANN401 - the mixin's signature
        """The card that `save_pretrained` writes; ``licence`` may be given."""
        from huggingface_hub import ModelCard

        parameters = sum(math.prod(parameter.shape) for parameter in self.parameters())
        licence = kwargs.get("licence") or self.provenance.get("licence")
        return ModelCard(model_card(self.config, self.preprocessing, self.feature_dim, parameters, licence))

    def _save_pretrained(self, save_directory: Path) -> None:
        self._hub_mixin_config = self.config  # as it is now, not as it was built
        super()._save_pretrained(save_directory)

    @classmethod
    def _load_as_safetensor(  # type: ignore[override]  # the mixin's own type is that of no particular class
        cls, model: "ZooNetwork", model_file: str, map_location: str, strict: bool
    ) -> "ZooNetwork":
        try:
            tensors = load_file(model_file, device=map_location)
            model.to(map_location).load_state_dict(tensors)
        except (RuntimeError, OSError) as error:
            raise WeightsError(f"{model_file} does not fit its config.json: {str(error).splitlines()[-1]}") from error
        return model.eval()
