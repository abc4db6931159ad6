"""How large a part of a picture a crop takes: integers only."""

import math

import torch

# Area as a share of the picture and width / height: torchvision's RandomResizedCrop, as in Szegedy et al. 2014
# (arXiv:1409.4842, section 6); thesis, appendix B.
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)

_TRIES = 10


def random_size(height: int, width: int, generator: torch.Generator) -> tuple[int, int]:
    """Draw the size of a random resized crop; its place may be any, all equally likely.

    Area and the logarithm of the aspect are uniform; where no draw in ten fits, the largest crop of an allowed aspect
    is taken. Heights and widths are drawn alike, so that a picture may be turned by 90 degrees before or after.

    Args:
        height: of the picture in pixels.
        width: likewise.
        generator: where all randomness comes from, on the CPU.

    Returns:
        Height and width of the crop, 1..height and 1..width.
    """
    for _ in range(_TRIES):
        share, where = torch.rand(2, dtype=torch.float64, generator=generator).tolist()
        area = height * width * (AREA[0] + share * (AREA[1] - AREA[0]))
        aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** where
        crop_height, crop_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < crop_height <= height and 0 < crop_width <= width:
            return crop_height, crop_width
    return min(height, round(width / ASPECT[0])), min(width, round(height * ASPECT[1]))
