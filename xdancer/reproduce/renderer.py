"""One trained renderer: held-out people in their own later poses, and the figures of their pictures beside the null rows."""

from pathlib import Path

from xdancer.checkpoint import embedded_tokenizer, load_model
from xdancer.data.reader import ShardReader
from xdancer.evaluation.clips import render_clip, training_mean, with_known_clothes, with_video
from xdancer.evaluation.folder import write_json
from xdancer.metrics.tables import evaluate_video
from xdancer.pose.detector import detector_if_installed
from xdancer.video_diffusion.model import VideoDiffusion


def measure_videos(*, data: Path, run: Path, figures: Path, clips: int = 20, frames: int = 32, seed: int = 0) -> None:
    """Render held-out people with a run's renderer, and write its figures; those that need a detector are null without one.

    Args:
        data: held-out shards; the training shards lie beside them.
        run: run folder of stage 3.
        figures: the .json to write.
        clips: how many.
        frames: length of each.
        seed: of the rendering.
    """
    path, reader = run / "last.ckpt", ShardReader(data)
    tokenizer, renderer = embedded_tokenizer(path)[0], load_model(path, VideoDiffusion)
    keys = with_known_clothes(reader, with_video(reader))[:clips]
    items = (render_clip(tokenizer, renderer, reader, key, frames=frames, seed=seed) for key in keys)
    found = evaluate_video(items, detector_if_installed(), training_mean=training_mean(ShardReader(data.parent / "train")), seed=seed)
    write_json(figures, found | {"video/million_parameters": sum(value.numel() for value in renderer.parameters()) / 1e6})
