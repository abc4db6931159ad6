"""InfoNCE and the queue, against plain NumPy and by hand."""

import numpy as np
import process_fakes
import pytest
import torch
from torch.nn import functional

from lightning_modules.losses.gather import exchange
from lightning_modules.losses.info_nce import InfoNCE
from lightning_modules.losses.key_queue import KeyQueue


def plain_info_nce(query, key, negatives, others, tau):
    """Equation 5.1, one query at a time, in float64."""

    def unit(rows):
        rows = np.asarray(rows, np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    query, key, losses = unit(query), unit(key), []
    for i, z in enumerate(query):
        against = [z @ n for n in np.asarray(negatives, np.float64)]
        if others is not None:
            against += [z @ n for j, n in enumerate(unit(others)) if j != i]
        positive = np.exp(z @ key[i] / tau)
        losses.append(-np.log(positive / (positive + np.exp(np.array(against) / tau).sum())))
    return np.array(losses)


@pytest.mark.parametrize(("in_batch", "queue"), [(False, 7), (True, 7), (True, 0)])
def test_info_nce_is_equation_5_1(in_batch, queue):
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 5, 8, generator=generator)
    negatives = functional.normalize(torch.randn(queue, 8, generator=generator), dim=1)
    others = key if in_batch else None
    losses, logits = InfoNCE(0.2)(query, key, negatives, others)
    np.testing.assert_allclose(losses, plain_info_nce(query, key, negatives, others, 0.2), rtol=1e-5)
    assert logits.shape == (5, 1 + queue + 5 * in_batch)


def test_rank_rows_of_the_global_batch():
    """Two ranks with half of the queries each give the losses of one process."""
    query, key = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))
    empty, loss = torch.empty(0, 8), InfoNCE(0.2)
    whole, _ = loss(query, key, empty, key)
    halves = [loss(query[part], key[part], empty, key, first=part.start)[0] for part in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(torch.cat(halves), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_finite(dtype):
    """T = 0.07 with inputs of large norm, as under mixed precision."""
    query = (torch.randn(16, 128, generator=torch.Generator().manual_seed(0)) * 200).to(dtype).requires_grad_()
    negatives = functional.normalize(torch.randn(64, 128, generator=torch.Generator().manual_seed(1)), dim=1)
    with torch.autocast("cpu", dtype):
        losses, logits = InfoNCE(0.07)(query, query.detach(), negatives)
    losses.mean().backward()
    assert losses.dtype == logits.dtype == torch.float32
    assert torch.isfinite(losses).all()
    assert torch.isfinite(query.grad).all()


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="positive, not 0"):
        InfoNCE(0)


def unit_rows(first, count, dim=4):
    rows = torch.arange(first, first + count, dtype=torch.float32)[:, None].expand(-1, dim)
    return rows / 1000


@pytest.mark.parametrize("sizes", [[4, 4, 4], [3, 5, 1, 6], [10], [25, 2]])
def test_queue_keeps_the_latest_keys(sizes):
    """Any batch sizes: the ring holds the last K keys, each once."""
    queue, pushed = KeyQueue(8, 4), 0
    queue.keys.fill_(-1)
    for size in sizes:
        queue.push(unit_rows(pushed, size))
        pushed += size
    rows = sorted((queue.keys[:, 0] * 1000).round().int().tolist())
    assert [row for row in rows if row >= 0] == list(range(max(pushed - 8, 0), pushed))
    assert queue.filled == min(pushed / 8, 1)


def test_oldest_row_is_replaced_first():
    queue = KeyQueue(4, 4)
    queue.push(unit_rows(1, 4))
    queue.push(unit_rows(5, 1))
    assert (queue.keys[:, 0] * 1000).round().tolist() == [5, 2, 3, 4]


def test_queue_starts_with_unit_vectors_and_survives_saving():
    queue = KeyQueue(16, 8)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(16))
    queue.push(functional.normalize(torch.randn(5, 8), dim=1))
    storage = queue.keys.data_ptr()
    other = KeyQueue(16, 8)
    other.load_state_dict(queue.state_dict())
    other.push(functional.normalize(torch.ones(1, 8), dim=1))
    queue.push(functional.normalize(torch.ones(1, 8), dim=1))
    torch.testing.assert_close(other.keys, queue.keys)
    assert queue.keys.data_ptr() == storage, "the buffer must be changed in place"


def test_negative_queue_size_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        KeyQueue(-1)


def test_rows_are_dealt_out_over_three_processes(tmp_path):
    whole = torch.randint(0, 256, (12, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    assert torch.equal(exchange(whole, order), whole[order])

    def deal():
        torch.distributed.init_process_group("gloo")
        rank = torch.distributed.get_rank()
        dealt = exchange(whole[4 * rank : 4 * rank + 4], order)
        back = exchange(dealt.transpose(1, 2).float(), order.argsort()).transpose(1, 2)
        torch.save((dealt, back), tmp_path / f"{rank}.pt")
        return 0

    codes = process_fakes.run(process_fakes.torchrun(1, 3), deal, tmp_path / "errors")
    assert codes == [0, 0, 0], (tmp_path / "errors").read_text()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(3)]
    assert torch.equal(torch.cat([dealt for dealt, _ in parts]), whole[order])
    assert torch.equal(torch.cat([back for _, back in parts]), whole.float())
