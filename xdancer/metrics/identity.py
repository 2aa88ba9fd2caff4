"""ID-SIM: how alike the faces of a video are to the portrait's, frame by frame.

The face is cut by the keypoints of eyes and nose, so no face detector is needed. A frame in which they are not visible, or lie as no face
turned to the camera has them, has no face: it is counted and enters no mean. Read every value beside the true video's and beside that of
another identity's portrait: the cosine of two strangers is .88–.92 for the shipped network and about 0 for ArcFace.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric

from xdancer.errors import XDancerError
from xdancer.metrics.face_net import BATCH, ChipLayout, FaceNet, make_face_net
from xdancer.pose.coordinates import to_pixels
from xdancer.skeleton import LEFT_EYE, NOSE, RIGHT_EYE, VISIBLE

__all__ = ["FaceFrames", "FaceNet", "IdentityScore", "IdentitySimilarity", "embed_faces", "face_similarity", "identity_score", "make_face_net"]

FACE_FIT = 0.5
"""Share of the three points' spread that a turn, a scale and a shift of the network's own three explain: 1 from the front, .16 from behind."""
FACE_PIXELS = 6.0
"""Least distance of the eyes in pixels, as the three points together say it; below, a chip shows next to nothing."""


@dataclass(frozen=True)
class FaceFrames:
    """Pictures, and the poses that say where the faces lie in them."""

    frames: UInt8[NDArray, "frame height width 3"]
    """RGB."""
    poses: Float[NDArray, "_ 60 3"]
    """In the coordinates of `PoseBatch`."""

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.poses):
            raise XDancerError(f"{len(self.frames)} pictures with {len(self.poses)} poses: faces are cut by the pose of each picture.")


@dataclass(frozen=True)
class IdentityScore:
    """ID-SIM of one clip; NaN where no frame, or no portrait, shows a face."""

    network: str
    """Name and digest of the face network."""
    mean: float
    """Mean cosine to the portrait over the frames with a face."""
    curve: Float[NDArray, " frame"]
    """The same over time, NaN where there is no face."""
    frames: int
    frames_without_face: int
    distance: float
    """Mean Euclidean distance to the portrait; below `face_net.SAME_PERSON` the shipped network takes two faces for one person's."""
    true: float
    """The true video's own mean cosine to the same portrait; NaN where none is given."""
    other: float
    """The null: the generated faces' mean cosine to another identity's portrait; NaN where none is given."""
    portrait_has_face: bool


def _placement(points: Float[NDArray, "3 2"], layout: ChipLayout) -> tuple[complex, complex, float]:
    """(a, b, share explained) of the least-squares similarity picture = a · chip + b, as complex numbers x + iy; it never mirrors."""
    seen = _complex(points)
    chip = _complex(np.array([layout.nose, layout.right_eye, layout.left_eye]))
    ours, theirs = seen - seen.mean(), chip - chip.mean()
    spread, common = float(np.sum(np.abs(ours) ** 2)), complex(np.sum(np.conj(theirs) * ours))
    turn = common / float(np.sum(np.abs(theirs) ** 2))
    share = abs(common) ** 2 / (spread * float(np.sum(np.abs(theirs) ** 2))) if spread > 0 else 0.0
    return turn, complex(seen.mean() - turn * chip.mean()), share


def _complex(points: Float[NDArray, "point 2"]) -> Complex[NDArray, " point"]:
    return points[:, 0].astype(np.float64) + 1j * points[:, 1]


def cut_chip(
    frame: UInt8[NDArray, "height width 3"], pixels: Float[NDArray, "60 3"], layout: ChipLayout
) -> Float[Tensor, "3 size size"] | None:
    """The face of a picture as the network wants it, in [-1, 1]; None where there is none. Black outside the picture.

    Args:
        frame: RGB.
        pixels: the pose in it, x and y in pixels from the upper left corner.
        layout: where eyes and nose go.
    """
    marks = pixels[[NOSE, RIGHT_EYE, LEFT_EYE]]
    if not (marks[:, 2] >= VISIBLE).all() or not np.isfinite(marks[:, :2]).all():
        return None
    turn, shift, share = _placement(marks[:, :2], layout)
    eyes = abs(turn) * abs(complex(*layout.left_eye) - complex(*layout.right_eye))
    if share < FACE_FIT or not FACE_PIXELS <= eyes <= max(frame.shape[:2]):
        return None
    size = layout.size
    grid = np.arange(size) + 0.5
    places = turn * (grid[None] + 1j * grid[:, None]) + shift
    return _sample(frame, places, abs(turn))


