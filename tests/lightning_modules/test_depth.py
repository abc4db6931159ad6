"""Depth maps as a network takes them."""

import pytest
import torch

from lightning_modules.views.depth import normalise_depth

PLAIN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def test_near_is_bright():
    depth = torch.tensor([0, 300, 500, 1500, 2500, 4500, 9000], dtype=torch.int16).view(1, 7, 1, 1)
    clip = normalise_depth(depth, 500, 4500, *PLAIN)
    assert clip.dtype == torch.float32
    assert clip.shape == (1, 3, 7, 1, 1)
    for channel in clip[0]:
        assert channel.flatten().tolist() == [0, 1, 1, 0.75, 0.5, 0, 0]
    scaled = normalise_depth(depth, 500, 4500, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    assert scaled[0, :, 3, 0, 0].tolist() == [0.5, 2, 0.75]


def test_wrong_depth_is_refused():
    with pytest.raises(ValueError, match="goes from near to far, got 4500 to 500"):
        normalise_depth(torch.zeros(1, 2, 3, 3, dtype=torch.int16), 4500, 500, *PLAIN)
    for wrong in (torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3, 1, dtype=torch.int16)):
        with pytest.raises(ValueError, match="depth maps are int16"):
            normalise_depth(wrong, 500, 4500, *PLAIN)
