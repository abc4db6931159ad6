"""``lightning analyse tsne``: the features of videos in two dimensions."""

from pathlib import Path

import numpy as np

from callbacks.feature_map import MIN_POINTS, choose_samples, draw_maps, embed, write_table
from callbacks.pictures import write_picture
from configs.analysis.inputs import Inputs

MAX_POINTS = 2000
SEED = 0


def analyse(inputs: Inputs, out: Path, classes: int, perplexity: float) -> str:
    """Draw the same videos under each of the weights, a panel each: ``tsne.png`` and ``tsne.csv``.

    Args:
        inputs: networks and videos.
        out: folder.
        classes: most of them, drawn by a fixed seed.
        perplexity: of t-SNE, see ``embed``.

    Returns:
        What was written.

    Raises:
        ValueError: too few videos have a label.
        OSError: a file cannot be written.
    """
    features = inputs.features()
    label = features[0].label.numpy()
    if int((label >= 0).sum()) < MIN_POINTS:
        raise ValueError(f"{int((label >= 0).sum())} labelled videos are too few for t-SNE: take at least {MIN_POINTS}")
    (sample,) = choose_samples(label, 1, classes, MAX_POINTS, SEED)
    maps = [
        embed(one.feature.numpy(), label, sample, perplexity, SEED)._replace(title=model.name)
        for one, model in zip(features, inputs.models, strict=True)
    ]
    write_picture(out / "tsne.png", draw_maps(maps, inputs.data.class_names))
    names = [Path(name).name for name in features[0].name]
    write_table(out / "tsne.csv", maps, names, inputs.data.class_names)
    return f"wrote {out / 'tsne'}.png and .csv: {len(sample):,} videos of {len(np.unique(label[sample]))} classes"
