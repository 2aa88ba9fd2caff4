"""Where a video comes from, as tags of the file: what made it, from what seed, and that it is no recording."""

import json
from collections.abc import Mapping
from typing import Any

import xdancer

AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's name for media that a trained model made."""


def made_by_model(notes: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a video that shows what a model made; `notes` name at least `model` (fingerprints) and `seed`."""
    return {"digital_source_type": AI_MADE, **_tags(generated=True, notes=notes)}


def drawn() -> dict[str, str]:
    """Tags of a video of given pictures or poses."""
    return _tags(generated=False, notes={})


def _tags(*, generated: bool, notes: Mapping[str, Any]) -> dict[str, str]:
    return {"title": "xdancer", "comment": json.dumps({"xdancer": xdancer.__version__, "generated": generated, **notes})}
