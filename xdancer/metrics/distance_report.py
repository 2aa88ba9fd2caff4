"""A distance between two sets of videos with everything beside it that it depends on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from xdancer.errors import XDancerError
from xdancer.metrics.feature_sets import FeatureSet, Subject, refuse_different
from xdancer.metrics.frechet import frechet_distance, kernel_distance
from xdancer.metrics.video_protocols import VideoProtocol

FVD = "i3d"
"""The network whose Fréchet distance is called FVD; no other's is."""
KERNEL_WINDOWS = 4096
"""Windows of each set in the kernel distance, spread evenly where there are more: its memory grows with their square."""

Features = Float[NDArray, "_ feature"]
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class DistanceReport:
    """One comparison. A value that could not be computed is None, and its reason is said."""

    name: str
    """`frechet_NETWORK@PROTOCOL`; `fvd_i3d@PROTOCOL` for I3D alone; `motion_` in front for drawn poses."""
    frechet: float | None
    frechet_reason: str | None
    """Why there is no Fréchet value."""
    kernel: float | None
    """Unbiased; 0 on average for sets of one distribution."""
    kernel_low: float | None
    """Bootstrap 95 % over videos."""
    kernel_high: float | None
    kernel_reason: str | None
    n_generated: int
    """Windows."""
    n_real: int
    clips_generated: int
    """Videos that gave them."""
    clips_real: int
    too_short_generated: int
    """Videos left out because they are shorter than a window."""
    too_short_real: int
    width: int
    """Of the features."""
    rank_deficient: bool
    """Not more windows than dimensions in a set: its covariance is singular and the Fréchet value depends on n."""
    network_digest: str
    protocol: VideoProtocol
    subject: Subject = "video"
    notes: tuple[str, ...] = ()
    """What else a reader must know."""

    def row(self) -> dict[str, Cell]:
        """Flat values for a JSON file or table: those above, and the protocol's frames, stride, hop, fps, resize, crop and size."""
        protocol = asdict(self.protocol)
        names = ("network", "frames", "stride", "hop", "fps", "resize", "crop", "size")
        flat = {name: value for name, value in asdict(self).items() if name not in ("protocol", "notes")}
        return flat | {"protocol": self.protocol.name} | {name: protocol[name] for name in names} | {"notes": "; ".join(self.notes)}

    def __str__(self) -> str:
        protocol = self.protocol
        rate = "fps as they are" if protocol.fps is None else f"{protocol.fps:g} fps"
        value = f"not given ({self.frechet_reason})" if self.frechet is None else f"{self.frechet:.4g}"
        flag = " (rank-deficient)" if self.rank_deficient and self.frechet is not None else ""
        kernel = (
            f"not given ({self.kernel_reason})" if self.kernel is None else f"{self.kernel:.4g} [{self.kernel_low:.4g}, {self.kernel_high:.4g}]"
        )
        facts = [
            f"n {self.n_generated} generated of {self.clips_generated} videos, {self.n_real} real of {self.clips_real}", f"width {self.width}",
            f"{protocol.frames} frames, stride {protocol.stride}, {rate}", f"{protocol.resize} to {protocol.size}, crop {protocol.crop}",
            f"network {protocol.network} {self.network_digest}", *self.notes,
        ]  # fmt: skip
        return f"{self.name} {value}{flag}; kernel {kernel}; {'; '.join(facts)}"


def value_name(protocol: VideoProtocol, *, subject: str = "video") -> str:
    """What a Fréchet value under a protocol is called."""
    kind = "fvd" if protocol.network == FVD else "frechet"
    return f"{'' if subject == 'video' else f'{subject}_'}{kind}_{protocol.network}@{protocol.name}"


def kernel_name(protocol: VideoProtocol, *, subject: str = "video") -> str:
    """What a kernel distance under a protocol is called."""
    return f"{'' if subject == 'video' else f'{subject}_'}kernel_{protocol.network}@{protocol.name}"


def compare(generated: FeatureSet, real: FeatureSet, *, draws: int = 500, seed: int = 0) -> DistanceReport:
    """Fréchet and kernel distance of generated from real videos.

    Videos of one key in both sets count as one clip: their pairs are left out of the kernel distance, and the bootstrap draws both or neither.

    Args:
        generated: features of one set.
        real: of the other, under the same protocol by the same network.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        XDancerError: sets of different protocol, network or subject, or a set without a window.
    """
    refuse_different(generated, real)
    for name, side in (("generated", generated), ("real", real)):
        if not len(side.features):
            raise XDancerError(
                f"No {name} video gives a window of {side.protocol.span} frames under {side.protocol.name} "
                f"({len(side.too_short)} videos are shorter). Give longer videos, or choose another protocol."
            )
    protocol, least = generated.protocol, min(len(generated.features), len(real.features))
    labels = _labels(generated, real)
    reason = _refusal(least, protocol, generated.width)
    kernel, kernel_reason, kernel_note = _kernel(generated, real, labels, draws=draws, seed=seed)
    deficient = least <= generated.width
    return DistanceReport(
        name=value_name(protocol, subject=generated.subject),
        frechet=None if reason else _frechet(generated.features, real.features),
        frechet_reason=reason,
        kernel=kernel[0],
        kernel_low=kernel[1],
        kernel_high=kernel[2],
        kernel_reason=kernel_reason,
        n_generated=len(generated.features),
        n_real=len(real.features),
        clips_generated=len(generated.keys),
        clips_real=len(real.keys),
        too_short_generated=len(generated.too_short),
        too_short_real=len(real.too_short),
        width=generated.width,
        rank_deficient=deficient,
        network_digest=generated.digest,
        protocol=protocol,
        subject=generated.subject,
        notes=tuple(_notes(generated, real, deficient=deficient) + kernel_note),
    )


