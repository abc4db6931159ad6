"""Work on a GPU beside the training step."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class SideStream:
    """Runs what does not need the network, as the copy of a batch and its views, in a stream of its own.

    There it overlaps with the step before, whose gradients the GPU still computes, and whoever reads a number there
    waits for that stream alone. Results are the same. On other devices it runs in its place.
    """

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None

    def run(self, device: torch.device, work: Callable[[], Result]) -> Result:
        """Call ``work``; what the current stream does next sees its result.

        Args:
            device: of the result.
            work: gives tensors, alone or in dictionaries, lists and tuples; it may read what was made in here, and what
                the current stream had made before the step.
        """
        if device.type != "cuda":
            return work()
        stream, current = self._of(device), torch.cuda.current_stream(device)
        with torch.cuda.stream(stream):
            result = work()
        current.wait_stream(stream)
        for tensor in _tensors(result):
            if tensor.is_cuda:
                tensor.record_stream(current)  # its memory is free again when this stream, too, is done with it
        return result

    def read_later(self, value: Tensor) -> Callable[[], float]:
        """Read what the current stream computes without waiting for what it is given from now on.

        Args:
            value: a scalar.

        Returns:
            A function that waits for all that was launched before this call, and returns the number.
        """
        if not value.is_cuda:
            return value.item
        stream = self._of(value.device)
        stream.wait_stream(torch.cuda.current_stream(value.device))

        def read() -> float:
            with torch.cuda.stream(stream):
                return value.item()

        return read

    def _of(self, device: torch.device) -> torch.cuda.Stream:
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return self._stream


def _tensors(result: Any) -> Iterator[Tensor]:  # noqa: ANN401 - whatever holds tensors
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, dict):
        yield from _tensors(list(result.values()))
    elif isinstance(result, list | tuple):
        for part in result:
            yield from _tensors(part)
