"""Steps of the demo that run as its children: `python -m xdancer.demo STEP …`. Each prints `what N/M` lines and leaves its figures as JSON."""

import sys
from pathlib import Path

from xdancer.device import DeviceName, Precision
from xdancer.errors import XDancerError


def unseen(*, data: Path, portrait: Path, pose: Path, song: Path, figures: Path) -> None:
    """Pick the portrait and the song of the demo's dance.

    Args:
        data: folder of the held-out shards.
        portrait: the .png to write.
        pose: the .npy to write.
        song: the .m4a to write.
        figures: the .json to write, which says where the pose comes from.
    """
    from xdancer.demo.unseen import write_unseen

    write_unseen(data=data, portrait=portrait, pose=pose, song=song, figures=figures)


def packaged(*, portrait: Path, pose: Path, song: Path, figures: Path, seconds: float, seed: int = 0) -> None:
    """Lay out the portrait in the package and a new song for the demo's dance.

    Args:
        portrait: the .png to write.
        pose: the .npy to write.
        song: the .m4a to write.
        figures: the .json to write, which says where the pose comes from.
        seconds: length of the song.
        seed: of the song.
    """
    from xdancer.demo.packaged import write_packaged

    write_packaged(portrait=portrait, pose=pose, song=song, figures=figures, seconds=seconds, seed=seed)


def motion(
    *, data: Path, gpt: Path, evaluation: Path, figures: Path, clips: int = 40, seed: int = 0, temperature: float = 1.0,
    top_p: float = 1.0, smoothing: float = 0.0, device: DeviceName = "auto", precision: Precision = "fp32",
) -> None:  # fmt: skip
    """Let held-out dancers dance to held-out songs and measure stages 1 and 2.

    Args:
        data: folder of the held-out shards.
        gpt: checkpoint of stage 2.
        evaluation: evaluation folder to fill.
        figures: the .json to write.
        clips: how many.
        seed: of the sampling.
        temperature: of the sampling.
        top_p: of the sampling.
        smoothing: of the poses over time, frames.
        device: auto, cpu, cuda or mps.
        precision: fp32 or bf16.
    """
    from xdancer.demo.steps import measure_motion

    measure_motion(
        data=data, gpt=gpt, evaluation=evaluation, figures=figures, clips=clips, seed=seed, temperature=temperature, top_p=top_p,
        smoothing=smoothing, device=device, precision=precision,
    )  # fmt: skip


def video(
    *, data: Path, train: Path | None = None, model: Path, evaluation: Path, figures: Path, clips: int = 16, frames: int = 32, seed: int = 0,
    device: DeviceName = "auto", precision: Precision = "fp32",
) -> None:  # fmt: skip
    """Render held-out people in their own poses and measure stage 3.

    Args:
        data: folder of the held-out shards.
        train: folder of the training shards, for the null row *training mean*.
        model: model folder.
        evaluation: evaluation folder to fill.
        figures: the .json to write.
        clips: how many.
        frames: how many of each.
        seed: of the rendering.
        device: auto, cpu, cuda or mps.
        precision: fp32 or bf16.
    """
    from xdancer.demo.steps import measure_video

    measure_video(
        data=data, train=train, model=model, evaluation=evaluation, figures=figures, clips=clips, frames=frames, seed=seed, device=device,
        precision=precision,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run one step; returns the exit code."""
    from jsonargparse import auto_cli

    try:
        auto_cli([unseen, packaged, motion, video], args=arguments, prog="python -m xdancer.demo", as_positional=False)
    except XDancerError as error:
        print(f"xdancer demo: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