def _refusal(least: int, protocol: VideoProtocol, width: int) -> str | None:
    if least >= protocol.minimum:
        return None
    return f"{least} windows in the smaller set, {protocol.name} asks for {protocol.minimum} at {width} dimensions"


def _notes(generated: FeatureSet, real: FeatureSet, *, deficient: bool) -> list[str]:
    notes = []
    protocol = generated.protocol
    if deficient:
        least = min(len(generated.features), len(real.features))
        notes.append(f"rank-deficient: {least} windows for {generated.width} dimensions, so the Fréchet value depends on n")
    if protocol.hop is not None and protocol.hop < protocol.span:
        notes.append(f"windows overlap by {protocol.span - protocol.hop} frames: n counts windows that are no independent samples")
    for name, side in (("generated", generated), ("real", real)):
        if protocol.clips is not None and len(side.features) < protocol.clips:
            notes.append(f"{len(side.features)} {name} windows where {protocol.name} has {protocol.clips}")
        if side.too_short:
            notes.append(f"{len(side.too_short)} {name} videos left out: shorter than {protocol.span} frames")
    if protocol.fps is None and generated.fps != real.fps and generated.fps and real.fps:
        notes.append(f"frame rates differ: generated {_rates(generated.fps)}, real {_rates(real.fps)} fps, taken as they are")
    return notes


def _rates(fps: tuple[float, float]) -> str:
    return f"{fps[0]:g}" if fps[0] == fps[1] else f"{fps[0]:g}–{fps[1]:g}"


def _labels(generated: FeatureSet, real: FeatureSet) -> tuple[Int[NDArray, " _"], Int[NDArray, " _"]]:
    """Clip number of every window, one numbering for both sets."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys((*generated.keys, *real.keys)))}
    first, second = (np.array([numbers[key] for key in side.keys], np.int64)[side.clips] for side in (generated, real))
    return first, second


def _kernel(
    generated: FeatureSet, real: FeatureSet, labels: Sequence[Int[NDArray, " _"]], *, draws: int, seed: int
) -> tuple[tuple[float | None, float | None, float | None], str | None, list[str]]:
    """Value, low and high, or the reason why there are none; and notes."""
    chosen = [_spread(len(label)) for label in labels]
    least = min(len(np.unique(label[index])) for label, index in zip(labels, chosen, strict=True))
    if least < 2:
        return (None, None, None), "a set has one video only, and windows of one video are no independent samples", []
    many = [len(label) for label in labels if len(label) > KERNEL_WINDOWS]
    notes = [f"kernel distance on {KERNEL_WINDOWS} of {max(many)} windows, spread evenly"] if many else []
    first, second = labels[0][chosen[0]], labels[1][chosen[1]]
    value = kernel_distance(generated.features[chosen[0]], real.features[chosen[1]], clips=(first, second), draws=draws, seed=seed)
    return value, None, notes


def _spread(count: int) -> Int[NDArray, " _"]:
    return np.arange(count) if count <= KERNEL_WINDOWS else np.linspace(0, count - 1, KERNEL_WINDOWS).astype(np.int64)


def _frechet(first: Features, second: Features) -> float:
    """Fréchet distance; sets with fewer windows than dimensions go through their windows instead of their singular covariances.

    With centred rows A and B and Σ = AᵀA / (n−1), tr (Σ₁Σ₂)^½ is the sum of the singular values of A Bᵀ over √((n₁−1)(n₂−1)): exact, and a
    matrix of windows by windows in place of one of dimensions by dimensions.
    """
    if min(len(first), len(second)) > first.shape[1]:
        return frechet_distance(first, second)
    first, second = first.astype(np.float64), second.astype(np.float64)
    means = [side.mean(axis=0) for side in (first, second)]
    a, b = ((side - mean) / np.sqrt(len(side) - 1) for side, mean in zip((first, second), means, strict=True))
    gap = means[0] - means[1]
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(max(gap @ gap + (a**2).sum() + (b**2).sum() - 2 * cross, 0.0))
