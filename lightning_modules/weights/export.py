"""``lightning export``: a checkpoint's backbone as a safetensors file."""

import json
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from lightning_modules.weights.files import read_weights_file
from lightning_modules.weights.header import HEADER_KEY, Header, WeightsError, build_network
from lightning_modules.weights.importers.load import choose_importer, fill


def export(checkpoint: Path, out: Path) -> Header:
    """Write the backbone of a checkpoint, with its header as JSON in the metadata under ``zoo``.

    The file appears under its name only when it is complete; one of that name is replaced. torchvision's networks take
    a full-size R(2+1)D-18 or R3D-18 with ``load_state_dict(safetensors.torch.load_file(out), strict=False)``: only
    ``fc`` is missing.

    Args:
        checkpoint: A checkpoint of this project, e.g. ``last.ckpt``.
        out: File to write, ``*.safetensors``; folders on the way are made.

    Returns:
        The header.

    Raises:
        WeightsError: The checkpoint cannot be read, has no header or does not hold the network it names; or the file
            cannot be written.
        ValueError: ``out`` does not end in ``.safetensors``.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"the exported file must end in .safetensors, is {out}")
    file = read_weights_file(checkpoint)
    if file.header is None:
        raise WeightsError(
            f"{checkpoint} was not written by this project (it has no header); only its checkpoints are exported"
        )
    network = build_network(file.header, str(checkpoint))
    fill(network, file, choose_importer(file))
    # Beside the target, so that the last step is a rename; the process id keeps two exports apart.
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        save_file(network.state_dict(), partial, metadata={"format": "pt", HEADER_KEY: json.dumps(file.header)})
        partial.chmod(mode)  # as any new file: safetensors leaves one that its owner alone can read
        partial.replace(out)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{out} cannot be written: {error}; free space or choose another folder") from error
    finally:
        partial.unlink(missing_ok=True)
    return file.header
