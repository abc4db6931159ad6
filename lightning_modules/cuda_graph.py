"""Training calls of a network as CUDA graphs: one launch in place of thousands."""

from typing import Any

import torch
from torch import Tensor, nn


class CudaGraph:
    """Forward and backward pass of a network on inputs of one shape, captured and then replayed.

    For networks of many small kernels, as recurrent ones, that the CPU cannot launch as fast as the GPU runs them. The
    network must draw nothing and keep no statistics. Parameters may change in place between calls; a result holds until
    the next call.

    Args:
        network: on a CUDA device, in training mode.
        example: an input without gradient.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        learns = torch.is_grad_enabled() and bool(self.parameters)
        self.input = example.detach().clone()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # what is only done at first calls must not be captured
            for _ in range(3):
                output = network(self.input)
                if learns:
                    torch.autograd.grad(output, self.parameters, torch.zeros_like(output))
        torch.cuda.current_stream().wait_stream(stream)
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.forward, capture_error_mode="thread_local"):  # a loader's thread goes on meanwhile
            self.output = network(self.input)
        self.gradients: tuple[Tensor, ...] = ()
        if learns:
            self.gradient = torch.zeros_like(self.output)
            with torch.cuda.graph(self.backward, self.forward.pool(), capture_error_mode="thread_local"):
                self.gradients = torch.autograd.grad(self.output, self.parameters, self.gradient)

    def __call__(self, input: Tensor) -> Tensor:
        """Result of the network for an input of the example's shape."""
        output: Tensor = _Replay.apply(self, input, *self.parameters)  # type: ignore[no-untyped-call]
        return output


class _Replay(torch.autograd.Function):
    """Replays the graphs."""

    @staticmethod
    def forward(ctx: Any, graph: CudaGraph, input: Tensor, *parameters: Tensor) -> Tensor:  # noqa: ANN401
        ctx.graph = graph
        graph.input.copy_(input)
        graph.forward.replay()
        result: Tensor = graph.output.detach()
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        graph: CudaGraph = ctx.graph
        graph.gradient.copy_(gradient)
        graph.backward.replay()
        # Copies: autograd may keep what it is given as a parameter's gradient, beyond the next replay.
        return None, None, *(values.clone() for values in graph.gradients)
