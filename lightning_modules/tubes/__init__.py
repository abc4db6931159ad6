"""Boxes in frames and tubes through videos: anchors, losses, linking."""
