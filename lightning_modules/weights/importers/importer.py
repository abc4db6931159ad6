"""How a source's files map to our networks."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lightning_modules.weights.preprocessing import Preprocessing


@dataclass(frozen=True)
class PublishedNetwork:
    """One of our networks as a source trained it.

    Args:
        arguments: Arguments of our class, where they differ from its defaults.
        preprocessing: What the source's evaluation does to a clip.
    """

    arguments: Mapping[str, Any]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Importer:
    """Renames the keys of one source. Every key is the backbone's, dropped by name, or unknown.

    Args:
        name: What ``format`` is called.
        marks: A file is the source's if each of these begins some key.
        backbone: Prefix of the backbone's keys, which is taken off.
        dropped: Keys, or beginnings of keys that end in a dot, that no backbone needs.
        drops_rest: Whether every other key is dropped as well.
        rename: From the source's name of a backbone's key, without the prefix, to ours.
        networks: By the name of our class, the networks that the source published.
        needs_header: Whether the file must carry our header.
    """

    name: str
    marks: tuple[str, ...] = ()
    backbone: str = ""
    dropped: tuple[str, ...] = ()
    drops_rest: bool = False
    rename: Callable[[str], str] = str
    networks: Mapping[str, PublishedNetwork] = field(default_factory=dict)
    needs_header: bool = False

    def recognises(self, keys: Collection[str], has_header: bool) -> bool:
        """Whether a file with these keys is the source's."""
        marked = all(any(key.startswith(mark) for key in keys) for mark in self.marks)
        return marked and (has_header or not self.needs_header)

    def drops(self, key: str) -> bool:
        """Whether a key is known and needed by no backbone."""
        return any(key == name or (name.endswith(".") and key.startswith(name)) for name in self.dropped)

    def convert(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
        """Backbone tensors by our names; keys dropped; keys unknown to this importer."""
        converted: dict[str, Tensor] = {}
        dropped: list[str] = []
        unknown: list[str] = []
        for key, tensor in tensors.items():
            if self.drops(key):
                dropped.append(key)
            elif key.startswith(self.backbone):
                converted[self.rename(key.removeprefix(self.backbone))] = tensor
            elif self.drops_rest:
                dropped.append(key)
            else:
                unknown.append(key)
        return converted, dropped, unknown
