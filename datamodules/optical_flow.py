"""Optical flow from the frames of a video: OpenCV's DIS and TV-L1, torchvision's RAFT."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
import torch

from datamodules.readers.flow import LEVELS, record_type

FlowMethod = Literal["dis", "tvl1", "raft"]

# A pair of frames, uint8 (H, W, 3), RGB, to the flow from the first to the second, float32 (H, W, 2), pixels.
Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

# DIS matches patches of 8 pixels, and RAFT needs 128: smaller pictures are enlarged.
_SMALLEST = {"dis": 128, "tvl1": 16, "raft": 128}
_RAFT_MULTIPLE = 8


def estimator(method: FlowMethod = "dis", weights: str | Path | None = None) -> Estimator:
    """Return what computes flow, in one thread.

    Args:
        method: ``dis``, dense inverse search (Kroeger et al. 2016, arXiv:1603.03590), at its preset ``medium``;
            ``tvl1`` (Zach et al. 2007), as in two-stream networks; ``raft`` (Teed and Deng 2020, arXiv:2003.12039),
            small or large, as its weights are.
        weights: of ``raft``: a state of torchvision's ``raft_small`` or ``raft_large``, in a local file.

    Raises:
        ValueError: the method cannot be had here.
    """
    cv2.setNumThreads(1)
    if method == "raft":
        estimate = _raft(weights)
    elif method == "tvl1":
        if not hasattr(cv2, "optflow"):
            raise ValueError(
                "TV-L1 is in OpenCV's extra modules only: install opencv-contrib-python-headless in place of"
                " opencv-python-headless, or take method dis"
            )
        estimate = _on_grey(cv2.optflow.DualTVL1OpticalFlow_create())
    else:
        estimate = _on_grey(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    return _enlarged(estimate, _SMALLEST[method])


def _on_grey(algorithm: cv2.DenseOpticalFlow) -> Estimator:
    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        # From zero, not from what it was given last: the flow of a pair depends on that pair alone.
        return np.asarray(algorithm.calc(*grey, np.zeros((*grey[0].shape, 2), np.float32)))  # type: ignore[call-overload]

    return estimate


def _enlarged(estimate: Estimator, smallest: int) -> Estimator:
    def enlarge(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape[:2]
        factor = -(-smallest // min(height, width))
        if factor == 1:
            return estimate(first, second)
        size = (width * factor, height * factor)
        flow = estimate(*(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in (first, second)))
        return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / factor)

    return enlarge


def _raft(weights: str | Path | None) -> Estimator:
    from torchvision.models.optical_flow import raft_large, raft_small

    if weights is None:
        raise ValueError("method raft needs the weights of torchvision's raft_small or raft_large: name their file")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        is_large = "update_block.motion_encoder.convcorr2.0.weight" in state
        network = raft_large(weights=None) if is_large else raft_small(weights=None)
        network.load_state_dict(state)
    except (OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{weights}: holds no state of torchvision's RAFT ({reason}); give another file") from error
    network.eval()
    torch.set_num_threads(1)

    @torch.inference_mode()
    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape[:2]
        padding = ((0, -height % _RAFT_MULTIPLE), (0, -width % _RAFT_MULTIPLE), (0, 0))
        pair = (np.pad(frame, padding, mode="edge").transpose(2, 0, 1)[None] for frame in (first, second))
        scaled = (torch.from_numpy(np.ascontiguousarray(frame)).float() / 127.5 - 1 for frame in pair)
        flow = cast(torch.Tensor, network(*scaled)[-1])
        return flow[0].permute(1, 2, 0).numpy()[:height, :width]

    return estimate


def video_flow(frames: np.ndarray, estimate: Estimator) -> np.ndarray:
    """Compute the flow of a video.

    Args:
        frames: uint8 (T + 1, H, W, 3), RGB.
        estimate: as of ``estimator``.

    Returns:
        (T,) records as of ``readers/flow.py``.
    """
    flow = np.stack([estimate(*pair) for pair in itertools.pairwise(frames)])
    return encode(flow)


def encode(flow: np.ndarray) -> np.ndarray:
    """Put flow into two planes of 8 bits a frame.

    Args:
        flow: float32 (T, H, W, 2), pixels a frame.

    Returns:
        (T,) records as of ``readers/flow.py``.
    """
    planes = flow.transpose(0, 3, 1, 2)
    records = np.zeros(len(flow), record_type(*flow.shape[1:3]))
    scale = np.abs(planes).max((2, 3)) / LEVELS
    records["scale"] = scale
    records["planes"] = np.rint(planes / np.where(scale > 0, scale, 1)[:, :, None, None])
    return records
