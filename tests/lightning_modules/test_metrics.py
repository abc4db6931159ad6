"""Nearest neighbours against a plain loop."""

import numpy as np
import pytest
import torch

from lightning_modules.metrics.nearest_neighbours import nearest_neighbour_top1


def plain(bank, bank_labels, queries, query_labels, k, temperature):
    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    bank, queries, right = unit(bank), unit(queries), 0
    for query, label in zip(queries, query_labels, strict=True):
        similarity = bank @ query
        votes = np.zeros(bank_labels.max() + 1)
        for i in np.argsort(-similarity)[:k]:
            votes[bank_labels[i]] += np.exp(similarity[i] / temperature)
        right += votes.argmax() == label
    return right / len(queries)


@pytest.mark.parametrize("k", [1, 5, 500])
def test_equals_a_plain_loop(k):
    rng = np.random.default_rng(k)
    labels = rng.integers(0, 4, 60), rng.integers(0, 4, 50)
    centres = rng.normal(size=(4, 6))
    bank, queries = (centres[part] + rng.normal(size=(len(part), 6)) for part in labels)
    expected = plain(bank, labels[0], queries, labels[1], k, 0.07)
    arguments = [torch.from_numpy(a) for a in (bank, labels[0], queries, labels[1])]
    assert nearest_neighbour_top1(*arguments, k=k) == pytest.approx(expected)
    assert 0.3 < expected <= 1 or k == 500


def test_empty_bank_is_refused():
    with pytest.raises(ValueError, match="0 in the bank"):
        nearest_neighbour_top1(torch.empty(0, 3), torch.empty(0).long(), torch.ones(1, 3), torch.zeros(1).long())
