"""A help for small runs: carry the portrait to the target pose limb by limb (dense motion from local affine maps, as in Siarohin et al. 2019).

Every limb of the target picture has a map into the portrait: along the limb it stretches, across it keeps pixels. Maps are blended by
soft distance to the limbs; the radii and the order in depth are learned. What was covered in the portrait cannot be seen by it: that,
hands, faces and folds stay the network's work.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer import skeleton as s
from xdancer.types import PoseBatch

PLACED = 0.05
"""Keypoints below this confidence have no known place and carry no limb; what is hidden has a place still."""


@dataclass(frozen=True)
class Limb:
    """A stretch of the body between keypoints (means of the visible ones)."""

    name: str
    start: tuple[int, ...]
    end: tuple[int, ...]
    radius: float
    """Before training, in body heights."""
    beyond: float = 0.0
    """How far it reaches beyond its end, in lengths: feet have no keypoints."""


LIMBS = (
    Limb("torso", (s.NECK,), (s.RIGHT_HIP, s.LEFT_HIP), 0.10),
    Limb("right_side", (s.RIGHT_SHOULDER,), (s.RIGHT_HIP,), 0.07),
    Limb("left_side", (s.LEFT_SHOULDER,), (s.LEFT_HIP,), 0.07),
    Limb("head", (s.NECK,), (s.NOSE, s.RIGHT_EYE, s.LEFT_EYE, s.RIGHT_EAR, s.LEFT_EAR), 0.09),
    Limb("right_upper_arm", (s.RIGHT_SHOULDER,), (s.RIGHT_ELBOW,), 0.05),
    Limb("left_upper_arm", (s.LEFT_SHOULDER,), (s.LEFT_ELBOW,), 0.05),
    Limb("right_forearm", (s.RIGHT_ELBOW,), (s.RIGHT_WRIST,), 0.04),
    Limb("left_forearm", (s.LEFT_ELBOW,), (s.LEFT_WRIST,), 0.04),
    Limb("right_thigh", (s.RIGHT_HIP,), (s.RIGHT_KNEE,), 0.06),
    Limb("left_thigh", (s.LEFT_HIP,), (s.LEFT_KNEE,), 0.06),
    Limb("right_shin", (s.RIGHT_KNEE,), (s.RIGHT_ANKLE,), 0.05, beyond=0.25),
    Limb("left_shin", (s.LEFT_KNEE,), (s.LEFT_ANKLE,), 0.05, beyond=0.25),
    Limb("right_hand", (s.RIGHT_WRIST,), (s.RIGHT_HAND.start + 9, s.RIGHT_HAND.start + 12), 0.035),
    Limb("left_hand", (s.LEFT_WRIST,), (s.LEFT_HAND.start + 9, s.LEFT_HAND.start + 12), 0.035),
)


@dataclass(frozen=True)
class LimbEnds:
    """Both ends of every limb, in the coordinates of `PoseBatch`."""

    start: Float[Tensor, "*batch limb 2"]
    end: Float[Tensor, "*batch limb 2"]
    placed: Float[Tensor, "*batch limb"]
    """1 where both ends have a place, else 0."""
    confidence: Float[Tensor, "*batch limb"]
    """Of the less certain end; low where the limb is hidden."""

    @property
    def frame(self) -> tuple[Tensor, Tensor, Tensor]:
        """Direction along the limb and across it (unit vectors), and its length (…, limb, 1)."""
        reach = self.end - self.start
        length = reach.norm(dim=-1, keepdim=True).clamp_min(1e-3)
        along = reach / length
        return along, torch.stack([-along[..., 1], along[..., 0]], -1), length


def limb_ends(pose: PoseBatch) -> LimbEnds:
    """Ends of the limbs of `pose`."""
    weight = pose.confidence.where(pose.confidence >= PLACED, 0) + 1e-6

    def mean(indices: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        share = weight[..., indices]
        point = (pose.keypoints[..., indices, :] * share[..., None]).sum(-2) / share.sum(-1, keepdim=True)
        return point, pose.confidence[..., indices].amax(-1)

    starts, ends = zip(*((mean(limb.start), mean(limb.end)) for limb in LIMBS), strict=True)
    start, end = torch.stack([a[0] for a in starts], -2), torch.stack([b[0] for b in ends], -2)
    beyond = torch.tensor([limb.beyond for limb in LIMBS], device=end.device, dtype=end.dtype)[:, None]
    sure = torch.stack([torch.minimum(a[1], b[1]) for a, b in zip(starts, ends, strict=True)], dim=-1)
    return LimbEnds(start, end + beyond * (end - start), (sure >= PLACED).to(sure), sure)


def steadied(pose: PoseBatch) -> PoseBatch:
    """Keypoints averaged over three frames (¼ ½ ¼): decoded tokens tremble from frame to frame."""
    points = torch.cat([pose.keypoints[:, :1], pose.keypoints, pose.keypoints[:, -1:]], dim=1)
    return PoseBatch((points[:, :-2] + 2 * points[:, 1:-1] + points[:, 2:]) / 4, pose.confidence)


def body_height(pose: PoseBatch) -> Float[Tensor, " batch"]:
    """Length of nose–neck–hip–knee–ankle of the first frame, mean of both sides; hidden keypoints at their last known place."""
    paths = ((s.NOSE, s.NECK, s.RIGHT_HIP, s.RIGHT_KNEE, s.RIGHT_ANKLE), (s.NOSE, s.NECK, s.LEFT_HIP, s.LEFT_KNEE, s.LEFT_ANKLE))
    points = pose.keypoints[:, 0]
    lengths = [(points[:, path[1:]] - points[:, path[:-1]]).norm(dim=-1).sum(-1) for path in paths]
    return torch.stack(lengths).mean(0).clamp_min(0.1)


def grid_axes(height: int, width: int, *, like: Tensor) -> tuple[Float[Tensor, " width"], Float[Tensor, " height"]]:
    """The columns' x and the rows' y' at their centres, in the coordinates of `PoseBatch` (unit = half the image height)."""
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) * 2 / height - 1
    x = ((torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) * 2 / width - 1) * (width / height)
    return x, y


