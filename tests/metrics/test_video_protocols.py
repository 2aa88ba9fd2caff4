"""How videos become windows: which frames, which pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from xdancer.errors import XDancerError
from xdancer.metrics import video_protocols as vp
from xdancer.metrics.frechet import AlexWindowFeatures
from xdancer.metrics.reconstruction import unit_pictures
from xdancer.metrics.video_networks import NETWORKS, make_features

OURS = vp.PROTOCOLS["xdancer16"]


def numbered(frames: int, height: int = 4, width: int = 4) -> np.ndarray:
    """Frame t is grey t."""
    return np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, height, width, 3)).copy()


def shown(window: torch.Tensor) -> list[int]:
    """Numbers of the frames in a window."""
    return ((window[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_the_protocols_are_what_their_names_promise() -> None:
    assert list(vp.PROTOCOLS) == ["xdancer16", "disco16", "fidvid16", "styleganv2048", "cd-fvd"]
    assert all(protocol.name == name and protocol.network in NETWORKS and protocol.frames == 16 for name, protocol in vp.PROTOCOLS.items())
    assert {name: (protocol.network, protocol.size) for name, protocol in vp.PROTOCOLS.items()} == {
        "xdancer16": ("alex16", 128), "disco16": ("i3d", 224), "fidvid16": ("resnet3d50", 112), "styleganv2048": ("i3d", 224),
        "cd-fvd": ("videomae", 224),
    }  # fmt: skip
    assert (OURS.minimum, OURS.fps, OURS.hop) == (640, 30, 16)
    assert vp.protocol_named("disco16").hop == 1
    with pytest.raises(XDancerError, match=r"disco: unknown protocol\. Choose xdancer16, disco16, fidvid16, styleganv2048, cd-fvd"):
        vp.protocol_named("disco")
    with pytest.raises(ValueError, match=r"either hop \(all windows\) or clips_per_video \(drawn\), got None, None"):
        vp.VideoProtocol("none", "alex16", 8)
    with pytest.raises(ValueError, match="at least 1"):
        vp.VideoProtocol("none", "alex16", 8, hop=1, stride=0)


def test_regular_windows_do_not_overlap_or_start_at_every_frame() -> None:
    small = replace(OURS, size=4)
    assert [shown(window) for window in vp.windows_of(numbered(40), 30.0, small)] == [list(range(16)), list(range(16, 32))]
    sliding = replace(small, hop=1, stride=2, frames=3)
    assert [shown(window) for window in vp.windows_of(numbered(7), 30.0, sliding)] == [[0, 2, 4], [1, 3, 5], [2, 4, 6]]
    assert sliding.span == 5


def test_drawn_starts_follow_the_seed_and_occur_once() -> None:
    drawn = replace(vp.PROTOCOLS["styleganv2048"], size=4)
    first = [shown(window) for window in vp.windows_of(numbered(100), 25.0, drawn, (3, 7))]
    assert first == [shown(window) for window in vp.windows_of(numbered(100), 25.0, drawn, (3, 7))]
    assert len(first) == 1
    assert first[0] == list(range(first[0][0], first[0][0] + 16))
    starts = {vp.starts_of(100, drawn, seed=seed)[0] for seed in range(40)}
    assert len(starts) > 20
    assert max(starts) <= 84
    assert vp.starts_of(18, drawn, clips=9) == [0, 1, 2]
    assert len(set(vp.starts_of(100, drawn, clips=9))) == 9


def test_a_video_shorter_than_a_window_gives_none() -> None:
    for protocol in vp.PROTOCOLS.values():
        assert not list(vp.windows_of(numbered(15), 30.0, protocol))
    assert not list(vp.windows_of(numbered(30), 60.0, OURS))  # 16 moments at 30 fps reach over 31 frames at 60
    assert len(list(vp.windows_of(numbered(31), 60.0, OURS))) == 1
    assert not list(vp.windows_of(numbered(0), 30.0, OURS))


def test_other_frame_rates_come_to_30_by_the_nearest_frame() -> None:
    small = replace(OURS, size=4)
    assert [shown(window) for window in vp.windows_of(numbered(32), 60.0, small)] == [list(range(0, 32, 2))]
    assert vp.frame_indices(4, 15.0, OURS).tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert vp.frame_indices(25, 24.0, OURS).tolist()[-1] == 24
    assert len(vp.frame_indices(25, 24.0, OURS)) == 31
    assert vp.frame_indices(3000, 29.97, OURS).tolist() == list(range(3000))
    assert vp.frame_indices(9, 7.0, vp.PROTOCOLS["disco16"]).tolist() == list(range(9))
    for fps in (0.0, float("nan"), -1.0):
        with pytest.raises(XDancerError, match="has no frame rate to work with"):
            vp.frame_indices(9, fps, OURS)


def test_pixels_are_resized_as_pil_does_or_plainly() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    video = np.repeat(frame[None], 16, axis=0)
    bicubic = next(vp.windows_of(video, 30.0, replace(vp.PROTOCOLS["disco16"], size=24)))[0]
    channels = [np.asarray(Image.fromarray(frame[..., c].astype(np.float32)).resize((24, 24), Image.Resampling.BICUBIC)) for c in range(3)]
    assert np.allclose((bicubic + 1) * 127.5, np.stack(channels), atol=0.02)
    squeezed = next(vp.windows_of(video, 30.0, replace(OURS, size=24)))[0]
    channels = [np.asarray(Image.fromarray(frame[..., c].astype(np.float32)).resize((24, 24), Image.Resampling.BILINEAR)) for c in range(3)]
    assert np.allclose((squeezed + 1) * 127.5, np.stack(channels), atol=0.02)
    cropped = next(vp.windows_of(video, 30.0, replace(vp.PROTOCOLS["styleganv2048"], size=40)))[0]
    assert np.allclose((cropped + 1) * 127.5, frame[:, 10:50].transpose(2, 0, 1), atol=1e-3)
    halved = next(vp.windows_of(video, 30.0, replace(vp.PROTOCOLS["styleganv2048"], size=20)))[0]  # plain: means of 2×2, nothing wider
    assert np.allclose((halved + 1) * 127.5, frame[:, 10:50].reshape(20, 2, 20, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1), atol=1e-3)


def test_cd_fvd_passes_frames_through_8_bit_pictures_of_256() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    protocol = replace(vp.PROTOCOLS["cd-fvd"], via=32, size=32)
    window = next(vp.windows_of(np.repeat(frame[None], 16, axis=0), 30.0, protocol))
    values = (window[0] + 1) * 127.5
    assert torch.allclose(values, values.round(), atol=1e-3)
    assert window.shape == (16, 3, 32, 32)


def test_constant_videos_keep_their_value() -> None:
    for protocol in vp.PROTOCOLS.values():
        for grey, value in ((0, -1.0), (255, 1.0)):
            video = np.full((16, 30, 20, 3), grey, np.uint8)
            window = next(vp.windows_of(video, 30.0, protocol))
            assert window.shape == (16, 3, protocol.size, protocol.size)
            assert torch.allclose(window, torch.tensor(value), atol=1e-5)


def test_our_protocol_gives_alex16_what_it_always_read() -> None:
    video = np.random.default_rng(0).integers(0, 256, (16, 36, 64, 3), dtype=np.uint8)
    window = next(vp.windows_of(video, 30.0, OURS))
    features = AlexWindowFeatures()
    assert torch.allclose(features(window[None]), features(unit_pictures(video)[None]), atol=1e-4)


def test_too_few_videos_give_more_windows_each_and_too_many_none() -> None:
    protocol = replace(vp.PROTOCOLS["styleganv2048"], clips=10)
    assert [vp.clip_share(protocol, video=index, videos=4) for index in range(4)] == [3, 3, 2, 2]
    assert [vp.clip_share(protocol, video=index, videos=12) for index in range(12)] == [1] * 10 + [0, 0]
    assert vp.clip_share(OURS, video=0, videos=1) is None
    assert vp.clip_share(replace(protocol, clips=None), video=0, videos=1) == 1


def test_another_network_is_refused_unless_the_protocol_is_turned_to_it() -> None:
    features = make_features("alex16")
    vp.check_network(features, OURS)
    with pytest.raises(XDancerError, match=r"disco16 is taken on i3d at 224×224 \(400 logits .*\), got alex16 at 128×128"):
        vp.check_network(features, vp.PROTOCOLS["disco16"])
    vp.check_network(features, vp.PROTOCOLS["disco16"].with_network(features))
    with pytest.raises(XDancerError, match="windows of 8 frames, alex16 with these weights reads 16"):
        vp.check_network(features, replace(OURS, frames=8))
