"""What `xdancer generate` works with: the models, who dances, to which song, and how large the pictures are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from xdancer.commands.inputs import SAMPLE_RATE, listened
from xdancer.device import Precision
from xdancer.errors import XDancerError
from xdancer.media import read_image
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.pipelines.dance import DancePipeline
from xdancer.pipelines.edits import EditRequest, read_edit
from xdancer.pipelines.folder import has_renderer
from xdancer.pipelines.letterbox import Letterbox, output_size
from xdancer.pipelines.motion import MotionPipeline, Wishes, ask_for, frames_of
from xdancer.pipelines.portrait import first_pose, portrait_pose
from xdancer.pipelines.preview import HEIGHT, SQUARE, WIDEST
from xdancer.pipelines.standing import standing_pose
from xdancer.types import PoseBatch

LEAST_SIDE, WIDEST_PORTRAIT = 64, 4
"""Of a portrait: pixels of its longer side, and how many times longer than its shorter one it may be."""


@dataclass(frozen=True)
class Stage:
    """Everything that is read before the dance begins."""

    motion: MotionPipeline
    renderer: DancePipeline | None
    """None where only the skeleton dances."""
    portrait: NDArray[np.uint8] | None
    song: NDArray[np.float32]
    """(sample, channel) at 44.1 kHz."""
    size: tuple[int, int]
    """(height, width) of the result."""

    @property
    def preview_size(self) -> tuple[int, int]:
        """(height, width) of the skeleton's pictures."""
        return self.size if self.renderer is None else _preview_box(self.portrait).inner

    def inside(self, poses: Float[NDArray, "frame 60 3"]) -> Float[NDArray, "frame 60 3"]:
        """Poses in the portrait's coordinates → the motion's."""
        return poses if self.renderer is None else self._box(self.renderer).pose_inside(poses)

    def outside(self, poses: Float[NDArray, "frame 60 3"]) -> Float[NDArray, "frame 60 3"]:
        """Poses in the motion's coordinates → the portrait's."""
        return poses if self.renderer is None else self._box(self.renderer).pose_outside(poses)

    def _box(self, renderer: DancePipeline) -> Letterbox:
        assert self.portrait is not None
        return renderer.box(self.portrait)


def read_portrait(path: Path) -> NDArray[np.uint8]:
    """The picture of the person who dances.

    Raises:
        MediaError: unreadable; XDancerError: too narrow for a dance. A small one is said and taken.
    """
    portrait = read_image(path)
    height, width = portrait.shape[:2]
    if max(height, width) < LEAST_SIDE:
        print(f"{path}: {width}×{height} pixels show little of a person; expect a blur below {LEAST_SIDE}", flush=True)
    if max(height, width) > WIDEST_PORTRAIT * min(height, width):
        raise XDancerError(
            f"{path}: {width}×{height} is more than {WIDEST_PORTRAIT} times as long as wide, and a dance needs room. Crop it around the person."
        )
    return portrait


def set_stage(
    image: Path | None, song: NDArray[np.float32], model: Path, *, device: torch.device, precision: Precision,
    width: int | None, height: int | None,
) -> Stage:  # fmt: skip
    """Read the portrait and load the models: with a renderer where there is a portrait for it.

    Raises:
        MediaError, CheckpointError, StageMismatchError: an unreadable picture or model; XDancerError: a size of other proportions.
    """
    portrait, renderer = None if image is None else read_portrait(image), None
    if portrait is not None and has_renderer(model):
        renderer = DancePipeline.from_pretrained(model, device=device, precision=precision)
        motion = renderer.motion
    else:
        motion = MotionPipeline.from_pretrained(model, device=device, precision=precision)
    box = _preview_box(portrait) if renderer is None or portrait is None else renderer.box(portrait)
    try:
        return Stage(motion, renderer, portrait, song, output_size(box, width=width, height=height))
    except ValueError as error:
        raise XDancerError(str(error)) from error


def set_task(
    stage: Stage, request: EditRequest, *, image: Path | None, pose: Path | None, seconds: float | None, sampling: SamplingConfig,
    asked: dict[str, Any],
) -> tuple[Wishes, PoseBatch, int]:  # fmt: skip
    """What is wanted of the dance, the pose that it begins with, and its frames.

    The pose is that of the pose file, else the portrait's, else the first of the dance that is edited, else someone standing.

    Raises:
        XDancerError: see `read_edit`, `ask_for`, `portrait_pose`.
    """
    frames = frames_of(listened(stage.song), sample_rate=SAMPLE_RATE, seconds=seconds)
    edit, first = read_edit(request, stage.motion.tokenizer, frames=frames, place=stage.inside)
    wishes = Wishes(sampling, edit, ask_for(stage.motion.gpt, **asked))
    if pose is not None:
        given = first_pose(pose)
    elif stage.portrait is not None and image is not None:
        given = portrait_pose(stage.portrait, source=image)
    elif first is not None:
        with torch.no_grad():
            return wishes, stage.motion.tokenizer.decode(first), frames
    else:
        given = standing_pose()
    return wishes, PoseBatch.from_array(stage.inside(given[None])).to(stage.motion.device), frames


def _preview_box(portrait: NDArray[np.uint8] | None) -> Letterbox:
    return Letterbox.fit(SQUARE if portrait is None else (portrait.shape[0], portrait.shape[1]), (HEIGHT, WIDEST))
