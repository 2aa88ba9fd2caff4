"""Features of a set of videos under one protocol, computed once and kept by the content of the files."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray

from xdancer.errors import CheckpointError, XDancerError
from xdancer.files import write_bytes
from xdancer.metrics.video_networks import VideoNetwork
from xdancer.metrics.video_protocols import VideoProtocol, check_network, clip_share, windows_of

Subject = Literal["video", "motion"]
"""What was watched: pictures, or poses drawn as pictures."""
FORMAT = 1
"""Of the files; another number is computed again."""
FIELD = "xdancer_feature_set"


@dataclass(frozen=True)
class Footage:
    """One video, read only when its features are not known yet."""

    key: str
    """Unique in its set. Generated and real footage of one key counts as one clip in the bootstrap."""
    content: str
    """Hash of what is read, such as the file's SHA-256."""
    read: Callable[[], tuple[UInt8[NDArray, "frame height width 3"], float]]
    """Frames, RGB, and their rate in fps."""


@dataclass(frozen=True)
class FeatureSet:
    """Features of windows, and all that a comparison must agree on."""

    protocol: VideoProtocol
    digest: str
    """Of the network's weights."""
    features: Float[NDArray, "window feature"]
    clips: Int[NDArray, " window"]
    """Which video each window is of: an index into `keys`."""
    keys: tuple[str, ...]
    """The videos that gave windows."""
    content: str
    """Hash over the videos' hashes."""
    subject: Subject = "video"
    fps: tuple[float, float] | None = None
    """Lowest and highest frame rate of the videos as they were; None without a video."""
    too_short: tuple[str, ...] = ()
    """Videos shorter than a window."""

    def __post_init__(self) -> None:
        if len(self.features) != len(self.clips) or (len(self.clips) and not 0 <= self.clips.min() <= self.clips.max() < len(self.keys)):
            raise ValueError(
                f"FeatureSet: {len(self.features)} windows, {len(self.clips)} clip numbers, {len(self.keys)} keys do not go together."
            )
        if not np.isfinite(self.features).all():
            raise XDancerError(f"{self.protocol.network} gave features that are no finite numbers. Check its weights.")

    @property
    def width(self) -> int:
        return self.features.shape[1]

    @staticmethod
    def merged(sets: Sequence["FeatureSet"]) -> "FeatureSet":
        """One set of several that differ in their videos only.

        Raises:
            XDancerError: no set, different protocols, networks or subjects, or a key that occurs twice.
        """
        if not sets:
            raise XDancerError("No videos: there is nothing to compute features of.")
        first = sets[0]
        for other in sets[1:]:
            refuse_different(first, other)
        keys = [key for part in sets for key in (*part.keys, *part.too_short)]
        twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
        if twice:
            raise XDancerError(f"Two videos of one set are called {twice[0]}. Give each its own name.")
        offsets = np.cumsum([0, *(len(part.keys) for part in sets[:-1])])
        rates = [rate for part in sets if part.fps is not None for rate in part.fps]
        return FeatureSet(
            first.protocol,
            first.digest,
            np.concatenate([part.features for part in sets]),
            np.concatenate([part.clips + offset for part, offset in zip(sets, offsets, strict=True)]),
            tuple(key for part in sets for key in part.keys),
            _hash(*(part.content for part in sets)),
            first.subject,
            (min(rates), max(rates)) if rates else None,
            tuple(key for part in sets for key in part.too_short),
        )

    def save(self, path: Path) -> None:
        """Write a .safetensors file, whole or not at all."""
        from safetensors.numpy import save

        names = ("protocol", "digest", "keys", "content", "subject", "fps", "too_short")
        head = {"format": FORMAT} | {name: value for name, value in asdict(self).items() if name in names}
        tensors = {"features": np.ascontiguousarray(self.features), "clips": np.ascontiguousarray(self.clips)}
        write_bytes(path, save(tensors, metadata={FIELD: json.dumps(head)}))

    @staticmethod
    def load(path: Path) -> "FeatureSet":
        """Read what `save` wrote.

        Raises:
            CheckpointError: missing, damaged, or of another format.
        """
        from safetensors import safe_open

        try:
            with safe_open(path, framework="np") as file:
                head = json.loads((file.metadata() or {})[FIELD])
                features, clips = file.get_tensor("features"), file.get_tensor("clips")
            if head.pop("format") != FORMAT:
                raise ValueError("another format")
            protocol = VideoProtocol(**head.pop("protocol"))
            lists = {name: tuple(head.pop(name)) for name in ("keys", "too_short")}
            rates = head.pop("fps")
            return FeatureSet(protocol, features=features, clips=clips, fps=None if rates is None else tuple(rates), **lists, **head)
        except Exception as error:  # safetensors has kinds of its own
            raise CheckpointError(
                f"{path} is no feature set of this version ({type(error).__name__}: {error}). Delete it; it is computed again."
            ) from error


