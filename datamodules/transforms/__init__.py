"""Tensor to tensor, what any dataset needs."""
