"""The part of `xdancer evaluate` that compares folders of any system: a generated set, a real one, null rows, one protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdancer.errors import XDancerError

if TYPE_CHECKING:
    import torch

    from xdancer.pose.detector import PoseDetector


@dataclass(frozen=True)
class Sources:
    """Folders that `xdancer evaluate` compares."""

    generated: Path | None
    real: Path | None
    beats: Path | None = None
    music: Path | None = None
    portraits: Path | None = None


def compare(
    sources: Sources, *, protocol: str, weights: Path | None, face_weights: Path | None, lpips_weights: Path | None,
    segment_frames: int | None, nulls: Sequence[str], cache: Path | None, html: Path | None, detector: "PoseDetector | None",
    device: "torch.device", seed: int, held_out: Mapping[str, float | int | None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure, print, write the page; the content of the JSON file. `held_out`: figures that the page shows too.

    Raises:
        XDancerError: nothing to measure, an unknown protocol or null row, weights that do not fit.
    """
    from xdancer.evaluation.comparison import Comparison
    from xdancer.evaluation.items import find_items
    from xdancer.evaluation.null_rows import check_nulls
    from xdancer.evaluation.recording import Instruments
    from xdancer.evaluation.result import as_json, show_rows
    from xdancer.metrics.identity import make_face_net
    from xdancer.metrics.perceptual import vgg_lpips
    from xdancer.metrics.video_networks import make_features
    from xdancer.metrics.video_protocols import protocol_named
    from xdancer.progress import Steps

    if nulls and sources.real is None:
        raise XDancerError("--null makes its rows from real dances: give them with --real DIR.")
    rows_wanted = check_nulls(nulls)
    rules = protocol_named(protocol)
    tools = Instruments(
        rules,
        make_features(rules.network, weights=weights, device=device),
        detector,
        make_face_net(face_weights, device="cpu" if face_weights else str(device)),  # ONNX on a GPU needs another onnxruntime
        seed=seed,
        vgg=None if lpips_weights is None else vgg_lpips(lpips_weights),
        segment_frames=segment_frames,
    )
    further = {"beats": sources.beats, "music": sources.music}
    found = {
        name: ([], []) if folder is None else find_items(folder, side=name, **further, portraits=sources.portraits)
        for name, folder in (("generated", sources.generated), ("real", sources.real))
    }
    with Steps() as progress:
        rows = Comparison(tools, cache=cache).rows(found["generated"][0], found["real"][0], rows_wanted, progress)
    for row in rows:
        row.excluded += found.get(row.name, ([], []))[1]
    if not any(row.recordings for row in rows):
        first = next((left for row in rows for left in row.excluded), None)
        raise XDancerError(f"nothing could be measured{f'; {first.key}: {first.reason}' if first else ''}.")
    show_rows(rows, tools)
    result = as_json(rows, tools, vars(sources))
    if html is not None:
        from xdancer.evaluation.html import write_page

        write_page(html, rows, tools, result, held_out)
    return result
