"""Tubelets: image patches that move along one path through two clips (thesis 5.3; fmthoker/tubelet-contrast).

A patch is cropped from clip 1, given a shape and an opacity, and pasted into every frame of clip 1 and of clip 2 along
the same path, with the same scale, rotation and shear. What the two clips then share is the motion.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from lightning_modules.views import tubelet_motion
from lightning_modules.views.tubelet_motion import choose, interpolate, uniform
from lightning_modules.views.tubelet_paste import HARD_EDGE, TubeletParameters, paste_tubelets

__all__ = ["TubeletParameters", "Tubelets"]

REFERENCE_SIDE = 112  # frame side in px that displacements and velocities are given for; others scale with it

# fmthoker/tubelet-contrast, configs/moco/r2plus1d_18/pretraining_mini_kinetics.py and tubelets.py
PUBLISHED_PATCH_SCALES = (16, 24, 28, 32, 48, 64)
PUBLISHED_PATCH_RATIOS = (0.5, 0.67, 0.75, 1.0, 1.33, 1.5, 2.0)
PUBLISHED_PATCH_JITTER = 0.18
PUBLISHED_OPACITY = (0.8, 1.0)
PUBLISHED_SOFT_EDGE = (0.30, 0.45)
PUBLISHED_SHAPE_PROBABILITIES = (0.5, 0.35, 0.15)  # of tubelet_paste.SHAPES


class Tubelets:
    """Draws tubelets and pastes them into pairs of clips.

    Two readings of the method, by ``preset``:

    * ``"published"`` (what made the reported numbers): sides from six scales and seven aspect ratios, jittered; soft
      edges on half of the patches; opacity 0.8..1; the patch is cropped at its own place on the path; 0 to 2 key
      frames between the first and the last, passed at even, rising or falling speed; rotation and shear walk from the
      identity by at most a velocity a frame; the non-linear path is stretched to ``displacement``. The published code
      has no scaling: the text's is used, on the published key frames.
    * ``"text"`` (thesis 5.3-5.4): sides uniform, hard edges, full opacity, the patch cropped anywhere; K = 3 key
      frames, linear between them; transformations uniform in their ranges from the second key frame on (equation 5.7);
      linear motion by equation 5.5; the non-linear path as the filter leaves it (equation 5.6): short.

    Shapes are a rectangle, an ellipse or a rhombus with either preset. Differs from the published code with both:
    positions and angles are not rounded, and a patch that reaches out of the frame is cut, not squeezed.

    Args:
        preset: ``"published"`` or ``"text"``.
        num_tubelets: M, patches for each pair (table 5.5).
        motion: path of a patch (table 5.3). ``"jittered_crops"`` is the baseline of table C.7: place and scale are
            drawn anew in each frame; it takes no ``transformations``.
        transformations: any of ``"scale"``, ``"rotation"``, ``"shear"`` (tables 5.4 and C.5).
        patch_size: smallest and largest side in px, (16, 64) for 112 px frames and (32, 128) for 224 px. The published
            scales 16..64 are mapped to it linearly; their ratio and jitter then make sides up to 1.7 times longer.
        displacement: in px of a 112 px frame. Preset ``"published"``: extent of a non-linear path, (20, 90) if omitted;
            ``"text"``: the largest distance of neighbouring key frames in linear motion, (40, 80) if omitted.
        velocity: px a frame, of a 112 px frame: limit of the linear motion. Preset ``"published"``.
        num_points: N, points of a non-linear path before it is thinned to the frames.
        smoothing: sigma of its Gaussian filter, in points.
        scale_range: limits of the horizontal and vertical scale at key frames.
        rotation_range: limits of the angle in degrees, drawn at key frames by equation 5.7 (table C.6). If omitted,
            (-90, 90) with preset ``"text"``; with ``"published"`` the angle walks by ``rotation_velocity`` instead.
        shear_range: the same for the horizontal and the vertical shear; (-1.5, 1.5) with preset ``"text"`` if omitted.
        rotation_velocity: degrees a frame, limit of the published walk.
        shear_velocity: shear a frame, limit of the published walk; along x, y or both, drawn for each pair.

    Raises:
        ValueError: an argument is out of its domain, or is changed though nothing reads it.
    """

    def __init__(
        self,
        preset: Literal["published", "text"] = "published",
        num_tubelets: int = 2,
        motion: Literal["static", "linear", "nonlinear", "jittered_crops"] = "nonlinear",
        transformations: tuple[Literal["scale", "rotation", "shear"], ...] = ("rotation",),
        patch_size: tuple[int, int] = (16, 64),
        displacement: tuple[float, float] | None = None,
        velocity: float = 5.0,
        num_points: int = 48,
        smoothing: float = 8.0,
        scale_range: tuple[float, float] = (0.5, 1.5),
        rotation_range: tuple[float, float] | None = None,
        shear_range: tuple[float, float] | None = None,
        rotation_velocity: float = 6.0,
        shear_velocity: float = 0.066,
    ) -> None:
        _check_choice("preset", preset, ("published", "text"))
        _check_choice("motion", motion, ("static", "linear", "nonlinear", "jittered_crops"))
        for transformation in transformations:
            _check_choice("transformations", transformation, ("scale", "rotation", "shear"))
        if motion == "jittered_crops" and len(transformations) > 0:
            raise ValueError(
                "motion jittered_crops draws its own scale in each frame: "
                f"set transformations to [], not {list(transformations)}"
            )
        text = preset == "text"
        for name, number, default, unread in (
            ("velocity", velocity, 5.0, text),
            ("rotation_velocity", rotation_velocity, 6.0, text or rotation_range is not None),
            ("shear_velocity", shear_velocity, 0.066, text or shear_range is not None),
        ):
            if unread and number != default:
                raise ValueError(f"{name}={number} has no effect with preset 'text' or with a range: leave one out")
        if displacement is None:
            displacement = (40.0, 80.0) if text else (20.0, 90.0)
        if text and rotation_range is None:
            rotation_range = (-90.0, 90.0)
        if text and shear_range is None:
            shear_range = (-1.5, 1.5)
        for name, limits, lowest, highest in (
            ("patch_size", patch_size, 1, math.inf),
            ("displacement", displacement, 0, math.inf if text else REFERENCE_SIDE),
            ("scale_range", scale_range, 0.01, math.inf),
            ("rotation_range", rotation_range or (0.0, 0.0), -math.inf, math.inf),
            ("shear_range", shear_range or (0.0, 0.0), -math.inf, math.inf),
        ):
            if not lowest <= limits[0] <= limits[1] <= highest:
                raise ValueError(f"{name}={tuple(limits)} must be two limits, rising, within {lowest}..{highest}")
        for name, number, lowest in (
            ("num_tubelets", num_tubelets, 1),
            ("velocity", velocity, 0),
            ("num_points", num_points, 2),
            ("smoothing", smoothing, 0),
            ("rotation_velocity", rotation_velocity, 0),
            ("shear_velocity", shear_velocity, 0),
        ):
            if number < lowest:
                raise ValueError(f"{name}={number} must be at least {lowest}")
        self.preset = preset
        self.num_tubelets = num_tubelets
        self.motion = motion
        self.transformations = tuple(transformations)
        self.patch_size = patch_size
        self.displacement = displacement
        self.velocity = velocity
        self.num_points = num_points
        self.smoothing = smoothing
        self.scale_range = scale_range
        self.rotation_range = rotation_range
        self.shear_range = shear_range
        self.rotation_velocity = rotation_velocity
        self.shear_velocity = shear_velocity
        self._filter = tubelet_motion.gaussian_filter_matrix(num_points, smoothing)

    def draw(
        self, num_pairs: int, num_frames: int, height: int, width: int, generator: torch.Generator
    ) -> TubeletParameters:
        """Draw the tubelets of a batch.

        To get the same tubelets on any number of processes, draw the global batch on each from the same seed and take
        a slice.

        Args:
            num_pairs: B, pairs of clips.
            num_frames: T.
            height: of the frames, px.
            width: of the frames, px.
            generator: source of randomness; the parameters are made on its device.

        Returns:
            The parameters, B rows.

        Raises:
            ValueError: a size is not positive, or ``num_points`` is smaller than ``num_frames``.
        """
        if min(num_pairs, num_frames, height, width) < 1:
            raise ValueError(
                f"num_pairs={num_pairs}, num_frames={num_frames}, height={height}, width={width} must all be at least 1"
            )
        if self.motion == "nonlinear" and self.num_points < num_frames:
            raise ValueError(f"num_points={self.num_points} must be at least num_frames={num_frames}: raise num_points")
        published = self.preset == "published"
        device = generator.device
        shape = (num_pairs, self.num_tubelets)
        frame = torch.tensor([width, height], dtype=torch.float32, device=device)

        size = self._draw_size(shape, frame, generator)
        centre = self._draw_centre(size, num_frames, frame, generator)
        matrix = self._draw_matrix(shape, num_frames, generator)
        crop_frame = torch.randint(num_frames, shape, generator=generator, device=device)
        if published:
            at_crop = centre.gather(2, crop_frame[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
            crop = (at_crop - size / 2).round().clamp(min=0).minimum(frame - size)
            key_frames = tubelet_motion.draw_published_key_frames(shape, num_frames, generator)
            opacity = interpolate(
                uniform(tuple(key_frames.shape), *PUBLISHED_OPACITY, generator), key_frames, num_frames
            )
            soft = torch.rand(shape, generator=generator, device=device) < 0.5
            edge = torch.where(soft, uniform(shape, *PUBLISHED_SOFT_EDGE, generator), HARD_EDGE)
        else:
            crop = uniform((*shape, 2), 0, frame - size + 1, generator).floor().minimum(frame - size)
            opacity = torch.ones((*shape, num_frames), device=device)
            edge = torch.full(shape, HARD_EDGE, device=device)
        return TubeletParameters(
            size=size.long(),
            shape=choose(shape, PUBLISHED_SHAPE_PROBABILITIES, generator),
            edge=edge,
            crop_frame=crop_frame,
            crop=crop.long(),
            centre=centre,
            matrix=matrix,
            opacity=opacity,
            frame_size=(height, width),
        )

    def _draw_size(self, shape: tuple[int, int], frame: Tensor, generator: torch.Generator) -> Tensor:
        """Draw width and height (B, M, 2), whole px as float32, large patches first."""
        low, high = self.patch_size
        if self.preset == "published":
            scales = torch.tensor(PUBLISHED_PATCH_SCALES, dtype=torch.float32, device=frame.device)
            scales = low + (scales - scales[0]) * ((high - low) / (scales[-1] - scales[0]))
            ratios = torch.tensor(PUBLISHED_PATCH_RATIOS, device=frame.device).sqrt()
            scale = scales[torch.randint(len(scales), shape, generator=generator, device=frame.device)]
            ratio = ratios[torch.randint(len(ratios), shape, generator=generator, device=frame.device)]
            jitter = uniform((*shape, 2), -PUBLISHED_PATCH_JITTER, PUBLISHED_PATCH_JITTER, generator).exp()
            size = (torch.stack((scale * ratio, scale / ratio), dim=-1) * jitter).round()
        else:
            size = torch.randint(low, high + 1, (*shape, 2), generator=generator, device=frame.device).float()
        size = size.minimum(frame - 1).clamp(min=1)
        order = size.prod(dim=-1).argsort(dim=1, descending=True, stable=True)
        return size.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))

    def _draw_centre(self, size: Tensor, num_frames: int, frame: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the paths (B, M, T, 2) in px."""
        published = self.preset == "published"
        num_pairs, num_tubelets, _ = size.shape
        shape = (num_pairs, num_tubelets)
        unit = frame.min().item() / REFERENCE_SIDE
        low, high = size / 2, frame - size / 2
        displacement = (self.displacement[0] * unit, self.displacement[1] * unit)
        if self.motion == "static":
            return uniform((*shape, 2), low, high, generator).unsqueeze(2).repeat(1, 1, num_frames, 1)
        if self.motion == "jittered_crops":
            return uniform((*shape, num_frames, 2), low.unsqueeze(2), high.unsqueeze(2), generator)
        if self.motion == "nonlinear":
            path = tubelet_motion.draw_smooth_path(
                shape, num_frames, frame, displacement if published else None, self._filter.to(frame.device), generator
            )
        elif published:
            key_frames = tubelet_motion.draw_published_key_frames((num_pairs, 1, 1), num_frames, generator)
            points = tubelet_motion.draw_linear_walk(low, high, key_frames, self.velocity * unit, generator)
            path = interpolate(points, key_frames, num_frames, tubelet_motion.draw_bends(key_frames, generator))
        else:
            key_frames = tubelet_motion.draw_text_key_frames((*shape, 1), num_frames, generator)
            points = tubelet_motion.draw_near_points(shape, key_frames.shape[-1], frame, displacement, generator)
            path = interpolate(points, key_frames, num_frames)
        return path.transpose(2, 3).contiguous()

    def _draw_matrix(self, shape: tuple[int, int], num_frames: int, generator: torch.Generator) -> Tensor:
        """Draw the transformations (B, M, T, 2, 2)."""
        num_pairs = shape[0]
        device = generator.device
        scale = torch.ones((*shape, num_frames, 2), device=device)
        angle = torch.zeros((*shape, num_frames), device=device)
        shear = torch.zeros((*shape, num_frames, 2), device=device)
        if self.motion == "jittered_crops":
            scale = uniform((*shape, num_frames, 2), *self.scale_range, generator)
        if "scale" in self.transformations:
            scale = self._draw_from_range((*shape, 2), num_frames, self.scale_range, 1.0, generator).transpose(2, 3)
        if "rotation" in self.transformations:
            if self.rotation_range is None:
                angle = self._draw_walks(shape, (num_pairs, 1), num_frames, self.rotation_velocity, generator)
            else:
                angle = self._draw_from_range(shape, num_frames, self.rotation_range, 0.0, generator)
        if "shear" in self.transformations:
            if self.shear_range is None:
                shear = self._draw_walks((*shape, 2), (num_pairs, 1, 2), num_frames, self.shear_velocity, generator)
                along = torch.tensor([[1, 0], [0, 1], [1, 1]], device=device)  # x, y, both
                drawn = torch.randint(3, (num_pairs,), generator=generator, device=device)
                shear = shear * along[drawn, None, :, None]
            else:
                shear = self._draw_from_range((*shape, 2), num_frames, self.shear_range, 0.0, generator)
            shear = shear.transpose(2, 3)
        return tubelet_motion.affine_matrix(scale, angle, shear)

    def _draw_walks(
        self,
        shape: tuple[int, ...],
        key_frame_shape: tuple[int, ...],
        num_frames: int,
        velocity: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Draw published walks (*shape, T); the tubelets of a pair share their key frames."""
        key_frames = tubelet_motion.draw_published_key_frames(key_frame_shape, num_frames, generator)
        walk = tubelet_motion.draw_walk(shape, key_frames, velocity, generator)
        return interpolate(walk, key_frames, num_frames, tubelet_motion.draw_bends(key_frames, generator))

    def _draw_from_range(
        self,
        shape: tuple[int, ...],
        num_frames: int,
        limits: tuple[float, float],
        identity: float,
        generator: torch.Generator,
    ) -> Tensor:
        """Draw values (*shape, T) by equation 5.7; the parameters of one transformation share their key frames."""
        key_frame_shape = shape[:2] + (1,) * (len(shape) - 2)
        bends = None
        if self.preset == "published":
            key_frames = tubelet_motion.draw_published_key_frames(key_frame_shape, num_frames, generator)
            bends = tubelet_motion.draw_bends(key_frames, generator)
        else:
            key_frames = tubelet_motion.draw_text_key_frames(key_frame_shape, num_frames, generator)
        values = uniform((*shape, key_frames.shape[-1]), *limits, generator)
        values[..., 0] = identity
        return interpolate(values, key_frames, num_frames, bends)

    def paste(self, source: Tensor, target: Tensor, parameters: TubeletParameters) -> tuple[Tensor, Tensor]:
        """Crop the patches from one clip of each pair and paste them into both, on the clips' device.

        Args:
            source: uint8 (B, T, H, W, 3), clip 1.
            target: uint8 (B, T, H, W, 3), clip 2.
            parameters: B rows, from :meth:`draw` for T frames of H x W.

        Returns:
            Both clips with the tubelets; the inputs are left as they are.

        Raises:
            ValueError: the clips are not uint8 (B, T, H, W, 3) of one shape, or the parameters were drawn for another.
        """
        return paste_tubelets(source, target, parameters)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(choices)}")