def pixel_grid(height: int, width: int, like: Tensor) -> Float[Tensor, "height width 2"]:
    """Centres of the pixels in the coordinates of `PoseBatch`."""
    return torch.stack(torch.meshgrid(*grid_axes(height, width, like=like), indexing="xy"), dim=-1)


def sample_picture(picture: Float[Tensor, "batch channel height width"], points: Float[Tensor, "batch rows columns 2"]) -> Tensor:
    """Picture values at points in the coordinates of `PoseBatch`."""
    height, width = picture.shape[-2:]
    scale = torch.tensor([height / width, 1.0], device=points.device, dtype=points.dtype)
    return F.grid_sample(picture, points * scale, mode="bilinear", padding_mode="border", align_corners=False)


def fill_holes(picture: Float[Tensor, "batch 3 height width"], keep: Float[Tensor, "batch 1 height width"]) -> Tensor:
    """`picture` where `keep` is 1, elsewhere the nearest kept colours (pull–push over a pyramid of means)."""
    levels = [(picture * keep, keep)]
    while min(levels[-1][0].shape[-2:]) > 1:
        levels.append(tuple(F.avg_pool2d(part, 2, ceil_mode=True) for part in levels[-1]))  # type: ignore[arg-type]
    filled = levels[-1][0] / levels[-1][1].clamp_min(1e-4)
    for colours, weight in reversed(levels[:-1]):
        wider = F.interpolate(filled, colours.shape[-2:], mode="bilinear", align_corners=False)
        sure = (weight * 4).clamp(max=1)
        filled = colours / weight.clamp_min(1e-4) * sure + wider * (1 - sure)
    return picture * keep + filled * (1 - keep)


@dataclass(frozen=True)
class Warped:
    """The portrait in the target pose."""

    picture: Float[Tensor, "batch frame 3 height width"]
    parts: Float[Tensor, "batch frame limb rows columns"]
    """Soft membership of the pixels of the coarse grid; their sum is the person."""


