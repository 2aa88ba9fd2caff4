"""`xdancer evaluate`: beat, motion and video figures of dances, with nulls."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xdancer.device import DeviceName, Precision, select_device
from xdancer.errors import XDancerError

if TYPE_CHECKING:
    import torch

    from xdancer.motion_gpt.sampling import SamplingConfig
    from xdancer.pose.detector import PoseDetector

DetectorChoice = Literal["auto", "none", "mediapipe", "dwpose", "rtmw"]
Figures = dict[str, float | int | None]


def evaluate(
    *,
    generated: Path | None = None,
    model: Path | None = None,
    data: Path | None = None,
    train: Path | None = None,
    out: Path | None = None,
    clips: int = 40,
    video_clips: int = 16,
    video_frames: int = 32,
    temperature: float | None = None,
    top_p: float | None = None,
    smoothing: float | None = None,
    seed: int = 0,
    detector: DetectorChoice = "auto",
    json: Path | None = None,
    device: DeviceName = "auto",
    precision: Precision = "fp32",
) -> Figures:
    """Measure dances: beat synchrony with its nulls, speed, diversity; person and background PSNR, LPIPS, PCK, clothes with null rows.

    Either of dances that lie in a folder (`--generated`, as the demo leaves them), or of a model on held-out shards (`--model`, `--data`),
    whose dances are written to `--out` first.

    Args:
        generated: evaluation folder with motion/ and video/, or a demo folder that holds one.
        model: model folder of `xdancer export` or `xdancer demo`; one without a renderer only dances. `shipped` is the model in the
            package.
        data: held-out shards, such as data/test; needed with --model.
        train: training shards for the null row "training mean"; only with --model.
        out: where the model's dances are written, as an evaluation folder; needed with --model.
        clips: dances, each to its own song; only with --model.
        video_clips: rendered clips; only with --model.
        video_frames: frames of each; only with --model.
        temperature: of the motion tokens; the model's own by default (1); only with --model.
        top_p: draw motion tokens from the likeliest that add up to p; the model's own by default (0.985); only with --model.
        smoothing: of the generated poses over time, standard deviation in frames; the model's own by default (1); only with --model.
        seed: of sampling, bootstrap and distractors.
        detector: finds people again in rendered pictures; auto takes MediaPipe if installed. Without one those figures are null.
        json: also write the figures to this file.
        device: auto, cpu, cuda or mps.
        precision: of the model, fp32 or bf16; the figures themselves are always computed in fp32.

    Raises:
        XDancerError: nothing to evaluate, both or neither of --generated and --model, damaged files, a missing detector that was asked for.
    """
    from xdancer.commands.inputs import known, make_sampling, recommended_sampling
    from xdancer.weights import shipped_model

    place = select_device(device)
    drawn = known({"temperature": temperature, "top_p": top_p, "smoothing": smoothing})
    _check_choice(generated, model, data, out, precision)
    if generated is not None and drawn:
        raise XDancerError(f"--{next(iter(drawn)).replace('_', '-')} belongs to --model; with --generated no model runs. Leave it out.")
    if json is not None and not json.absolute().parent.is_dir():
        raise XDancerError(f"--json {json}: the folder {json.parent} does not exist. Create it first.")
    finder = make_finder(detector, str(place))
    print(f"device {place}, precision {precision}, detector {'none' if finder is None else f'{finder.name} {finder.version}'}")
    if model is not None:
        assert data is not None
        assert out is not None
        model = shipped_model() if str(model) == "shipped" else model
        found = recommended_sampling(model) | drawn
        sampling = make_sampling(temperature=found["temperature"], top_p=found["top_p"], smoothing=found["smoothing"])
        print(f"drawn at temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, smoothing {sampling.smoothing:g}")
        _generate(model, data, train, out, clips, video_clips, video_frames, sampling, seed, place, precision)
    figures = measure(generated or out or Path(), detector=finder, seed=seed, device=place)
    show(figures)
    if json is not None:
        from xdancer.evaluation.folder import write_json

        write_json(json, figures)
    return figures


def _check_choice(generated: Path | None, model: Path | None, data: Path | None, out: Path | None, precision: Precision) -> None:
    if (generated is None) == (model is None):
        raise XDancerError("Give either --generated DIR (dances that lie there) or --model DIR --data SHARDS --out DIR (make them first).")
    if generated is not None:
        named = [flag for flag, value in (("--data", data), ("--out", out)) if value is not None]
        if named or precision != "fp32":
            raise XDancerError(f"{(named or ['--precision bf16'])[0]} belongs to --model; with --generated no model runs. Leave it out.")
    elif data is None or out is None:
        raise XDancerError("--model needs --data SHARDS (held-out clips, such as data/test) and --out DIR (where the dances are written).")


def make_finder(choice: DetectorChoice, device: str) -> "PoseDetector | None":
    """The detector of that name; `auto` is MediaPipe, or None with a note where it is not installed.

    Raises:
        XDancerError: the one asked for is not installed.
    """
    from xdancer.pose.detector import detector_if_installed, make_detector

    if choice in ("none", "auto"):
        return None if choice == "none" else detector_if_installed()
    return make_detector(choice, device=device)


def _generate(
    model: Path, data: Path, train: Path | None, out: Path, clips: int, video_clips: int, video_frames: int,
    sampling: "SamplingConfig", seed: int, device: "torch.device", precision: Precision,
) -> None:  # fmt: skip
    """Dances and videos of a model on held-out shards, into an evaluation folder."""
    from xdancer.evaluation.folder import is_empty
    from xdancer.evaluation.model import dance_clips, render_clips
    from xdancer.pipelines.dance import DancePipeline
    from xdancer.pipelines.folder import has_renderer
    from xdancer.pipelines.motion import MotionPipeline
    from xdancer.progress import Steps

    if not is_empty(out):
        raise XDancerError(f"--out {out}: holds dances already. Choose another folder, or measure them with --generated {out}.")
    kind = DancePipeline if has_renderer(model) else MotionPipeline
    pipeline = kind.from_pretrained(model, device=device, precision=precision)
    with Steps() as progress:
        dance_clips(
            pipeline.tokenizer, pipeline.gpt, data, out, clips=clips, sampling=sampling, seed=seed, precision=precision, progress=progress
        )
        if isinstance(pipeline, DancePipeline):
            render_clips(pipeline, data, out, train=train, clips=video_clips, frames=video_frames, seed=seed, progress=progress)


def measure(folder: Path, *, detector: "PoseDetector | None" = None, seed: int = 0, device: "torch.device | str" = "cpu") -> Figures:
    """All figures of an evaluation folder (or of a demo folder that holds one), by flat keys as in `xdancer.metrics.tables`.

    Raises:
        XDancerError: nothing to evaluate, or a damaged file.
    """
    from xdancer.evaluation.folder import is_empty, read_motion_items, read_training_mean, read_video_items
    from xdancer.metrics.tables import evaluate_motion, evaluate_video

    folder = folder / "evaluation" if (folder / "evaluation").is_dir() else folder
    if is_empty(folder):
        raise XDancerError(
            f"{folder}: nothing to evaluate. It needs motion/KEY.generated.npy or video/KEY.generated.mp4; `xdancer demo` writes such a folder."
        )
    figures: Figures = {}
    if any((folder / "motion").glob("*.decoded.npy")):
        from xdancer.evaluation.tokenizer import tokenizer_figures

        figures |= tokenizer_figures(folder)
    if motion := read_motion_items(folder):
        figures |= evaluate_motion(motion, seed=seed)
    if any((folder / "video").glob("*.generated.mp4")):
        figures |= evaluate_video(read_video_items(folder), detector, training_mean=read_training_mean(folder), device=device, seed=seed)
    return figures


BESIDE = ("null", "chance", "ground_truth", "true", "copy", "mean", "grey", "low", "high")
"""Endings of keys whose value stands beside the figure that they qualify."""


def show(figures: Figures) -> None:
    """Print the figures, each with its nulls, references and interval beside it."""
    from rich.console import Console
    from rich.table import Table

    beside = {f"{key}_{ending}": key for key in figures for ending in BESIDE if f"{key}_{ending}" in figures}
    table = Table("figure", "value", "beside it")
    for key, value in figures.items():
        if key not in beside:
            notes = [f"{ending} {_text(figures[f'{key}_{ending}'])}" for ending in BESIDE if f"{key}_{ending}" in beside]
            table.add_row(key, _text(value), " · ".join(notes))
    Console().print(table)


def _text(value: float | int | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