def _sample(frame: UInt8[NDArray, "height width 3"], places: Complex[NDArray, "size size"], scale: float) -> Float[Tensor, "3 size size"]:
    """The picture at places x + iy (pixels), read from the part around them; a face larger than the chip is averaged down first."""
    across, down = np.real(places), np.imag(places)
    margin = int(np.ceil(2 * max(scale, 1)))
    left, top = (int(np.floor(part.min())) - margin for part in (across, down))
    right, bottom = (int(np.ceil(part.max())) + margin for part in (across, down))
    inside = frame[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    part = torch.zeros(3, bottom - top, right - left)
    if inside.size:
        row, column = max(-top, 0), max(-left, 0)
        part[:, row : row + inside.shape[0], column : column + inside.shape[1]] = torch.from_numpy(inside.copy()).permute(2, 0, 1).float()
    rows, columns = bottom - top, right - left
    if scale > 1:
        smaller = (max(round(rows / scale), 1), max(round(columns / scale), 1))
        part = functional.interpolate(part[None], size=smaller, mode="bilinear", antialias=True, align_corners=False)[0]
    grid = np.stack([(across - left) / columns, (down - top) / rows], axis=-1) * 2 - 1
    chip = functional.grid_sample(part[None], torch.from_numpy(grid)[None].float(), mode="bilinear", align_corners=False)[0]
    return chip / 127.5 - 1


@torch.no_grad()
def embed_faces(
    frames: UInt8[NDArray, "frame height width 3"], poses: Float[NDArray, "frame 60 3"], network: FaceNet
) -> tuple[Float[NDArray, "face feature"], NDArray[np.int64]]:
    """Vectors of the faces, in double, and the numbers of the frames that show one."""
    pixels = to_pixels(poses, width=frames.shape[2], height=frames.shape[1])
    vectors: list[NDArray[np.float64]] = []
    shown: list[int] = []
    chips: list[Tensor] = []
    for number, (frame, pose) in enumerate(zip(frames, pixels, strict=True)):
        chip = cut_chip(frame, pose, network.layout)
        if chip is not None:
            chips.append(chip)
            shown.append(number)
        if chips and (len(chips) == BATCH or number == len(frames) - 1):
            vectors.append(network(torch.stack(chips)).cpu().double().numpy())
            chips = []
    return (np.concatenate(vectors) if vectors else np.zeros((0, 1))), np.array(shown, dtype=np.int64)


def _cosine(vectors: Float[NDArray, "face feature"], portrait: Float[NDArray, " feature"]) -> Float[NDArray, " face"]:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(portrait)
    return vectors @ portrait / np.maximum(lengths, 1e-12)


def face_similarity(
    frames: UInt8[NDArray, "frame height width 3"],
    poses: Float[NDArray, "frame 60 3"],
    portrait: UInt8[NDArray, "_ _ 3"],
    portrait_pose: Float[NDArray, "60 3"],
    network: FaceNet,
) -> Float[NDArray, " frame"]:
    """Cosine of every frame's face to the portrait's; NaN in frames without a face, and throughout where the portrait has none.

    Args:
        frames: RGB.
        poses: where the faces lie, in the coordinates of `PoseBatch`: re-detected ones, or those that drove the video.
        portrait: RGB, of any size.
        portrait_pose: likewise in the portrait.
        network: `make_face_net`.
    """
    return identity_score(FaceFrames(frames, poses), FaceFrames(portrait[None], portrait_pose[None]), network).curve


def identity_score(
    generated: FaceFrames,
    portrait: FaceFrames,
    network: FaceNet,
    *,
    true: FaceFrames | None = None,
    other: FaceFrames | None = None,
) -> IdentityScore:
    """ID-SIM of a clip with what it has to be read beside.

    Args:
        generated: what is judged.
        portrait: one picture of the person meant; its first frame is taken.
        network: of the faces.
        true: the real video of the same person.
        other: a portrait of somebody else.
    """
    vectors, shown = embed_faces(generated.frames, generated.poses, network)
    anchor, foreign = (_first(one, network) for one in (portrait, other))
    curve = np.full(len(generated.frames), np.nan)
    distance = float("nan")
    if anchor is not None and len(vectors):
        curve[shown] = _cosine(vectors, anchor)
        distance = float(np.linalg.norm(vectors - anchor, axis=1).mean())
    real = np.zeros((0, 1)) if true is None else embed_faces(true.frames, true.poses, network)[0]
    return IdentityScore(
        network=f"{network.name} {network.digest}", mean=_mean(curve[shown]), curve=curve, frames=len(curve),
        frames_without_face=len(curve) - len(shown), distance=distance, true=_mean_cosine(real, anchor), other=_mean_cosine(vectors, foreign),
        portrait_has_face=anchor is not None,
    )  # fmt: skip


def _first(portrait: FaceFrames | None, network: FaceNet) -> Float[NDArray, " feature"] | None:
    if portrait is None:
        return None
    vectors, _ = embed_faces(portrait.frames[:1], portrait.poses[:1], network)
    return vectors[0] if len(vectors) else None


def _mean_cosine(vectors: Float[NDArray, "face feature"], portrait: Float[NDArray, " other"] | None) -> float:
    return float("nan") if portrait is None or not len(vectors) else _mean(_cosine(vectors, portrait))


def _mean(values: Float[NDArray, " value"]) -> float:
    return float(values.mean()) if len(values) else float("nan")


_FIGURES: tuple[str, ...] = (
    "id_sim", "id_sim_true", "id_sim_other", "id_distance", "clips", "clips_without_face", "frames", "frames_without_face",
)  # fmt: skip


class IdentitySimilarity(Metric):
    """ID-SIM over clips and ranks: means over clips of `identity_score`, each over the clips that have the figure.

    Range −1 … 1, 1 = the same face. Answers the ID-SIM column of Tab. 2. States are sums in double, so two processes give what one gives.
    `compute()` gives `id_sim`, `id_sim_true`, `id_sim_other`, `id_distance` (NaN where no clip has them) and the counts `clips`,
    `clips_without_face` (nothing to compare in any frame, or no face in the portrait), `frames`, `frames_without_face`.

    Args:
        network: of the faces; stays out of the module tree and of checkpoints.
    """

    higher_is_better = True
    full_state_update = False
    sums: Tensor
    seen: Tensor
    counts: Tensor

    def __init__(self, network: FaceNet) -> None:
        super().__init__()
        self._score = functools.partial(identity_score, network=network)
        for name, width in (("sums", 4), ("seen", 4), ("counts", 4)):
            self.add_state(name, torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, generated: FaceFrames, portrait: FaceFrames, *, true: FaceFrames | None = None, other: FaceFrames | None = None) -> None:
        """Add one clip."""
        score = self._score(generated, portrait, true=true, other=other)
        values = torch.tensor([score.mean, score.true, score.other, score.distance], dtype=torch.float64, device=self.sums.device)
        known = values.isfinite()
        self.sums += values.where(known, torch.zeros_like(values))
        self.seen += known
        counts = [1, not known[0], score.frames, score.frames_without_face]
        self.counts += torch.tensor([float(count) for count in counts], dtype=torch.float64, device=self.counts.device)

    def compute(self) -> dict[str, float]:
        means = torch.where(self.seen > 0, self.sums / self.seen.clamp_min(1), torch.nan).tolist()
        return dict(zip(_FIGURES, [*means, *self.counts.tolist()], strict=True))