class LimbWarp(nn.Module):
    """Portrait + its pose + target poses → `Warped`. Learns the radius and the depth of every limb, and how soft edges are."""

    def __init__(self, *, coarse: int = 2) -> None:
        super().__init__()
        self.coarse = coarse
        self.log_radius = nn.Parameter(torch.tensor([limb.radius for limb in LIMBS]).log())
        self.order = nn.Parameter(torch.zeros(len(LIMBS)))
        self.depth = nn.Parameter(torch.tensor(3.0))
        self.log_sharpness = nn.Parameter(torch.tensor(6.0).log())

    def closeness(
        self, ends: LimbEnds, scale: Float[Tensor, " batch"], size: tuple[int, int]
    ) -> Float[Tensor, "batch frame limb rows columns"]:
        """Positive inside a limb, negative outside, 0 on its outline, for the cells of a grid."""
        x, y = grid_axes(*size, like=ends.start)
        along, across, length = ends.frame

        def coordinate(axis: Tensor) -> Tensor:
            shift = (ends.start * axis).sum(-1)[..., None, None]
            return axis[..., 0, None, None] * x + (axis[..., 1, None, None] * y[:, None] - shift)

        forward = coordinate(along)
        beyond = forward - forward.clamp(min=0).minimum(length[..., None])
        distance = (beyond.square() + coordinate(across).square() + 1e-8).sqrt()
        radius = self.log_radius.exp()[:, None, None] * scale[:, None, None, None, None]
        return self.log_sharpness.exp() * (1 - distance / radius)

    def forward(self, portrait: Float[Tensor, "batch 3 height width"], portrait_pose: PoseBatch, pose: PoseBatch) -> Warped:
        size = (portrait.shape[-2] // self.coarse, portrait.shape[-1] // self.coarse)
        scale = body_height(portrait_pose)
        source, target = limb_ends(portrait_pose), limb_ends(pose)
        placed = (target.placed * source.placed)[..., None, None]
        closeness = self.closeness(target, scale, size)
        inside = closeness.sigmoid() * placed
        front = self.order + self.depth * target.confidence  # hidden limbs lie behind
        share = inside * (closeness.clamp(max=3) + front[..., None, None]).exp()
        share = share / (share.sum(2, keepdim=True) + 1e-6)
        person = 1 - (1 - inside).prod(2, keepdim=True)
        return self.compose(portrait, self.plate(portrait, source, scale, size), self.field(source, target, share), person, share * person)

    def field(self, source: LimbEnds, target: LimbEnds, share: Float[Tensor, "batch frame limb rows columns"]) -> Tensor:
        """Where in the portrait every cell looks: the limbs' affine maps, mixed by share (what is no limb's looks at its own place)."""
        x, y = grid_axes(*share.shape[-2:], like=share)
        (along, across, length), (source_along, source_across, source_length) = target.frame, source.frame
        stretch = source_length / length
        matrix = torch.einsum("...k,...l->...kl", source_along * stretch, along) + torch.einsum("...k,...l->...kl", source_across, across)
        shift = source.start - torch.einsum("...kl,...l->...k", matrix, target.start)
        maps = torch.cat([matrix.flatten(-2), shift], dim=-1)  # (batch, frame, limb, 6)
        mixed = torch.einsum("bflk,bflyx->bfkyx", maps, share)
        rest = 1 - share.sum(2)
        own = torch.stack(torch.broadcast_tensors(x, y[:, None]))
        looks = mixed[:, :, 0:4:2] * x + mixed[:, :, 1:4:2] * y[:, None] + mixed[:, :, 4:] + rest[:, :, None] * own
        return looks.movedim(2, -1)

    @torch.no_grad()
    def plate(self, portrait: Tensor, source: LimbEnds, scale: Tensor, size: tuple[int, int]) -> Tensor:
        """The portrait's background without the person, cut out generously."""
        inside = (self.closeness(source, scale * 1.6, size).sigmoid() * source.placed[..., None, None]).amax(2)
        return fill_holes(portrait, F.interpolate((inside < 0.3).to(portrait), portrait.shape[-2:], mode="nearest"))

    def compose(self, portrait: Tensor, plate: Tensor, field: Tensor, person: Tensor, parts: Tensor) -> Warped:
        """Person over plate; the field and the mask are upsampled to full size."""
        batch, frames = field.shape[:2]
        size = portrait.shape[-2:]
        field = F.interpolate(field.flatten(0, 1).permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
        mask = F.interpolate(person.flatten(0, 1), size, mode="bilinear", align_corners=False)
        figure = sample_picture(portrait.repeat_interleave(frames, 0), field)
        picture = figure * mask + plate.repeat_interleave(frames, 0) * (1 - mask)
        return Warped(picture.unflatten(0, (batch, frames)), parts)
