"""Figures of single clips as torchmetrics classes: mean over clips, summed in double, the same on one process and on several.

Each takes one clip at a time, with the arguments of its figure's function, and computes the mean over the clips that have it.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from xdancer.metrics.diversity import Features, diversity, kinetic_features
from xdancer.metrics.motion_quality import border_gap, foot_sliding, hand_score, jerk_ratio, pose_changes
from xdancer.metrics.perceptual import lpips
from xdancer.metrics.pose import body_height, keypoint_errors, pck
from xdancer.metrics.reconstruction import psnr, ssim

Pictures = Float[Tensor, "frame 3 height width"]
Pose = Float[NDArray, "frame 60 3"]


class ClipMetric(Metric):
    """Mean over clips of one figure: a scalar in float64, NaN before the first clip that has it. `unknown` counts those that have none."""

    full_state_update = False
    is_differentiable = False
    total: Tensor
    seen: Tensor
    unknown: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "seen", "unknown"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def add(self, value: float) -> None:
        """The figure of one clip; not finite where it cannot be known."""
        if np.isfinite(value):
            self.total += value
            self.seen += 1
        else:
            self.unknown += 1

    def compute(self) -> Tensor:
        """The mean."""
        return self.total / self.seen  # 0 / 0 is NaN


class PSNR(ClipMetric):
    """`reconstruction.psnr`, dB; equal pictures count as unknown."""

    higher_is_better = True

    def update(self, predicted: Pictures, target: Pictures, region: Bool[Tensor, "frame height width"] | None = None) -> None:
        """Pictures in [-1, 1]; over the region, where given."""
        self.add(psnr(predicted, target, region))


class SSIM(ClipMetric):
    """`reconstruction.ssim`."""

    higher_is_better = True

    def update(self, predicted: Pictures, target: Pictures, region: Bool[Tensor, "frame height width"] | None = None) -> None:
        """Pictures in [-1, 1]; over the region, where given."""
        self.add(ssim(predicted, target, region))


class LPIPS(ClipMetric):
    """Perceptual distance, mean over frames.

    Args:
        network: pictures and pictures, (frame, 3, height, width) in [-1, 1] → (frame,); default the bundled AlexNet. `vgg_lpips()` is another.
    """

    higher_is_better = False

    def __init__(self, network: Callable[[Tensor, Tensor], Tensor] = lpips) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def update(self, predicted: Pictures, target: Pictures) -> None:
        """Pictures in [-1, 1]."""
        self.add(float(self.network(predicted, target).double().mean()))


class PCK(ClipMetric):
    """`pose.pck`: pose following, share of body keypoints within `threshold` body heights."""

    higher_is_better = True

    def __init__(self, threshold: float = 0.1) -> None:
        super().__init__()
        self.threshold = threshold

    def update(self, predicted: Pose, target: Pose) -> None:
        """Keypoints found in the generated video, and the intended ones."""
        self.add(pck(predicted, target, self.threshold))


class PoseError(ClipMetric):
    """`pose.keypoint_errors` in per cent of the target's body height: the paper's columns full, head and hands."""

    higher_is_better = False

    def __init__(self, part: Literal["full", "head", "hands"] = "full") -> None:
        super().__init__()
        self.part = part

    def update(self, predicted: Pose, target: Pose) -> None:
        """What is visible in the target counts."""
        self.add(100 * keypoint_errors(predicted, target)[self.part] / body_height(target))


class HandScore(ClipMetric):
    """`motion_quality.hand_score`: share of finger points that are visible and plausible."""

    higher_is_better = True

    def update(self, pose: Pose, fps: int | float = 30.0) -> None:
        """Of one clip."""
        self.add(hand_score(pose, fps=fps).score)


class FootSliding(ClipMetric):
    """`motion_quality.foot_sliding`: way of standing ankles, body heights a second."""

    higher_is_better = False

    def update(self, pose: Pose, fps: int | float = 30.0) -> None:
        """Of one clip."""
        self.add(foot_sliding(pose, fps=fps).speed)


class Jitter(ClipMetric):
    """`motion_quality.jerk_ratio`: jerk by the ground truth's. 1 is as calm as the truth; much less moves too little."""

    higher_is_better = False

    def update(self, pose: Pose, true: Pose, fps: int | float = 30.0) -> None:
        """Of one clip and its ground truth."""
        self.add(jerk_ratio(pose, true, fps=fps))


class BorderGap(ClipMetric):
    """`motion_quality.border_gap` of the poses, body heights a frame: 0 where borders between segments do not show."""

    higher_is_better = False

    def update(self, pose: Pose, borders: Sequence[int]) -> None:
        """The borders are numbers of frames that begin a segment."""
        self.add(border_gap(pose_changes(pose), borders))


class KineticDiversity(Metric):
    """`diversity.diversity` of the kinetic features of all clips (DIV), scaled by the ground-truth pool: read it beside the pool's own.

    Distances of all pairs are no sum over clips: the features (54 a clip) are kept, and gathered from all processes.

    Args:
        pool: features of the ground truth, a row for each clip.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    features: list[Tensor]

    def __init__(self, pool: Features) -> None:
        super().__init__()
        self.pool = pool
        self.add_state("features", [], dist_reduce_fx="cat")

    def update(self, pose: Pose, fps: int | float = 30.0) -> None:
        """Add a clip; one without body height has no features and is left out."""
        found = kinetic_features(pose, fps=fps)
        if np.isfinite(found).all():
            self.features.append(torch.from_numpy(found)[None].to(self.device))

    def compute(self) -> Tensor:
        """NaN with fewer than two clips."""
        kept = self.features if isinstance(self.features, Tensor) else torch.cat([torch.zeros(0, 54, dtype=torch.float64), *self.features])
        return torch.tensor(diversity(kept.cpu().numpy(), self.pool), dtype=torch.float64)
