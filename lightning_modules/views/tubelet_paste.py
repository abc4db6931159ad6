"""Pasting tubelets: each patch is sampled once, over its own window only, and blended into both clips of its pair."""

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.views.memory import copy, upload
from lightning_modules.views.rows import Rows

SHAPES = ("rectangle", "ellipse", "rhombus")
HARD_EDGE = 0.5

# Patches pasted at once: on the CPU exact windows and a small working set pay, on CUDA few launches.
CPU_GROUP = 1
CUDA_GROUP = 32


@dataclasses.dataclass(frozen=True)
class TubeletParameters(Rows):
    """M tubelets for each of B pairs of clips, in the order of pasting: large patches first.

    Pixels and ``(x, y)`` are as in :mod:`~lightning_modules.views.tubelet_motion`.

    Attributes:
        size: int64 (B, M, 2), width and height of the patch in px.
        shape: int64 (B, M), index into ``SHAPES``.
        edge: float32 (B, M), distance from the centre, in patch sides, at which the opacity starts to fall; it is zero
            at 0.5, so 0.5 is a hard edge.
        crop_frame: int64 (B, M), frame of clip 1 that the patch is cropped from.
        crop: int64 (B, M, 2), left and top of that crop in px.
        centre: float32 (B, M, T, 2), centre of the patch in px.
        matrix: float32 (B, M, T, 2, 2), from patch to frame, about the centre.
        opacity: float32 (B, M, T), 0..1.
        frame_size: height and width in px of the frames that these tubelets were drawn for.
    """

    size: Tensor
    shape: Tensor
    edge: Tensor
    crop_frame: Tensor
    crop: Tensor
    centre: Tensor
    matrix: Tensor
    opacity: Tensor
    frame_size: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class _Layer(Rows):
    """Tubelets that are pasted at the same time, at most one of each pair: N rows.

    A texture is the part of a frame of clip 1 that holds the patch. A window is the part of a frame that the patch may
    touch. Pixels are counted over all frames of the batch. Affine maps are held in complex numbers, x + iy: a row and a
    column of them add up to a sampling grid with x and y side by side.

    Attributes:
        texture_rows: int64 (N, texture height), first pixel of each row of the texture.
        texture_x: float32 (N, texture width), distance from the patch's centre along x, in widths of its falling edge.
        texture_y: float32 (N, texture height), the same along y.
        edge: float32 (N,), half a patch side in the same unit.
        shape: int64 (N,), index into ``SHAPES``.
        opacity: float32 (N, T).
        window_rows: int64 (N, T, window height), first pixel of each row of the window.
        across: complex64 (N, T, window width), what a column of the window adds to the place in the texture.
        down: complex64 (N, T, window height), place in the texture, which spans -1..1, of each row of the window.
    """

    texture_rows: Tensor
    texture_x: Tensor
    texture_y: Tensor
    edge: Tensor
    shape: Tensor
    opacity: Tensor
    window_rows: Tensor
    across: Tensor
    down: Tensor


def paste_tubelets(source: Tensor, target: Tensor, parameters: TubeletParameters) -> tuple[Tensor, Tensor]:
    """Crop the patches from one clip of each pair and paste them into both, on the clips' device.

    Args:
        source: uint8 (B, T, H, W, 3), clip 1.
        target: uint8 (B, T, H, W, 3), clip 2.
        parameters: B rows, drawn for T frames of H x W; best on the CPU, where reading sizes does not wait for a GPU.

    Returns:
        Both clips with the tubelets; the inputs are left as they are.

    Raises:
        ValueError: the clips are not uint8 (B, T, H, W, 3) of one shape, or the parameters were drawn for another.
    """
    _check(source, target, parameters)
    source = source.contiguous()
    clips = copy(source), copy(target)
    with torch.inference_mode():  # spares each operation some of its overhead
        _paste(clips, source, parameters)
    return clips


def _paste(clips: tuple[Tensor, Tensor], source: Tensor, parameters: TubeletParameters) -> None:
    """Crop the patches from a clip and paste them into two others in place, layer by layer."""
    group = CPU_GROUP if source.device.type == "cpu" else CUDA_GROUP
    height, width = parameters.frame_size
    frame = torch.tensor([width, height], device=parameters.size.device)
    start, window = _windows(parameters)
    order = window.prod(dim=-1).argsort(dim=0)  # similar windows side by side
    for m in range(parameters.shape.shape[1]):
        pairs = order[:, m]
        tubelets = parameters[pairs, m]
        # Together they need textures of one size; one that is always the same keeps each row independent of the others.
        texture_size = tubelets.size if group == 1 else frame.expand_as(tubelets.size)
        windows, textures = _largest(window[pairs, m].tolist(), group), texture_size.tolist()
        layer = _lay_out(tubelets, pairs, start[pairs, m], texture_size, windows, source.device)
        for part, (width, height), texture in zip(layer.split(group), windows[::group], textures[::group], strict=True):
            _blend(clips, _render_texture(source, part, *texture), part, width, height)


