"""Recurrent network of the sequence-based representation (thesis 3.4.2; Su et al. 2020, arXiv:1911.12409)."""

import contextlib
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_modules.networks.skeleton_network import NUM_ACTORS, NUM_JOINTS, SkeletonNetwork, check_skeleton

CUDNN_GRU = 3  # cuDNN's number of this kind of cell


class BiGRU(SkeletonNetwork):
    """Three GRU layers of two cells each, on the coordinates of both actors: 150 numbers a frame.

    Two readings of "bidirectional":

    * ``"published"`` (what made the reported numbers): fmthoker/skeleton-contrast calls a bidirectional GRU frame by
      frame and hands on both states, so that *both* cells of a layer read forwards in time, side by side. The feature
      is the last layer's output at the last frame: the final states of both cells. The author's weights mean this.
      Here each cell of a layer is one fused call over all frames: six calls instead of one for each frame, and the
      same numbers.
    * ``"bidirectional"`` (thesis 3.4.2): the second cell of a layer reads backwards; one fused call. The feature is the
      final states of the last layer's cells: the forward one after the last frame, the backward one after the first.

    Parameters are named as published, ``encoder.gru.*``; the second cell's end in ``_reverse`` with either reading.
    45.0 M parameters (44,998,656) by default; table A.4 prints 10 M. ``BiGRU(64, 1)`` suits small machines.

    Args:
        hidden_dim: Units of a cell; the features are twice as long.
        num_layers: Layers.
        reading: ``published`` or ``bidirectional``.

    Raises:
        ValueError: A number is not positive, or the reading is unknown.
    """

    def __init__(
        self,
        hidden_dim: int = 1024,
        num_layers: int = 3,
        reading: Literal["published", "bidirectional"] = "published",
    ) -> None:
        if min(hidden_dim, num_layers) < 1:
            raise ValueError(f"hidden_dim={hidden_dim} and num_layers={num_layers} must be positive")
        if reading not in ("published", "bidirectional"):
            raise ValueError(f"reading={reading!r} must be published or bidirectional")
        super().__init__(feature_dim=2 * hidden_dim)
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.reading = reading
        gru = SideBySideGRU if reading == "published" else nn.GRU
        self.encoder = nn.ModuleDict(
            {"gru": gru(3 * NUM_JOINTS * NUM_ACTORS, hidden_dim, num_layers, batch_first=True, bidirectional=True)}
        )
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)  # moco/builder_inter.py; biases keep PyTorch's

    def forward(self, skeleton: Tensor) -> Tensor:
        """Features of sequences.

        Args:
            skeleton: Float (B, 3, T, V, M).

        Returns:
            Float (B, 2 hidden_dim).

        Raises:
            ValueError: ``skeleton`` has another shape or dtype.
        """
        check_skeleton(skeleton)
        frames = skeleton.permute(0, 2, 3, 1, 4).flatten(2)  # (B, T, V * 3 * M), in the published order
        output, states = self.encoder["gru"](frames)
        # cells of the last layer: (2, B, hidden_dim)
        feature: Tensor = output[:, -1] if self.reading == "published" else torch.cat((states[-2], states[-1]), dim=1)
        return feature


class SideBySideGRU(nn.GRU):
    """A bidirectional GRU's parameters, with both cells of a layer reading forwards; the next layer sees both."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run all layers from zero states.

        Args:
            input: Float (B, T, D).
            hx: Must be omitted.

        Returns:
            The last layer's outputs, float (B, T, 2 hidden_size), and all final states, (2 num_layers, B, hidden_size).
        """
        assert hx is None, "states other than zeros are not supported"
        states: list[Tensor] = []
        # PyTorch's autocast would run cuDNN's cells in fp16, whatever it is set to: small gradients would vanish there.
        # On a CPU it would cast the weights anew for each frame of the keys.
        device = input.device.type
        in_autocast = device in ("cpu", "cuda") and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if in_autocast else input.dtype
        input = input.transpose(0, 1).contiguous().to(dtype)  # time first, as both devices' cells compute
        with torch.autocast(device, enabled=False) if in_autocast else contextlib.nullcontext():
            for layer in range(self.num_layers):
                cells = self.all_weights[2 * layer : 2 * layer + 2]
                outputs, finals = zip(*(self._run_cell(input, cell) for cell in cells), strict=True)
                input = torch.cat(outputs, dim=2)
                states += finals
        return input.transpose(0, 1), torch.cat(states)

    def _run_cell(self, input: Tensor, cell: list[nn.Parameter]) -> tuple[Tensor, Tensor]:
        """Outputs of a cell, float (T, B, hidden_size), and its final state, (1, B, hidden_size)."""
        weights: list[Tensor] = [weight.to(input.dtype) for weight in cell]
        start = input.new_zeros(1, input.shape[1], self.hidden_size)
        # cuDNN keeps what a backward pass needs only if it is told that this is training.
        output, state = torch.gru(input, start, weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)
        return output, state

    def flatten_parameters(self) -> None:
        """Lay each cell's weights out as cuDNN wants them for a call of its own, where cuDNN is used."""
        weight = self.all_weights[0][0]
        if not (weight.is_cuda and torch.backends.cudnn.is_available()):  # type: ignore[no-untyped-call]
            return
        with torch.no_grad(), torch.cuda.device(weight.device):
            for weights in self.all_weights:
                cell: list[Tensor] = list(weights)
                torch._cudnn_rnn_flatten_weight(  # as torch.nn.RNNBase does for all cells in one
                    cell,
                    len(cell),
                    cell[0].shape[1],
                    CUDNN_GRU,
                    self.hidden_size,
                    0,
                    1,
                    False,  # time first
                    False,
                )
