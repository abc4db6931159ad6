"""Published weights, and small ones that come with the package: where they are from and what was reported of them.

Nothing here is downloaded.
"""

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from lightning_modules.weights.catalogue import embedded, hara, severe, torchvision, tubelet_contrast
from lightning_modules.weights.catalogue.entry import Entry
from lightning_modules.weights.files import SHARED
from lightning_modules.weights.header import WeightsError

CATALOGUE: Mapping[str, Entry] = {
    **tubelet_contrast.ENTRIES,
    **severe.ENTRIES,
    **torchvision.ENTRIES,
    **hara.ENTRIES,
    **embedded.ENTRIES,
}


def place(entry: Entry, folder: Path | None = None) -> Path:
    """Where the file of an entry is kept, whether or not it is there; ``folder`` as of `locate`."""
    if entry.shipped is not None:
        return entry.shipped
    return (folder or Path("~/.cache/video-efficient-zoo").expanduser()) / entry.file_name


def locate(source: str | Path, folder: Path | None = None) -> Path:
    """The file that a path or a catalogue name means.

    Args:
        source: A path, of a file or of a folder that ``ZooNetwork.save_pretrained`` wrote, or a name in `CATALOGUE`.
        folder: Where files of the catalogue are kept; ``None``: ``~/.cache/video-efficient-zoo``.

    Raises:
        WeightsError: No such file or name, the catalogue's file is not there (the message says where to get it and
            where to put it), or its digest is another.
    """
    path = Path(source).expanduser()
    if path.exists():
        shared = path / SHARED
        return shared if shared.is_file() else path
    entry = CATALOGUE.get(str(source))
    if entry is None:
        near = difflib.get_close_matches(str(source), CATALOGUE, n=3, cutoff=0.3)
        hint = f"near names: {', '.join(near)}" if near else "check the path; 'lightning weights list' prints the names"
        raise WeightsError(f"{source} is neither a file nor a name in the catalogue; {hint}")
    path = place(entry, folder)
    if not path.is_file():
        origin = (
            f"fetch it from {entry.origin}"
            if entry.origin
            else f"its source has not published it ({entry.page}); with a copy"
        )
        raise WeightsError(
            f"{source} is not on this machine, and nothing is downloaded: {origin}, save it as {path} or give its path"
        )
    if entry.sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(entry.sha256):
            remedy = "install the package again" if entry.shipped else f"fetch {entry.origin} again"
            raise WeightsError(f"{path} is not {source}: its SHA-256 is {digest}, not {entry.sha256}...; {remedy}")
    return path
