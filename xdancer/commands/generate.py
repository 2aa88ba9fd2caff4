"""`xdancer generate`: portrait + song → dance video."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdancer.device import DeviceName, Precision, select_device
from xdancer.errors import MediaError, XDancerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xdancer.motion_gpt.sampling import SamplingConfig
    from xdancer.pipelines.dance import DancePipeline, DanceStream

LEAST_SECONDS = 3.0
SAMPLE_RATE = 44100


def generate(
    *,
    image: Path,
    music: Path,
    out: Path,
    model: Path,
    seconds: float | None = None,
    seed: int = 0,
    steps: int | None = None,
    cfg: float | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 0.985,
    motion_cfg: float = 1.0,
    smoothing: float = 1.0,
    pose: Path | None = None,
    side_by_side: Path | None = None,
    save_pose: Path | None = None,
    width: int | None = None,
    height: int | None = None,
    device: DeviceName = "auto",
    precision: Precision = "fp32",
) -> Path:
    """Make the person in a portrait dance to a song.

    Args:
        image: full-length portrait of one person (jpg, png, webp).
        music: the song: wav, mp3, ogg, flac, m4a, or the sound of an mp4; at least 3 s.
        out: the mp4 to write (H.264, 30 fps, the song muxed in), in the portrait's proportions.
        model: model folder of `xdancer export` or `xdancer demo`.
        seconds: length of the dance; the whole song by default.
        seed: equal seeds give equal dances.
        steps: denoising steps of the renderer; the model's own number by default.
        cfg: guidance scale of the renderer; the model's own by default.
        temperature: of the motion tokens; 0 always takes the likeliest, which tends to freeze.
        top_k: draw motion tokens from the k likeliest only; 0 from all.
        top_p: draw motion tokens from the likeliest that add up to p; 1 from all.
        motion_cfg: guidance of the motion by the music; 1 is none.
        smoothing: of the poses over time, standard deviation in frames; 0 is none.
        pose: .npy with the portrait's pose, (60, 3) or (frames, 60, 3): the first frame is the start. Without it a detector finds the pose.
        side_by_side: also write [portrait | pose | result] to this mp4.
        save_pose: also write the dance's poses, (frames, 60, 3), to this .npy.
        width: width of the result in pixels (-W); the renderer's own by default, the height follows.
        height: height of the result in pixels (-H); likewise.
        device: auto, cpu, cuda or mps.
        precision: fp32 or bf16.

    Raises:
        XDancerError: a missing, damaged, silent or short input, a portrait without a person, a wrong model, a path that cannot be written.
    """
    from xdancer.media import read_image
    from xdancer.pipelines.letterbox import Letterbox, output_size
    from xdancer.pipelines.portrait import portrait_pose

    check_outputs(out, side_by_side, save_pose)
    place = select_device(device)
    sampling = make_sampling(temperature=temperature, top_k=top_k, top_p=top_p, guidance=motion_cfg, smoothing=smoothing)
    if seconds is not None and not seconds > 0:
        raise XDancerError(f"--seconds {seconds:g}: must be above 0.")
    portrait, song = read_image(image), read_song(music)
    pipeline = _pipeline(model, place, precision)
    box = Letterbox.fit((portrait.shape[0], portrait.shape[1]), (pipeline.renderer.config.height, pipeline.renderer.config.width))
    try:
        size = output_size(box, width=width, height=height)
    except ValueError as error:
        raise XDancerError(str(error)) from error
    start = portrait_pose(portrait, source=image, pose_file=pose)
    print(f"device {place}, precision {precision}, model {model}")
    from xdancer.progress import Steps

    with Steps() as progress:
        dance = pipeline.stream(
            portrait, listened(song), sample_rate=SAMPLE_RATE, pose=start, seconds=seconds, seed=seed, sampling=sampling, steps=steps,
            guidance=cfg, progress=progress,
        )  # fmt: skip
    notes = {
        "seed": seed,
        "steps": steps,
        "cfg": cfg,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "motion_cfg": motion_cfg,
        "smoothing": smoothing,
    }
    _write(dance, portrait, song, size, notes, out=out, side_by_side=side_by_side, save_pose=save_pose)
    return out


def check_outputs(out: Path, *others: Path | None) -> None:
    """Refuse result paths that cannot be written, before hours of work.

    Raises:
        XDancerError: no mp4 name, a missing folder, or two results of one name.
    """
    named = [path for path in (out, *others) if path is not None]
    if out.suffix.lower() != ".mp4":
        raise XDancerError(f"--out {out}: the result is an mp4. Give a name that ends in .mp4.")
    for path in named:
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise XDancerError(
                f"{path}: {'is a folder' if path.is_dir() else f'the folder {path.parent} does not exist'}. Name a file in an existing folder."
            )
    if len({path.absolute() for path in named}) < len(named):
        raise XDancerError(f"Two results have one name: {', '.join(map(str, named))}. Give each its own.")


def read_song(path: Path) -> "NDArray[np.float32]":
    """The song at 44.1 kHz, (samples, 1 or 2 channels).

    Raises:
        MediaError: missing, damaged, shorter than 3 s, or silent.
    """
    from xdancer.audio.waveform import is_silent
    from xdancer.media import read_stereo

    if not path.is_file():
        raise MediaError(f"{path}: no such file. Give a song as wav, mp3, ogg, flac, m4a or mp4.")
    waveform = read_stereo(path, sample_rate=SAMPLE_RATE)
    if len(waveform) < LEAST_SECONDS * SAMPLE_RATE:
        raise MediaError(f"{path}: {len(waveform) / SAMPLE_RATE:.1f} s of sound. A dance needs at least {LEAST_SECONDS:g} s.")
    if is_silent(waveform):
        raise MediaError(f"{path}: silent. There is nothing to dance to: give a file with audible music.")
    return waveform


def listened(song: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """What the dancer hears: the mean of the channels, or the first where they cancel each other out."""
    from xdancer.audio.waveform import is_silent

    mono = song.mean(axis=1)
    return song[:, 0] if is_silent(mono) else mono


def make_sampling(
    *, temperature: float, top_p: float, smoothing: float, top_k: int = 0, guidance: float = 1.0
) -> "SamplingConfig":  # fmt: skip
    """How tokens are drawn; a value out of range is a user's mistake."""
    from xdancer.motion_gpt.sampling import SamplingConfig

    try:
        return SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance, smoothing=smoothing)
    except ValueError as error:
        raise XDancerError(str(error)) from error


