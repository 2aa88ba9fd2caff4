"""What the demo's evaluation steps do: fill the evaluation folder, measure it, keep the figures for the report."""

import json
from pathlib import Path
from typing import Any

from xdancer.checkpoint import embedded_tokenizer, load_model
from xdancer.device import DeviceName, Precision, select_device
from xdancer.errors import XDancerError
from xdancer.evaluation.folder import read_motion_items, read_training_mean, read_video_items, write_json
from xdancer.evaluation.model import dance_clips, render_clips
from xdancer.evaluation.tokenizer import tokenizer_figures
from xdancer.metrics.face_net import make_face_net
from xdancer.metrics.tables import evaluate_motion, evaluate_video
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.pipelines.dance import DancePipeline
from xdancer.pose.detector import detector_if_installed
from xdancer.progress import Steps

Figures = dict[str, float | int | str | None]


def measure_motion(
    *, data: Path, gpt: Path, evaluation: Path, figures: Path, clips: int, seed: int, temperature: float, top_p: float,
    smoothing: float, device: DeviceName, precision: Precision,
) -> None:  # fmt: skip
    """Let held-out dancers dance to held-out songs; keep the `vqvae/…` and `gpt/…` figures.

    Args:
        data: folder of the held-out shards.
        gpt: checkpoint of stage 2; it holds its tokenizer.
        evaluation: evaluation folder to fill.
        figures: the .json to write.
        clips: how many, each with its own song.
        seed: of the sampling.
        temperature: of the sampling.
        top_p: of the sampling.
        smoothing: of the poses over time, frames.
        device: auto, cpu, cuda or mps.
        precision: fp32 or bf16.
    """
    place = select_device(device)
    tokenizer, model = embedded_tokenizer(gpt)[0].to(place), load_model(gpt, MotionGPT).to(place)
    with Steps() as progress:
        sampling = SamplingConfig(temperature=temperature, top_p=top_p, smoothing=smoothing)
        dance_clips(tokenizer, model, data, evaluation, clips=clips, sampling=sampling, seed=seed, precision=precision, progress=progress)
    drawn = {"gpt/temperature": temperature, "gpt/top_p": top_p, "gpt/smoothing_frames": smoothing}
    write_json(figures, tokenizer_figures(evaluation) | evaluate_motion(read_motion_items(evaluation), seed=seed) | drawn)


def measure_video(
    *, data: Path, train: Path | None, model: Path, evaluation: Path, figures: Path, clips: int, frames: int, seed: int, device: DeviceName,
    precision: Precision,
) -> None:  # fmt: skip
    """Render held-out people in their own poses; keep the `video/…` figures. Those that need a detector are None without one.

    Args:
        data: folder of the held-out shards.
        train: folder of the training shards, for the null row *training mean*.
        model: model folder.
        evaluation: evaluation folder to fill.
        figures: the .json to write.
        clips: how many of the clips with a video.
        frames: how many consecutive frames of each.
        seed: of the rendering.
        device: auto, cpu, cuda or mps.
        precision: fp32 or bf16.
    """
    pipeline = DancePipeline.from_pretrained(model, device=select_device(device), precision=precision)
    with Steps() as progress:
        render_clips(pipeline, data, evaluation, train=train, clips=clips, frames=frames, seed=seed, progress=progress)
    mean = read_training_mean(evaluation)
    write_json(
        figures, evaluate_video(read_video_items(evaluation), detector_if_installed(), face_net=make_face_net(), training_mean=mean, seed=seed)
    )


def kept(path: Path) -> Figures:
    """Figures that a step has kept.

    Raises:
        XDancerError: the file is missing or damaged.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise XDancerError(f"{path}: cannot be read ({error}). Remove the demo's folder and start again.") from error
    return value
