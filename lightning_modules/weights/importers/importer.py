"""How a source's files map to our networks."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lightning_modules.weights.importers.architecture import architecture_of
from lightning_modules.weights.preprocessing import Preprocessing


@dataclass(frozen=True)
class PublishedNetwork:
    """One of our networks as a source trained it.

    Args:
        arguments: Arguments of our class, where they differ from its defaults.
        preprocessing: What the source's evaluation does to a clip; ``None`` for networks of other data.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class Importer:
    """Renames the keys of one source. Every key is the backbone's, dropped by name, or unknown.

    Args:
        name: What ``format`` is called.
        marks: A file is the source's if each of these begins some key.
        one_of: And if one of these does, where there are any.
        backbone: Prefix of the backbone's keys, which is taken off.
        others: Prefixes of further backbones, where a file may hold several: the one that a network's architecture
            fits is loaded, the rest is dropped.
        dropped: Keys, or beginnings of keys that end in a dot, that no backbone needs.
        drops_rest: Whether every other key is dropped as well.
        rename: From the source's name of a backbone's key, without the prefix, to ours.
        networks: By the name of our class, the networks that the source published.
        flow_networks: The same of networks that take optical flow, which the two channels of ``conv1`` tell.
        needs_header: Whether the file must carry our header.
        bgr: Whether the source's clips have blue first: the first convolution is then turned to take ours, red first.
    """

    name: str
    marks: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    backbone: str = ""
    others: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    drops_rest: bool = False
    rename: Callable[[str], str] = str
    networks: Mapping[str, PublishedNetwork] = field(default_factory=dict)
    flow_networks: Mapping[str, PublishedNetwork] = field(default_factory=dict)
    needs_header: bool = False
    bgr: bool = False

    def recognises(self, keys: Collection[str], has_header: bool) -> bool:
        """Whether a file with these keys is the source's."""
        marked = all(any(key.startswith(mark) for key in keys) for mark in self.marks)
        marked = marked and (not self.one_of or any(key.startswith(self.one_of) for key in keys))
        return marked and (has_header or not self.needs_header)

    def drops(self, key: str) -> bool:
        """Whether a key is known and needed by no backbone."""
        return any(key == name or (name.endswith(".") and key.startswith(name)) for name in self.dropped)

    def published(self, architecture: str | None, converted: Mapping[str, Tensor]) -> PublishedNetwork | None:
        """What the source published of an architecture, ``None`` where it is not known.

        Args:
            architecture: Class name of the network.
            converted: A file's tensors by our names.
        """
        stem = converted.get("conv1.weight")
        networks = self.flow_networks if stem is not None and stem.shape[1:2] == (2,) else self.networks
        return networks.get(architecture or "")

    def prefix(self, keys: Collection[str], architecture: str | None) -> str:
        """Prefix of the backbone to load: that of an architecture, or the first."""
        for prefix in (self.backbone, *self.others):
            own = {self.rename(key.removeprefix(prefix)) for key in keys if key.startswith(prefix)}
            if architecture is not None and architecture_of(own) == architecture:
                return prefix
        return self.backbone

    def convert(
        self, tensors: Mapping[str, Tensor], architecture: str | None = None
    ) -> tuple[dict[str, Tensor], list[str], list[str]]:
        """Backbone tensors by our names; keys dropped; keys unknown to this importer.

        Args:
            tensors: By the file's keys.
            architecture: Class of the network to fill, where a file may hold several.
        """
        prefix = self.prefix(tensors, architecture) if self.others else self.backbone
        converted: dict[str, Tensor] = {}
        dropped: list[str] = []
        unknown: list[str] = []
        for key, tensor in tensors.items():
            if self.drops(key):
                dropped.append(key)
            elif key.startswith(prefix):
                converted[self.rename(key.removeprefix(prefix))] = tensor
            elif self.drops_rest or key.startswith((self.backbone, *self.others)):
                dropped.append(key)
            else:
                unknown.append(key)
        if self.bgr and (stem := converted.get("stem.0.weight")) is not None and stem.ndim == 5:
            converted["stem.0.weight"] = stem.flip(1)
        return converted, dropped, unknown