def _pipeline(model: Path, device: Any, precision: Precision) -> "DancePipeline":
    from xdancer.pipelines.dance import DancePipeline

    return DancePipeline.from_pretrained(model, device=device, precision=precision)


def _write(
    dance: "DanceStream", portrait: "NDArray[np.uint8]", song: "NDArray[np.float32]", size: tuple[int, int], notes: dict[str, Any], *,
    out: Path, side_by_side: Path | None, save_pose: Path | None,
) -> None:  # fmt: skip
    """All results; each is whole or not there, and pictures pass through one by one."""
    import xdancer
    from xdancer.media import stream_video, write_video
    from xdancer.pipelines.letterbox import resized
    from xdancer.pipelines.pose_file import save_poses
    from xdancer.pipelines.side_by_side import compose
    from xdancer.types import FPS

    metadata = {"title": "xdancer", "comment": json.dumps({"xdancer": xdancer.__version__, "generated": True, **notes})}
    sound: dict[str, Any] = {"fps": float(FPS), "audio": song, "sample_rate": SAMPLE_RATE, "metadata": metadata}
    write_video(out, (resized(frame, size) for frame in dance.frames), **sound)
    count = len(dance.pose)
    print(f"{out}: {count} frames of {size[1]}×{size[0]}, {count / FPS:.1f} s, sound from the song")
    if side_by_side is not None:
        frames = (picture for _, picture in stream_video(out))
        write_video(side_by_side, compose(portrait, dance.pose, frames, size=size), **sound)
        print(f"{side_by_side}: [portrait | pose | result]")
    if save_pose is not None:
        save_poses(save_pose, dance.pose)
        print(f"{save_pose}: poses {dance.pose.shape}")
