"""`xdancer generate`: portrait + song → dance video, or the dancing skeleton alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdancer.commands.inputs import SAMPLE_RATE, check_outputs, known, listened, make_sampling, read_song, recommended_sampling
from xdancer.device import DeviceName, Precision, select_device
from xdancer.errors import XDancerError

if TYPE_CHECKING:
    from xdancer.commands.stage import Stage
    from xdancer.pipelines.motion import Wishes
    from xdancer.types import MotionSample, PoseBatch


def generate(
    *,
    image: Path | None = None,
    music: Path,
    out: Path,
    model: Path | None = None,
    seconds: float | None = None,
    seed: int = 0,
    preview: bool = False,
    window: bool = False,
    candidates: int = 1,
    pose: Path | None = None,
    edit: Path | None = None,
    keep: str | None = None,
    lock: str | None = None,
    reroll: str | None = None,
    seed_motion: Path | None = None,
    to: Path | None = None,
    style: str | None = None,
    energy: float | None = None,
    density: float | None = None,
    temperature: float | None = None,
    top_k: int = 0,
    top_p: float | None = None,
    part_sampling: dict[str, dict[str, float]] | None = None,
    motion_cfg: float = 1.0,
    wish_cfg: float = 3.0,
    smoothing: float | None = None,
    steps: int | None = None,
    cfg: float | None = None,
    side_by_side: Path | None = None,
    save_pose: Path | None = None,
    save_tokens: Path | None = None,
    fps: float = 30.0,
    width: int | None = None,
    height: int | None = None,
    device: DeviceName = "auto",
    precision: Precision = "fp32",
) -> Path:
    """Make the person in a portrait dance to a song. With --preview the skeleton dances at once, with or without a portrait.

    A dance can be changed in part: save it (--save-tokens dance.npz), then give it back with --edit and say what of it stays. Wherever a dance
    is read, tokens (.npz) and poses (.npy) do. Frames that stay are approached: the second before them is the best of eight continuations.

    Args:
        image: full-length portrait of one person (jpg, png, webp); the drawn dancer in the package where there is no --model either; may be
            left out with --preview.
        music: the song: wav, mp3, ogg, flac, m4a, or the sound of an mp4; at least 3 s.
        out: the mp4 to write (H.264, the song muxed in), in the portrait's proportions.
        model: model folder of `xdancer export` or `xdancer demo`; by default the one in the package, whose renderer knows drawn people only.
        seconds: length of the dance; the whole song by default.
        seed: equal seeds give equal dances.
        preview: first write the dancing skeleton, OUT.preview.mp4, which can be watched while it grows; without portrait or renderer it is
            the result, and becomes OUT.
        window: preview, shown in a window as well.
        candidates: dance so often and take the dance of the highest beat F1 times mean confidence of the body.
        pose: .npy with the portrait's pose, (60, 3) or (frames, 60, 3): the first frame is the start. Without it a detector finds the pose.
        edit: a dance to change, with one of the next three.
        keep: its frames that stay, as in 0-30,90-120.
        lock: its body parts that stay, of upper_body, lower_body, head, left_hand, right_hand: `upper_body,head`.
        reroll: its body parts that are drawn anew, as in left_hand,right_hand; all else stays.
        seed_motion: the dance begins with this motion.
        to: the dance ends with this pose or motion.
        style: a style that the model knows by name.
        energy: wanted mean speed of the body, body heights a second; for models trained with it.
        density: wanted motion beats a second; likewise.
        temperature: of the motion tokens; the model's own by default (1); 0 always takes the likeliest, which tends to freeze.
        top_k: draw motion tokens from the k likeliest only; 0 from all.
        top_p: draw motion tokens from the likeliest that add up to p; the model's own by default (0.985); 1 from all.
        part_sampling: these three for single body parts, as in {left_hand: {temperature: 0.8}, right_hand: {temperature: 0.8}}.
        motion_cfg: guidance of the motion by the music; 1 is none.
        wish_cfg: guidance of the motion by style, energy and density where they are asked for; 1 is none, a style wants 6.
        smoothing: of the poses over time, standard deviation in frames; the model's own by default (1); 0 is none.
        steps: denoising steps of the renderer; the model's own number by default.
        cfg: guidance scale of the renderer; the model's own by default.
        side_by_side: also write [portrait | pose | result] to this mp4.
        save_pose: also write the dance's poses, (frames, 60, 3), to this .npy.
        save_tokens: also write the dance's tokens to this .npz, for --edit, --seed-motion and --to.
        fps: pictures a second of the result: a dance has 30, each picture shows the frame nearest in time. The preview keeps 30.
        width: width of the result in pixels (-W); the renderer's own by default, the height follows.
        height: height of the result in pixels (-H); likewise.
        device: auto, cpu, cuda or mps.
        precision: fp32 or bf16.

    Raises:
        XDancerError: a missing, damaged, silent or short input, a portrait without a person, a wrong model, a path that cannot be written.
    """
    from xdancer.commands.stage import set_stage, set_task
    from xdancer.pipelines.edits import EditRequest
    from xdancer.pipelines.folder import model_hash
    from xdancer.weights import shipped_model, shipped_portrait

    preview = preview or window
    _check(preview=preview, window=window, image=image, model=model, pose=pose, seconds=seconds, candidates=candidates, fps=fps)
    if image is None and not preview:
        image, pose = shipped_portrait()
    model = shipped_model() if model is None else model
    check_outputs(out, side_by_side, save_pose, save_tokens, preview_path(out) if preview else None)
    request = EditRequest(edit=edit, keep=keep, lock=lock, reroll=reroll, seed_motion=seed_motion, to=to)
    drawn = recommended_sampling(model) | known({"temperature": temperature, "top_p": top_p, "smoothing": smoothing})
    place, sampling = select_device(device), make_sampling(
        top_k=top_k, guidance=motion_cfg, wish_guidance=wish_cfg, parts=part_sampling, **drawn
    )  # fmt: skip
    stage = set_stage(image, read_song(music), model, device=place, precision=precision, width=width, height=height)
    if stage.renderer is None and (side_by_side is not None or not preview):
        raise XDancerError(f"{model} holds a motion model without a renderer. Show its dance with --preview alone, or name another folder.")
    asked = {"style": style, "energy": energy, "density": density}
    wishes, start, frames = set_task(stage, request, image=image, pose=pose, seconds=seconds, sampling=sampling, asked=asked)
    shown: dict[Path | None, str] = {shipped_model(): "in the package", shipped_portrait()[0]: "in the package", None: "none"}
    print(f"device {place}, precision {precision}, model {shown.get(model, model)}, portrait {shown.get(image, image)}")
    notes = {
        "model": model_hash(model), "seed": seed,
        "steps": steps, "cfg": cfg, "top_k": top_k, "part_sampling": part_sampling, "motion_cfg": motion_cfg, "wish_cfg": wish_cfg,
        "candidates": candidates, **drawn, **asked,
    }  # fmt: skip
    live = preview_path(out) if preview else None
    motion = _dance(stage, wishes, start, frames=frames, seed=seed, candidates=candidates, live=live, window=window, notes=notes)
    if stage.renderer is not None:
        _render(stage, start, motion, notes, out=out, side_by_side=side_by_side, fps=fps)
    elif live is not None:
        _take_preview(live, out)
    _save(stage, motion, save_pose=save_pose, save_tokens=save_tokens)
    return out


def preview_path(out: Path) -> Path:
    """Where the skeleton dances while it is made."""
    return out.with_name(f"{out.stem}.preview.mp4")


def _check(
    *, preview: bool, window: bool, image: Path | None, model: Path | None, pose: Path | None, seconds: float | None, candidates: int,
    fps: float,
) -> None:  # fmt: skip
    """Refuse what cannot be, before anything is read."""
    if image is None and not preview and (model is not None or pose is not None):
        raise XDancerError(
            "--image: is needed to render a video with --model or --pose. Name one, leave them out, or let the skeleton dance alone: --preview."
        )
    if seconds is not None and not seconds > 0:
        raise XDancerError(f"--seconds {seconds:g}: must be above 0.")
    if not 1 <= fps <= 120:
        raise XDancerError(f"--fps {fps:g}: from 1 to 120.")
    if candidates < 1:
        raise XDancerError(f"--candidates {candidates}: from 1.")
    if window:
        from xdancer.pipelines.preview import require_display

        require_display()


def _dance(
    stage: "Stage", wishes: "Wishes", start: "PoseBatch", *, frames: int, seed: int, candidates: int, live: Path | None, window: bool,
    notes: dict[str, Any],
) -> "MotionSample":  # fmt: skip
    """Stage 2; with `live`, its skeleton in that file while it is made (several candidates: when one is chosen)."""
    from xdancer.progress import Steps

    song = listened(stage.song)
    music = stage.motion.encode(song, sample_rate=SAMPLE_RATE, frames=frames)
    if candidates > 1 or live is None:
        with Steps() as progress:
            motion = stage.motion.dance(
                music, start, frames=frames, seed=seed, wishes=wishes, candidates=candidates, choose=_choice(song, candidates),
                progress=progress,
            )  # fmt: skip
        if live is not None:
            _preview(stage, motion.pose.to_array(), live, window=window, notes=notes)
        return motion
    stream = stage.motion.stream(music, start, frames=frames, seed=seed, wishes=wishes)
    _preview(stage, stream, live, window=window, notes=notes)
    return stream.sample


def _choice(song: Any, candidates: int) -> Any:
    from xdancer.audio.beats import track_beats
    from xdancer.evaluation.candidates import best_by_beat

    return None if candidates == 1 else best_by_beat(track_beats(song, SAMPLE_RATE).times)


def _preview(stage: "Stage", poses: Any, path: Path, *, window: bool, notes: dict[str, Any]) -> None:
    """The skeleton with the song, in a file that grows and, if wanted, in a window."""
    from xdancer.media import grow_video, made_by_model
    from xdancer.pipelines.preview import Clock, draw_dance, show_live
    from xdancer.types import FPS

    print(f"{path}: the skeleton dances; the file can be watched while it grows", flush=True)
    clock = Clock()
    pictures = clock.timed(draw_dance((stage.outside(pose[None])[0] for pose in poses), size=stage.preview_size))
    grow_video(
        path, show_live(pictures) if window else pictures, fps=float(FPS), audio=stage.song, sample_rate=SAMPLE_RATE,
        metadata=made_by_model(notes),
    )  # fmt: skip
    print(f"{path}: {clock} (music plays at {FPS})")


def _take_preview(live: Path, out: Path) -> None:
    """The preview is the result."""
    from xdancer.media import repack_video

    repack_video(live, out)
    live.unlink()
    print(f"{out}: the dancing skeleton, sound from the song")


def _render(
    stage: "Stage", start: "PoseBatch", motion: "MotionSample", notes: dict[str, Any], *, out: Path, side_by_side: Path | None,
    fps: float,
) -> None:  # fmt: skip
    """Stage 3 and the videos; each is whole or not there, and pictures pass through one by one."""
    from xdancer.media import made_by_model, stream_video, write_video
    from xdancer.pipelines.frame_rate import frame_numbers, shown
    from xdancer.pipelines.letterbox import resized
    from xdancer.pipelines.side_by_side import compose
    from xdancer.progress import Steps

    assert stage.renderer is not None
    assert stage.portrait is not None
    numbers = frame_numbers(motion.pose.confidence.shape[1], fps)
    sound: dict[str, Any] = {"fps": fps, "audio": stage.song, "sample_rate": SAMPLE_RATE, "metadata": made_by_model(notes)}
    with Steps() as progress:
        dance = stage.renderer.show(
            stage.portrait, start, motion, steps=notes["steps"], guidance=notes["cfg"], seed=notes["seed"], progress=progress
        )
        write_video(out, (resized(frame, stage.size) for frame in shown(dance.frames, numbers)), **sound)
    print(f"{out}: {len(numbers)} frames of {stage.size[1]}×{stage.size[0]}, {len(numbers) / fps:.1f} s, sound from the song")
    if side_by_side is not None:
        frames = (picture for _, picture in stream_video(out))
        write_video(side_by_side, compose(stage.portrait, dance.pose[numbers], frames, size=stage.size), **sound)
        print(f"{side_by_side}: [portrait | pose | result]")


def _save(stage: "Stage", motion: "MotionSample", *, save_pose: Path | None, save_tokens: Path | None) -> None:
    """The dance itself, for other tools and for later changes."""
    from xdancer.pipelines import dance_file
    from xdancer.pipelines.pose_file import save_poses

    if save_pose is not None:
        poses = stage.outside(motion.pose.to_array())
        save_poses(save_pose, poses)
        print(f"{save_pose}: poses {poses.shape}")
    if save_tokens is not None:
        dance_file.save_tokens(save_tokens, motion.tokens, stage.motion.tokenizer)
        print(f"{save_tokens}: tokens {tuple(motion.tokens.ids.shape[1:])}")