def refuse_different(first: FeatureSet, second: FeatureSet) -> None:
    """Refuse sets whose distance would mean nothing.

    Raises:
        XDancerError: different protocols, network weights or subjects, with both values.
    """
    if first.protocol != second.protocol:
        ours, theirs = asdict(first.protocol), asdict(second.protocol)
        fields = ", ".join(f"{name} {ours[name]} and {theirs[name]}" for name in ours if ours[name] != theirs[name])
        raise XDancerError(f"The two sets were cut under different protocols ({fields}). Compute both under one.")
    if first.digest != second.digest:
        raise XDancerError(
            f"The two sets were seen by different {first.protocol.network} weights ({first.digest} and {second.digest}). Use one file for both."
        )
    if first.subject != second.subject:
        raise XDancerError(
            f"One set is {first.subject}, the other {second.subject}. Compare pictures with pictures and drawn poses with drawn poses."
        )


def collect(
    videos: Sequence[Footage],
    features: VideoNetwork,
    protocol: VideoProtocol,
    *,
    seed: int = 0,
    subject: Subject = "video",
    batch: int = 8,
    cache: Path | None = None,
) -> FeatureSet:
    """Features of all windows of some videos, each read once, or not at all where the cache knows it.

    Drawn starts depend on the seed and the video's content alone: they stay when other videos come and go, unless the number of windows per
    video changes.

    Args:
        videos: the set.
        features: the protocol's network.
        protocol: how they are cut.
        seed: of drawn starts.
        subject: what the footage shows.
        batch: windows that the network sees at once.
        cache: folder of one file per video; made if missing.

    Raises:
        XDancerError: no videos, a network that does not fit the protocol, two videos of one key, or what reading raises.
    """
    check_network(features, protocol)
    parts = []
    for index, video in enumerate(videos):
        clips = clip_share(protocol, video=index, videos=len(videos))
        if clips == 0:
            continue
        path = None if cache is None else cache / f"{_cache_key(video, features, protocol, seed, clips, subject)}.safetensors"
        part = _cached(path, video.key)
        if part is None:
            part = _features_of(video, features, protocol, seed=seed, clips=clips, subject=subject, batch=batch)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                part.save(path)
        parts.append(part)
    return FeatureSet.merged(parts)


@torch.no_grad()
def window_features(
    frames: UInt8[NDArray, "frame height width 3"], fps: float, features: VideoNetwork, protocol: VideoProtocol, *,
    seed: int | Sequence[int], clips: int | None, batch: int = 8,
) -> Float[NDArray, "window feature"]:  # fmt: skip
    """Features of the windows that the protocol takes of one video, in float32; none where it is shorter than a window."""
    windows = windows_of(frames, fps, protocol, seed, clips=clips)
    rows = [features(torch.stack(some)).cpu().float().numpy() for some in _batches(windows, batch)]
    return np.concatenate(rows) if rows else np.zeros((0, features.width), np.float32)


def _features_of(
    video: Footage, features: VideoNetwork, protocol: VideoProtocol, *, seed: int, clips: int | None, subject: Subject, batch: int
) -> FeatureSet:
    frames, fps = video.read()
    start = (seed, int(_hash(video.content)[:8], 16))
    found = window_features(frames, fps, features, protocol, seed=start, clips=clips, batch=batch)
    known, short = ((video.key,), ()) if len(found) else ((), (video.key,))
    return FeatureSet(protocol, features.digest, found, np.zeros(len(found), np.int64), known, video.content, subject, (fps, fps), short)


def _batches(windows: Iterator[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    while some := list(islice(windows, size)):
        yield some


def _cache_key(video: Footage, features: VideoNetwork, protocol: VideoProtocol, seed: int, clips: int | None, subject: Subject) -> str:
    drawn = None if protocol.hop is not None else [seed, clips]
    return _hash(json.dumps([FORMAT, asdict(protocol), features.digest, video.content, drawn, subject], sort_keys=True))[:32]


def _cached(path: Path | None, key: str) -> FeatureSet | None:
    """What the cache holds of a video, under its present key; None where there is nothing or it is damaged."""
    if path is None or not path.is_file():
        return None
    try:
        part = FeatureSet.load(path)
    except CheckpointError:
        return None
    known, short = ((key,), ()) if part.keys else ((), (key,))
    return FeatureSet(part.protocol, part.digest, part.features, part.clips, known, part.content, part.subject, part.fps, short)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
