"""Nearest neighbours against a plain loop, and accuracies by hand."""

import numpy as np
import pytest
import torch

from lightning_modules.metrics.class_accuracy import ClassAccuracy
from lightning_modules.metrics.nearest_neighbours import nearest_neighbour_top1, nearest_neighbours, vote


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


def plain_neighbours(bank, queries, k):
    bank, queries = bank.astype(np.float64), queries.astype(np.float64)
    lengths = np.linalg.norm(bank, axis=1), np.linalg.norm(queries, axis=1)[:, None]
    similarity = queries @ bank.T / np.where(lengths[0] > 0, lengths[0], 1) / np.where(lengths[1] > 0, lengths[1], 1)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return nearest, np.take_along_axis(similarity, nearest, 1)


@pytest.mark.parametrize("max_bytes", [1, 900, 2500, 10_000, 2**28])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_neighbours_in_parts_that_do_not_divide(k, max_bytes):
    """Signs of 16 numbers: similarities are exact multiples of an eighth, so that most neighbours are tied."""
    rng = np.random.default_rng(0)
    bank, queries = (rng.choice([-1.0, 1.0], (count, 16)).astype(np.float32) for count in (37, 23))
    bank[:, :10] = 1
    bank[5] = queries[7] = 0
    expected, similarity = plain_neighbours(bank, queries, k)
    assert k == 1 or (np.diff(similarity) == 0).mean() > 0.5
    found = nearest_neighbours(torch.from_numpy(bank), 3 * torch.from_numpy(queries), k, max_bytes)
    assert found[0].dtype == torch.int64
    np.testing.assert_array_equal(found[0].numpy(), expected)
    np.testing.assert_allclose(found[1].numpy(), similarity, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_neighbours_of_random_features(dtype):
    bank, queries = (torch.randn(count, 12, generator=torch.Generator().manual_seed(count)) for count in (300, 77))
    bank, queries = bank.to(dtype), queries.to(dtype)
    expected, similarity = plain_neighbours(bank.double().numpy(), queries.double().numpy(), 4)
    found = nearest_neighbours(bank, queries, 4, max_bytes=7000)
    np.testing.assert_array_equal(found[0].numpy(), expected)
    np.testing.assert_allclose(found[1].numpy(), similarity, atol=1e-5)
    assert found[1].dtype == torch.float32


def test_neighbours_need_little_memory():
    """No tensor of all pairs, 40 MB here, is ever made."""
    bank, queries = torch.randn(10_000, 8), torch.randn(1000, 8)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profile:
        nearest_neighbours(bank, queries, max_bytes=2**20)
    sizes = [event.cpu_memory_usage for event in profile.events()]
    assert 2**18 < max(sizes) <= 2**20


def test_votes_grow_with_similarity():
    labels = torch.tensor([[0, 1, 1], [0, 1, 1]])
    similarity = torch.tensor([[0.9, 0.5, 0.5], [0.9, 0.88, 0.88]])
    assert vote(labels, similarity).tolist() == [0, 1]


def test_wrong_features_are_refused():
    rows = torch.ones(4, 3)
    with pytest.raises(ValueError, match=r"bank \(4, 3\) and of the queries \(4, 2\) differ"):
        nearest_neighbours(rows, rows[:, :2])
    with pytest.raises(ValueError, match="k=0 and max_bytes"):
        nearest_neighbours(rows, rows, 0)
    broken = rows.clone()
    broken[2, 1] = float("nan")
    with pytest.raises(ValueError, match=r"features of bank 2 .*not finite"):
        nearest_neighbours(broken, rows, max_bytes=1)
    with pytest.raises(ValueError, match=r"features of query 2 .*not finite"):
        nearest_neighbours(rows, broken, max_bytes=1)