def _windows(parameters: TubeletParameters) -> tuple[Tensor, Tensor]:
    """Find the part of each frame that each patch may touch.

    Returns:
        Left and top in px, int64 (B, M, T, 2), and the width and height in px that do for all frames, int64 (B, M, 2).
    """
    half_sides = parameters.matrix * (parameters.size / 2)[:, :, None, None, :]
    # how far a rectangle, an ellipse and a rhombus reach along an axis: three norms of the same two half sides
    norms = torch.stack([torch.linalg.vector_norm(half_sides, order, dim=-1) for order in (1, 2, math.inf)])
    reach = norms.gather(0, parameters.shape[None, :, :, None, None].expand(1, *norms.shape[1:])).squeeze(0)
    # bilinear sampling spreads a pixel of the patch by one; a rectangle's outermost lie half a pixel within its sides
    spread = torch.where(parameters.shape == 0, 0.5, 1.0)[:, :, None, None]
    reach = reach + parameters.matrix.abs().sum(dim=-1) * spread
    height, width = parameters.frame_size
    frame = torch.tensor([width, height], device=reach.device)
    start = (parameters.centre - reach - 0.5).ceil().long().clamp(min=0).minimum(frame - 1)
    end = (parameters.centre + reach + 0.5).floor().long().minimum(frame)
    return start, (end - start).amax(dim=2).clamp(min=1)


def _largest(windows: list[list[int]], group: int) -> list[list[int]]:
    """Replace each width and height by the largest in its group."""
    return [
        [max(sides) for sides in zip(*windows[first : first + group], strict=True)]
        for first in range(0, len(windows), group)
        for _ in windows[first : first + group]
    ]


def _lay_out(
    tubelets: TubeletParameters,
    pairs: Tensor,
    start: Tensor,
    texture_size: Tensor,
    windows: list[list[int]],
    device: torch.device,
) -> _Layer:
    """Work out the geometry of N tubelets, one of each pair.

    Args:
        tubelets: N rows without the axis M.
        pairs: int64 (N,), place of each in the batch.
        start: int64 (N, T, 2), left and top of their windows in px.
        texture_size: int64 (N, 2), width and height in px; the patch's, or the frame's.
        windows: N widths and heights in px.
        device: of the result.
    """
    height, width = tubelets.frame_size
    num_frames = tubelets.opacity.shape[1]
    tubelets = tubelets.to(device)
    window, frame, pairs, start, texture_size = (
        upload(value, device)
        for value in (torch.tensor(windows), torch.tensor([width, height]), pairs, start, texture_size)
    )
    texture_start = torch.where(texture_size == frame, 0, tubelets.crop)
    middle = tubelets.crop - texture_start + tubelets.size / 2

    fall = (HARD_EDGE - tubelets.edge).clamp(min=1e-6)
    pixels = torch.arange(max(height, width), device=device)
    distance = (pixels + 0.5 - middle.unsqueeze(-1)).abs() / (tubelets.size * fall[:, None]).unsqueeze(-1)
    frames = pairs[:, None] * num_frames + torch.arange(num_frames, device=device)
    texture_frame = frames.gather(1, tubelets.crop_frame[:, None])
    texture_rows = (texture_frame * height + texture_start[:, 1:] + pixels) * width + texture_start[:, :1]

    start = start.minimum((frame - window)[:, None])
    x, y = (start.unsqueeze(-1) + pixels).unbind(2)  # (N, T, window width or more), (N, T, window height or more)

    (a, b), (c, d) = (row.unbind(-1) for row in tubelets.matrix.unbind(-2))
    inverse = torch.stack((d, -b, -c, a), dim=-1).view(tubelets.matrix.shape) / (a * d - b * c)[..., None, None]
    unit = (2 / texture_size).unsqueeze(1)
    origin = (inverse @ (0.5 - tubelets.centre).unsqueeze(-1)).squeeze(-1) + middle.unsqueeze(1)
    along_x, along_y = (torch.view_as_complex((step * unit).contiguous()) for step in inverse.unbind(-1))
    return _Layer(
        texture_rows=texture_rows,
        texture_x=distance[:, 0],
        texture_y=distance[:, 1],
        edge=(HARD_EDGE - 1e-5) / fall,  # pixels on the very edge lie outside, however they round
        shape=tubelets.shape,
        opacity=tubelets.opacity,
        window_rows=(frames.unsqueeze(-1) * height + y) * width + start[..., :1],
        across=along_x.unsqueeze(-1) * x,
        down=along_y.unsqueeze(-1) * y + torch.view_as_complex(origin * unit - 1).unsqueeze(-1),
    )


