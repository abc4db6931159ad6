"""Hugging Face's mixin, or what stands in for it where ``huggingface_hub`` is not installed."""

import importlib.util
from typing import Any, NoReturn

__all__ = ["HubMixin"]

if importlib.util.find_spec("huggingface_hub") is not None:
    from huggingface_hub import PyTorchModelHubMixin as HubMixin
else:

    class HubMixin:  # type: ignore[no-redef]
        """Says what is missing."""

        @classmethod
        def from_pretrained(cls, *_: Any, **__: Any) -> NoReturn:  # noqa: ANN401 - whatever the mixin takes
            """Say what is missing."""
            raise _missing("from_pretrained")

        def save_pretrained(self, *_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
            """Say what is missing."""
            raise _missing("save_pretrained")

        def push_to_hub(self, *_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
            """Say what is missing."""
            raise _missing("push_to_hub")


def _missing(method: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"{method} needs huggingface_hub, which is not installed: pip install 'video-efficient-zoo[hub]'"
    )
