"""Features of sets of videos: read once, kept by content, never mixed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from xdancer.errors import CheckpointError, XDancerError
from xdancer.metrics.feature_sets import FeatureSet, Footage, collect, refuse_different
from xdancer.metrics.video_protocols import PROTOCOLS, VideoProtocol

PROTOCOL = VideoProtocol("tiny4", "grey", 4, frames=4, hop=4)
DRAWN = VideoProtocol("drawn4", "grey", 4, frames=4, clips_per_video=1, clips=6)


class Grey:
    """Mean grey of each frame."""

    name, window, width, size, value_range = "grey", 4, 4, 4, (-1.0, 1.0)

    def __init__(self, digest: str = "0123456789ab") -> None:
        self.digest = digest
        self.calls: list[int] = []

    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        self.calls.append(len(windows))
        return windows.mean(dim=(2, 3, 4))


def footage(key: str, frames: int, *, fps: float = 25.0, reads: list[str] | None = None) -> Footage:
    def read() -> tuple[np.ndarray, float]:
        if reads is not None:
            reads.append(key)
        video = np.arange(frames, dtype=np.uint8)[:, None, None, None]
        return np.broadcast_to(video, (frames, 6, 5, 3)).copy(), fps

    return Footage(key, f"hash of {key} {frames} {fps}", read)


def test_all_windows_of_all_videos_in_order() -> None:
    network = Grey()
    found = collect([footage("a", 9), footage("short", 3), footage("b", 13, fps=50.0)], network, PROTOCOL, batch=2)
    assert found.keys == ("a", "b")
    assert found.too_short == ("short",)
    assert found.clips.tolist() == [0, 0, 1, 1, 1]
    assert np.allclose((found.features + 1) * 127.5, [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], atol=1e-3)
    assert (found.fps, found.width, found.digest, network.calls) == ((25, 50), 4, "0123456789ab", [2, 2, 1])


def test_drawn_windows_stay_when_other_videos_come(tmp_path: Path) -> None:
    protocol = replace(DRAWN, clips=None)
    one = collect([footage("a", 40)], Grey(), protocol, seed=1)
    two = collect([footage("b", 40), footage("a", 40)], Grey(), protocol, seed=1)
    assert np.array_equal(two.features[1], one.features[0])
    assert not np.array_equal(two.features[0], two.features[1])
    full = collect([footage("a", 40), footage("b", 40)], Grey(), DRAWN)
    assert np.bincount(full.clips).tolist() == [3, 3]
    many = collect([footage(str(index), 40) for index in range(8)], Grey(), DRAWN)
    assert many.keys == ("0", "1", "2", "3", "4", "5")


def test_each_file_is_read_once_and_known_by_its_content(tmp_path: Path) -> None:
    reads: list[str] = []
    videos = [footage("a", 9, reads=reads), footage("short", 3, reads=reads)]
    first = collect(videos, Grey(), PROTOCOL, cache=tmp_path / "cache")
    renamed = [replace(video, key=f"new {video.key}") for video in videos]
    again = collect(renamed, Grey(), PROTOCOL, seed=5, cache=tmp_path / "cache")  # no start is drawn: the seed does not count
    assert reads == ["a", "short"]
    assert np.array_equal(first.features, again.features)
    assert (again.keys, again.too_short, again.content) == (("new a",), ("new short",), first.content)
    collect(videos[:1], Grey("other weigh"), PROTOCOL, cache=tmp_path / "cache")
    collect(videos[:1], Grey(), replace(PROTOCOL, hop=1), cache=tmp_path / "cache")
    collect(videos[:1], Grey(), PROTOCOL, subject="motion", cache=tmp_path / "cache")
    assert reads == ["a", "short", "a", "a", "a"]
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(b"damaged")
    assert np.array_equal(collect(videos, Grey(), PROTOCOL, cache=tmp_path / "cache").features, first.features)
    drawn = [footage("a", 40, reads=reads)]
    reads.clear()
    for seed in (0, 1, 1):
        collect(drawn, Grey(), DRAWN, seed=seed, cache=tmp_path / "cache")
    assert reads == ["a", "a"]


def test_a_set_survives_its_file(tmp_path: Path) -> None:
    found = collect([footage("a", 9), footage("short", 3)], Grey(), PROTOCOL, subject="motion")
    found.save(tmp_path / "set.safetensors")
    loaded = FeatureSet.load(tmp_path / "set.safetensors")
    assert np.array_equal(loaded.features, found.features)
    assert np.array_equal(loaded.clips, found.clips)
    for name in ("protocol", "digest", "keys", "content", "subject", "fps", "too_short"):
        assert getattr(loaded, name) == getattr(found, name)
    (tmp_path / "text.safetensors").write_text("nothing")
    for name in ("text", "absent"):
        with pytest.raises(CheckpointError, match=r"is no feature set of this version .* Delete it; it is computed again"):
            FeatureSet.load(tmp_path / f"{name}.safetensors")


def test_sets_of_different_making_are_refused() -> None:
    found = collect([footage("a", 9)], Grey(), PROTOCOL)
    with pytest.raises(XDancerError, match=r"under different protocols \(name tiny4 and other, hop 4 and 2\)\. Compute both under one"):
        refuse_different(found, replace(found, protocol=replace(PROTOCOL, name="other", hop=2)))
    with pytest.raises(XDancerError, match=r"different grey weights \(0123456789ab and ba9876543210\)"):
        refuse_different(found, replace(found, digest="ba9876543210"))
    with pytest.raises(XDancerError, match="One set is video, the other motion"):
        FeatureSet.merged([found, replace(found, subject="motion")])
    with pytest.raises(XDancerError, match="Two videos of one set are called a"):
        collect([footage("a", 9), footage("a", 13)], Grey(), PROTOCOL)
    with pytest.raises(XDancerError, match="No videos"):
        collect([], Grey(), PROTOCOL)
    with pytest.raises(XDancerError, match="disco16 is taken on i3d"):
        collect([footage("a", 20)], Grey(), PROTOCOLS["disco16"])
    with pytest.raises(ValueError, match="2 windows, 2 clip numbers, 1 keys do not go together"):
        replace(found, clips=np.array([0, 1]))
    with pytest.raises(XDancerError, match="no finite numbers"):
        replace(found, features=np.full((2, 4), np.nan))


def test_windows_reach_the_network_in_its_range() -> None:
    seen: list[Tensor] = []

    class Watching(Grey):
        def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
            seen.append(windows)
            return super().__call__(windows)

    white = Footage("white", "w", lambda: (np.full((4, 5, 7, 3), 255, np.uint8), 30.0))
    collect([white], Watching(), PROTOCOL)
    assert torch.allclose(seen[0], torch.ones(1, 4, 3, 4, 4))