def _render_texture(source: Tensor, layer: _Layer, width: int, height: int) -> Tensor:
    """Crop the textures of N tubelets: float32 (N, 4, height, width), RGB times opacity (0..255) and opacity (0..1)."""
    rows = layer.texture_rows[:, :height].flatten()
    rgb = _pixel_runs(source, width).index_select(0, rows).view(-1, height, width, 3)
    x, y, shape = layer.texture_x[:, None, :width], layer.texture_y[:, :height, None], layer.shape[:, None, None]
    distance = torch.where(shape == 0, torch.maximum(x, y), torch.where(shape == 1, torch.hypot(x, y), x + y))
    texture = torch.empty((len(rgb), 4, height, width), device=rgb.device)
    opacity = torch.clamp(layer.edge[:, None, None] - distance, 0, 1, out=texture[:, 3])
    torch.mul(rgb.permute(0, 3, 1, 2), opacity.unsqueeze(1), out=texture[:, :3])
    return texture


def _blend(clips: tuple[Tensor, Tensor], texture: Tensor, layer: _Layer, width: int, height: int) -> None:
    """Sample textures in every frame and blend them into windows of both clips.

    Args:
        clips: uint8 (B, T, H, W, 3) each, changed in place.
        texture: float32 (N, 4, texture height, texture width).
        layer: N tubelets.
        width: of the windows in px.
        height: of the windows in px.
    """
    num_frames = layer.opacity.shape[1]
    grid = torch.view_as_real(layer.across[:, :, None, :width] + layer.down[:, :, :height, None]).flatten(1, 2)
    patch = functional.grid_sample(texture, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    patch = patch.view(-1, 4, num_frames, height, width).mul_(layer.opacity[:, None, :, None, None])
    colour = patch[:, :3].add_(0.5).permute(0, 2, 3, 4, 1).contiguous()  # + 0.5: the cast to integers below cuts
    below_opacity = 1 - patch[:, 3]
    keep = torch.empty_like(colour)
    for channel in keep.unbind(-1):  # faster than expanding over the last axis
        channel.copy_(below_opacity)

    rows = layer.window_rows[..., :height].flatten()
    colour, keep = colour.view(-1, 3 * width), keep.view(-1, 3 * width)
    for clip in clips:
        runs = _pixel_runs(clip, width)
        below = runs.index_select(0, rows).float()
        windows = torch.addcmul(colour, below, keep, out=below).to(torch.int16).to(torch.uint8)  # int16: a faster way
        if clip.device.type == "cpu":
            _copy_windows(windows, clip, rows, height)
        else:
            runs.index_copy_(0, rows, windows)


def _copy_windows(windows: Tensor, clip: Tensor, rows: Tensor, height: int) -> None:
    """Copy windows, one below the other, into a clip on the CPU; ``index_copy_`` would take four times as long."""
    lines = clip.view(-1, 3 * clip.shape[3]).numpy()
    window_width = windows.shape[1]
    for first, window in zip(rows[::height].tolist(), windows.view(-1, height, window_width).numpy(), strict=True):
        line, column = divmod(3 * first, lines.shape[1])
        lines[line : line + height, column : column + window_width] = window


def _pixel_runs(clips: Tensor, length: int) -> Tensor:
    """View all runs of neighbouring pixels: (number of pixels - length + 1, 3 * length), row i starts at pixel i."""
    num_pixels = clips.numel() // 3
    return clips.as_strided((num_pixels - length + 1, 3 * length), (3, 1))


def _check(source: Tensor, target: Tensor, parameters: TubeletParameters) -> None:
    if source.ndim != 5 or source.shape[-1] != 3 or source.dtype != torch.uint8:
        raise ValueError(f"clips must be uint8 (B, T, H, W, 3), not {source.dtype} {tuple(source.shape)}")
    if source.shape != target.shape or source.dtype != target.dtype:
        raise ValueError(
            f"both clips of a pair must be alike, not {source.dtype} {tuple(source.shape)} "
            f"and {target.dtype} {tuple(target.shape)}"
        )
    drawn = (len(parameters), parameters.centre.shape[2], *parameters.frame_size)
    if drawn != source.shape[:4]:
        raise ValueError(f"tubelets drawn for (B, T, H, W) = {drawn} do not fit clips of {tuple(source.shape[:4])}")
