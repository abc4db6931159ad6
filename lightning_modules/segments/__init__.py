"""Segments of time: overlap, anchors, targets, pooling and suppression. A segment is (start, end), end exclusive."""
