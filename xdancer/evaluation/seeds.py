"""Several dances of one model to each song: means over seeds, and how much the dances to one song differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xdancer.evaluation.folder import read_motion_items
from xdancer.metrics.diversity import diversity
from xdancer.metrics.motion_table import kinetic_windows
from xdancer.metrics.pose import body_height

Figures = dict[str, float | int | None]


def mean_figures(each: Sequence[Mapping[str, float | int | None]]) -> Figures:
    """Mean over seeds of every figure that all of them have; counts are those of one seed where they agree, else their mean."""
    means: Figures = {}
    for name in each[0]:
        values = [figures.get(name) for figures in each]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            means[name] = None
        elif all(isinstance(value, int) for value in known) and len(set(known)) == 1:
            means[name] = known[0]
        else:
            means[name] = float(np.mean(known))
    return means


def within_song(folders: Sequence[Path]) -> Figures:
    """`gpt/div_within_song`: mean distance between dances to the same song with different seeds, on kinetic features of their whole 32-frame
    windows in order, scaled by the true dances' mean and deviation; `gpt/div_between_songs` of the same features beside it. 0 means that the
    seed changes nothing.
    """
    sets = [{item.key: item for item in read_motion_items(folder)} for folder in folders]
    keys = [key for key in sets[0] if all(key in items for items in sets) and np.isfinite(body_height(sets[0][key].true))]
    if len(folders) < 2 or not keys:
        return {"gpt/div_within_song": None, "gpt/div_between_songs": None, "n/div_within_song": 0}
    heights = {key: body_height(sets[0][key].true) for key in keys}
    true = np.stack([kinetic_windows(sets[0][key].true, heights[key]).mean(axis=0) for key in keys])
    dances = [[kinetic_windows(items[key].generated, heights[key]).mean(axis=0) for items in sets] for key in keys]
    within = [diversity(np.stack(dance), true) for dance in dances]
    between = diversity(np.stack([dance[0] for dance in dances]), true)
    known = None if not np.isfinite(between) else between
    return {"gpt/div_within_song": float(np.mean(within)), "gpt/div_between_songs": known, "n/div_within_song": len(keys)}
