"""What the catalogue says of a published file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.weights.importers.importer import PublishedNetwork


@dataclass(frozen=True)
class Entry:
    """A published file.

    Args:
        file_name: What the file is called in the catalogue's folder.
        architecture: Class in `lightning_modules.networks`.
        network: Its arguments, and the preprocessing.
        method: What trained it.
        data: What it was trained on.
        page: Where the source describes it.
        url: Link to the file; ``None`` where the source has not published it.
        sha256: The file's digest or the leading digits that its source states; ``None``: unknown.
        licence: As the source states it.
        format: Importer that reads it.
        reported: Numbers that the source or the thesis reports by data set, percent but for errors; none is rerun here.
        inside: Path inside the file that the link leads to, where that is an archive.
        shipped: The file, where it comes with this package.
    """

    file_name: str
    architecture: str
    network: PublishedNetwork
    method: str
    data: str
    page: str
    url: str | None
    sha256: str | None
    licence: str
    format: str
    reported: Mapping[str, float] = field(default_factory=dict)
    inside: str | None = None
    shipped: Path | None = None

    @property
    def origin(self) -> str | None:
        """Where the file is to be had, ``None`` where its source has not published it."""
        if self.shipped is not None:
            return "comes with this package"
        return self.url if self.inside is None else f"{self.url}, an archive with {self.inside}"

    def rows(self) -> list[tuple[str, str]]:
        """What is known of the file, a name and a text each."""
        return [
            ("method", self.method),
            ("network", self.architecture),
            ("data", self.data),
            ("page", self.page),
            ("file", self.origin or "not published"),
            (
                "SHA-256",
                "not known" if self.sha256 is None else f"{self.sha256}{'' if len(self.sha256) == 64 else '...'}",
            ),
            ("licence", self.licence),
            ("published", ", ".join(f"{name} {value:g}" for name, value in self.reported.items()) or "no numbers"),
        ]
