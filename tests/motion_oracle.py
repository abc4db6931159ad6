"""Tells the embedded actions apart by what defines them."""

import numpy as np


def unit(vectors):
    """Give vectors the length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def oracle(bodies):
    """Tell the class from the motion of joints alone."""

    def change(values):
        return values[-1] - values[0]

    pelvis = bodies[:, :, 0]
    if len(bodies) == 2:
        nearer = change(np.linalg.norm(pelvis[0] - pelvis[1], axis=-1)) < 0
        walks = np.linalg.norm(change(pelvis[0])) > 0.3
        return (10 if nearer else 11) if walks else (13 if nearer else 12)
    (body,) = bodies
    across = unit(body[:, 12] - body[:, 16])  # to the left
    heading = change(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])))
    if abs(heading) > 0.5:
        return 8 if heading > 0 else 9
    straight = change((unit(body[:, 13] - body[:, 12]) * unit(body[:, 14] - body[:, 13])).sum(-1))
    if abs(straight) > 0.5:
        return 4 if straight < 0 else 5
    up = unit(body[:, 20] - body[:, 1])
    if abs(change(up[:, 1])) > 0.1:
        return 6 if change(up[:, 1]) < 0 else 7
    paths = []
    for shoulder, elbow, outwards in ((4, 5, across), (8, 9, -across)):
        arm = unit(body[:, elbow] - body[:, shoulder])
        lift, side = (arm * up).sum(-1), (arm * outwards).sum(-1)
        turned = np.sum(side[:-1] * lift[1:] - side[1:] * lift[:-1])
        paths.append((np.ptp(lift) + np.ptp(side), np.ptp(side), change(lift), turned))
    _, spread, lifted, turned = max(paths)
    if spread < 0.2:
        return 0 if lifted > 0 else 1
    return 2 if turned < 0 else 3  # outwards is outwards at the top
