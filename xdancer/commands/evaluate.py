"""`xdancer evaluate`: beat, motion and video figures of dances, with nulls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xdancer.device import DeviceName, Precision, select_device
from xdancer.errors import XDancerError

if TYPE_CHECKING:
    import torch

    from xdancer.commands.comparing import Sources
    from xdancer.pose.detector import PoseDetector

DetectorChoice = Literal["auto", "none", "mediapipe", "dwpose", "rtmw"]
Figures = dict[str, float | int | None]


@dataclass(frozen=True)
class Sizes:
    """How much a model is asked for."""

    clips: int = 40
    video_clips: int = 16
    video_frames: int = 32

    def chosen(self) -> dict[str, int | None]:
        """What is not as usual, by flag; None for the others."""
        usual = Sizes()
        return {name: None if value == getattr(usual, name) else value for name, value in vars(self).items()}


def evaluate(
    *,
    generated: Path | None = None,
    real: Path | None = None,
    model: Path | None = None,
    data: Path | None = None,
    train: Path | None = None,
    out: Path | None = None,
    clips: int = Sizes.clips,
    video_clips: int = Sizes.video_clips,
    video_frames: int = Sizes.video_frames,
    temperature: float | None = None,
    top_p: float | None = None,
    smoothing: float | None = None,
    seed: int = 0,
    seeds: int = 1,
    detector: DetectorChoice = "auto",
    protocol: str = "xdancer16",
    network_weights: Path | None = None,
    face_weights: Path | None = None,
    lpips_weights: Path | None = None,
    segment_frames: int | None = None,
    null: str | None = None,
    beats: Path | None = None,
    music: Path | None = None,
    portraits: Path | None = None,
    cache: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
    device: DeviceName = "auto",
    precision: Precision = "fp32",
) -> Mapping[str, Any]:
    """Measure dances of any system, or of a model: music, motion, pictures and identity, beside a real set and null rows.

    Three ways. Folders of anybody's videos or pose files: `--generated DIR --real DIR`, pairs by file name; either may be shards, and each
    may stand alone. A model on held-out shards: `--model DIR --data SHARDS --out DIR`. What such a run (or the demo) left: `--generated DIR`.

    Args:
        generated: folder of videos, pose files (npy, pkl, json; OpenPose folders), or shards; or an evaluation folder with motion/ and
            video/, or a demo folder that holds one.
        real: what it is compared with, likewise; may stand alone.
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
        seeds: dances of every song, with seeds from `seed` on; figures are their means, and the diversity within a song is added; only with
            --model.
        detector: finds people again in rendered pictures; auto takes MediaPipe if installed. Without one those figures are null.
        protocol: how distances between sets are taken: xdancer16 (ours, needs no download), disco16, fidvid16, styleganv2048, cd-fvd.
        network_weights: weights of the protocol's network, where it is not the bundled one (`xdancer weights list` says where from).
        face_weights: ArcFace as ONNX for the likeness of faces; the bundled 128-d network by default.
        lpips_weights: torchvision's VGG16 (vgg16-397923af.pth), for LPIPS by VGG beside the one by AlexNet, which is bundled.
        segment_frames: dances were made in segments of so many frames (at 30 fps): `border_gap` says whether their borders show.
        null: rows made from the real set that a good figure tells from a dance: white, smooth, frozen, shuffled, locked, copy, mean, grey,
            or all; several with commas, as in --null frozen,shuffled.
        beats: folder with NAME.json or NAME.txt, music beats in seconds; tracked by librosa by default.
        music: folder with NAME.wav (mp3, flac, …) for dances whose file has no sound.
        portraits: folder with NAME.png; the first frame stands for the portrait by default.
        cache: folder that keeps what was measured of each file, by content; a second run decodes nothing that it knows.
        json: write figures, single dances, exclusions and a full manifest to this file.
        html: write a page with plots, nulls and the worst and best dances.
        device: auto, cpu, cuda or mps.
        precision: of the model, fp32 or bf16; the figures themselves are always computed in fp32.

    Raises:
        XDancerError: nothing to evaluate, flags that exclude each other, damaged files, a missing detector that was asked for.
    """
    from xdancer.commands.comparing import Sources, compare
    from xdancer.evaluation.folder import evaluation_folder

    place = select_device(device)
    if segment_frames is not None and segment_frames < 1:
        raise XDancerError(f"--segment-frames {segment_frames}: at least 1 frame lies between two borders.")
    if seed < 0 or seeds < 1:
        raise XDancerError(f"--seed {seed}, --seeds {seeds}: seeds are whole numbers from 0 on, and at least one of them. Choose others.")
    drawn, sizes = {"temperature": temperature, "top_p": top_p, "smoothing": smoothing}, Sizes(clips, video_clips, video_frames)
    of_model = drawn | {"data": data, "train": train, "out": out} | sizes.chosen()
    of_model |= {"precision": None if precision == "fp32" else precision, "seeds": None if seeds == 1 else seeds}
    _check_choice(Sources(generated, real, beats, music, portraits), model, of_model)
    for flag, path in (("--json", json), ("--html", html)):
        if path is not None and not path.absolute().parent.is_dir():
            raise XDancerError(f"{flag} {path}: the folder {path.parent} does not exist. Create it first.")
    finder = make_finder(detector, str(place))
    print(f"device {place}, precision {precision}, detector {'none' if finder is None else f'{finder.name} {finder.version}'}")
    folders = [] if generated is None else [generated]
    if model is not None:
        assert data is not None
        assert out is not None
        folders = _generate(model, data, train, out, sizes, drawn, range(seed, seed + seeds), place, precision)
    result: dict[str, Any] = {}
    if folders and evaluation_folder(folders[0]) is not None:
        result = held_out(folders, detector=finder, seed=seed, device=place)
        show(result["held_out"])
        real = folders[0] if real is None else real
    asked = protocol != "xdancer16" or any((null, network_weights, face_weights, lpips_weights, segment_frames, beats, music, portraits, html))
    if not result or asked or real != folders[0]:
        if len(folders) > 1:
            print(f"compared dance by dance: those of seed {seed} alone ({folders[0]})")
        sources = Sources(folders[0] if folders else None, real, beats, music, portraits)
        result |= compare(
            sources, protocol=protocol, weights=network_weights, face_weights=face_weights, lpips_weights=lpips_weights,
            segment_frames=segment_frames, nulls=_names(null), cache=cache, html=html, detector=finder, device=place, seed=seed,
            held_out=result.get("held_out"),
        )  # fmt: skip
    if json is not None:
        from xdancer.evaluation.folder import write_json

        write_json(json, result)
    return result


def _names(listed: str | None) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in listed.split(",")] if listed else []


def _check_choice(sources: "Sources", model: Path | None, of_model: Mapping[str, Any]) -> None:
    """Refuse what does not go together; `of_model`: what belongs to --model by flag, None where it was left as usual."""
    if model is None and sources.generated is None and sources.real is None:
        raise XDancerError(
            "Give --generated DIR (videos, poses or shards of any system; --real DIR beside it to compare), --real DIR --null all (null rows "
            "alone), or --model DIR --data SHARDS --out DIR (make dances first)."
        )
    if model is not None:
        if sources.generated is not None:
            raise XDancerError("Give either --generated DIR or --model DIR, not both.")
        if of_model["data"] is None or of_model["out"] is None:
            raise XDancerError("--model needs --data SHARDS (held-out clips, such as data/test) and --out DIR (where the dances are written).")
        return
    named = [f"--{name.replace('_', '-')}" for name, value in of_model.items() if value is not None]
    if named:
        raise XDancerError(f"{named[0]} belongs to --model; without it no model runs. Leave it out.")


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
    model: Path, data: Path, train: Path | None, out: Path, sizes: Sizes, drawn: Mapping[str, float | None], seeds: range,
    device: "torch.device", precision: Precision,
) -> list[Path]:  # fmt: skip
    """Dances and videos of a model on held-out shards, into an evaluation folder for each seed."""
    from xdancer.commands.inputs import known, make_sampling, recommended_sampling
    from xdancer.evaluation.folder import is_empty
    from xdancer.evaluation.model import dance_clips, render_clips
    from xdancer.pipelines.dance import DancePipeline
    from xdancer.pipelines.folder import has_renderer
    from xdancer.pipelines.motion import MotionPipeline
    from xdancer.progress import Steps
    from xdancer.weights import shipped_model

    model = shipped_model() if str(model) == "shipped" else model
    found = recommended_sampling(model) | known(dict(drawn))
    sampling = make_sampling(temperature=found["temperature"], top_p=found["top_p"], smoothing=found["smoothing"])
    print(f"drawn at temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, smoothing {sampling.smoothing:g}")
    folders = [out] if len(seeds) == 1 else [out / f"seed{seed}" for seed in seeds]
    for folder in folders:
        if not is_empty(folder):
            raise XDancerError(f"--out {out}: holds dances already. Choose another folder, or measure them with --generated {folder}.")
    kind = DancePipeline if has_renderer(model) else MotionPipeline
    pipeline = kind.from_pretrained(model, device=device, precision=precision)
    with Steps() as progress:
        for seed, folder in zip(seeds, folders, strict=True):
            dance_clips(
                pipeline.tokenizer, pipeline.gpt, data, folder, clips=sizes.clips, sampling=sampling, seed=seed, precision=precision,
                progress=progress,
            )  # fmt: skip
            if isinstance(pipeline, DancePipeline):
                render_clips(
                    pipeline, data, folder, train=train, clips=sizes.video_clips, frames=sizes.video_frames, seed=seed, progress=progress
                )
    return folders


def held_out(
    folders: Sequence[Path], *, detector: "PoseDetector | None" = None, seed: int = 0, device: "torch.device | str" = "cpu"
) -> dict[str, Any]:  # fmt: skip
    """`held_out`: figures of the evaluation folders, means over them; with several also `seeds` (each one's) and diversity within a song."""
    from xdancer.evaluation.result import manifest
    from xdancer.evaluation.seeds import mean_figures, within_song

    each = [measure(folder, detector=detector, seed=seed, device=device) for folder in folders]
    about = {"manifest": manifest({f"generated {number}": folder for number, folder in enumerate(folders)})}
    if len(each) == 1:
        return about | {"held_out": each[0]}
    return about | {"held_out": mean_figures(each) | within_song(folders), "seeds": each}


def measure(folder: Path, *, detector: "PoseDetector | None" = None, seed: int = 0, device: "torch.device | str" = "cpu") -> Figures:
    """All figures of an evaluation folder (or of a demo folder that holds one), by flat keys as in `xdancer.metrics.tables`.

    Raises:
        XDancerError: nothing to evaluate, or a damaged file.
    """
    from xdancer.evaluation.folder import evaluation_folder, read_motion_items, read_training_mean, read_video_items
    from xdancer.metrics.face_net import make_face_net
    from xdancer.metrics.tables import evaluate_motion, evaluate_video

    place = evaluation_folder(folder)
    if place is None:
        raise XDancerError(
            f"{folder}: nothing to evaluate. It needs motion/KEY.generated.npy or video/KEY.generated.mp4; `xdancer demo` writes such a folder."
        )
    folder = place
    figures: Figures = {}
    if any((folder / "motion").glob("*.decoded.npy")):
        from xdancer.evaluation.tokenizer import tokenizer_figures

        figures |= tokenizer_figures(folder)
    if motion := read_motion_items(folder):
        figures |= evaluate_motion(motion, seed=seed)
    if any((folder / "video").glob("*.generated.mp4")):
        figures |= evaluate_video(
            read_video_items(folder), detector, face_net=make_face_net(device=str(device)), training_mean=read_training_mean(folder),
            device=device, seed=seed,
        )  # fmt: skip
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
