"""InfoNCE, the noise-contrastive loss of equation 5.1 (van den Oord et al. 2018, arXiv:1807.03748)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class InfoNCE(nn.Module):
    """Cross-entropy of picking the one positive key among the negatives, by cosine similarity.

    Computed in float32 whatever the precision around it: at half precision the exponentials of tau = 0.07 overflow.

    Args:
        temperature: tau of equation 5.1; the thesis uses 0.2 (5.4.1).
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        self.temperature = temperature

    def forward(
        self, query: Tensor, key: Tensor, negatives: Tensor, others: Tensor | None = None, first: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Compare each query with its own key and with the negatives.

        Args:
            query: (B, D), of any length.
            key: (B, D), the positive of each query.
            negatives: (K, D) unit vectors shared by all queries: the queue. K may be 0.
            others: (G, D) keys of the whole global batch, taken as further negatives but for each query's own.
            first: row of ``others`` that holds the key of the first query.

        Returns:
            Losses, float32 (B,), and logits, float32 (B, 1 + K [+ G]): the positive in column 0, -inf in place of
            a query's own key among ``others``.
        """
        with torch.autocast(query.device.type, enabled=False):
            query = functional.normalize(query.float(), dim=1)
            key = functional.normalize(key.float(), dim=1)
            columns = [(query * key).sum(1, keepdim=True), query @ negatives.float().T]
            if others is not None:
                against = query @ functional.normalize(others.float(), dim=1).T
                rows = torch.arange(len(query), device=query.device)
                against[rows, rows + first] = -torch.inf
                columns.append(against)
            logits = torch.cat(columns, dim=1).div_(self.temperature)  # the largest tensor here: once is enough
            target = logits.new_zeros(len(logits), dtype=torch.long)
            return functional.cross_entropy(logits, target, reduction="none"), logits
