"""The graph of Kinect v2's 25 joints (Shahroudy et al. 2016, arXiv:1604.02808), as ST-GCN and A-GCN cut it up."""

import torch
from torch import Tensor

from lightning_modules.networks.skeleton_network import NUM_JOINTS

# Each joint and its neighbour towards the spine's joint between the shoulders, which has none; counted from 0.
PARENTS = (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, None, 22, 7, 24, 11)
CENTRE = 20


def inward_edges() -> Tensor:
    """float32 (25, 25), 1 in row ``parent`` and column ``joint`` of each bone."""
    edges = torch.zeros(NUM_JOINTS, NUM_JOINTS)
    for joint, parent in enumerate(PARENTS):
        if parent is not None:
            edges[parent, joint] = 1
    return edges


def directed_graph() -> Tensor:
    """A-GCN's three subsets (lshiqi/2s-AGCN, graph/ntu_rgb_d.py): self, inward and outward.

    Returns:
        float32 (3, 25, 25); the columns of each matrix that are not empty sum to 1.
    """
    inward = inward_edges()
    return torch.stack((torch.eye(NUM_JOINTS), _normalise(inward), _normalise(inward.T)))


def distance_graph() -> Tensor:
    """ST-GCN's spatial partition (yysijie/st-gcn, net/utils/graph.py) of neighbours at most one bone away.

    Returns:
        float32 (3, 25, 25): self, neighbours farther from the centre, the nearer one; all columns of their sum add up
        to 1.
    """
    inward = inward_edges()
    whole = _normalise(torch.eye(NUM_JOINTS) + inward + inward.T)
    # Joint w gathers from v with weight [v, w]. All neighbours differ in their distance: the graph is a tree.
    return torch.stack((whole * torch.eye(NUM_JOINTS), whole * inward.T, whole * inward))


def _normalise(edges: Tensor) -> Tensor:
    """Divide each column by its sum, where that is not 0."""
    return edges / edges.sum(0).clamp(min=1)
