"""Nearest neighbours against a plain loop, and accuracies by hand."""

import numpy as np
import pytest
import torch

from lightning_modules.metrics.class_accuracy import ClassAccuracy
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


def test_class_accuracy_by_hand():
    score = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4], [0.9, 0.1, 0.0, 0.0]])
    label = torch.tensor([0, 1, 1, 0])  # classes 2 and 3 have no samples; 3 is predicted once
    expected = {(1, False): 2 / 4, (2, False): 3 / 4, (1, True): (1 + 0) / 2, (2, True): (1 + 1 / 2) / 2}
    for (k, mean_over_classes), accuracy in expected.items():
        metric = ClassAccuracy(4, k, mean_over_classes)
        metric.update(score[:3], label[:3])
        metric.update(score[3:], label[3:])
        assert metric.compute() == pytest.approx(accuracy)
