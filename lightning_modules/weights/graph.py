"""A network as a graph that runs without this project: ONNX, and PyTorch's own exported program."""

import importlib.util
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_modules.weights.header import HEADER_KEY, Header, WeightsError

INPUT = "input"


def require_onnx() -> None:
    """Check that what ONNX needs is installed.

    Raises:
        WeightsError: It is not.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise WeightsError(f"ONNX needs {package}, which is not installed: pip install 'video-efficient-zoo[onnx]'")


def write_torch_export(network: nn.Module, example: Tensor, header: Header, path: Path) -> None:
    """Write what ``torch.export.load(path).module()`` reads, with the header in the extra file ``zoo``.

    Args:
        network: In evaluation mode.
        example: Input of two samples or more; the number of samples stays free.
        header: What the file says of itself.
        path: To write.
    """
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path, extra_files={HEADER_KEY: json.dumps(header)})


def run_torch_export(path: Path, input: Tensor) -> Tensor:
    """Output of a file of `write_torch_export`."""
    output: Tensor = torch.export.load(path).module()(input)
    return output


def write_onnx(network: nn.Module, example: Tensor, header: Header, path: Path) -> None:
    """Write an ONNX file with one input, ``input``, and one output; the header is in its metadata under ``zoo``.

    Args:
        network: In evaluation mode.
        example: Input of two samples or more; the number of samples stays free.
        header: What the file says of itself.
        path: To write.
    """
    import onnx

    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about itself
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: batch},),
            input_names=[INPUT],
            output_names=["logits" if isinstance(network, nn.Sequential) else "features"],
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.metadata_props.append(onnx.StringStringEntryProto(key=HEADER_KEY, value=json.dumps(header)))
    onnx.save(model, path)


def run_onnx(path: Path, input: Tensor) -> Tensor:
    """Output of a file of `write_onnx`, by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {INPUT: input.numpy()})[0])
