"""Files that lie: names, and lengths of pictures and sound."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from xdancer import media
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sniff import container, is_candidate
from xdancer.prepare.sources import Source, find_videos
from xdancer.prepare.work import plan_video

SETTINGS = PrepareSettings(min_seconds=1.0, max_seconds=10.0, shot_threshold=0.0)


def half_speed(path: Path, target: Path) -> None:
    """The same packets; the pictures' time stamps say half the rate."""
    with av.open(str(path)) as given, av.open(str(target), "w") as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                if packet.stream.type == "video":
                    packet.pts, packet.dts, packet.duration = 2 * (packet.pts or 0), 2 * packet.dts, 2 * (packet.duration or 0)
                packet.stream = streams[packet.stream.index]
                written.mux(packet)


def source(path: Path) -> Source:
    return Source(path, path.name, "song", "0" * 64)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypisom", "mp4"), (b"\0\0\0\x20ftypM4A ", ""), (b"\0\0\0\x20ftypavif", "picture (HEIF)"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"RIFF\0\0\0\0AVI ", "avi"), (b"RIFF\0\0\0\0WEBP", "picture (WebP)"), (b"RIFF\0\0\0\0WAVE", ""),
        (b"\x47" + b"\0" * 187 + b"\x47", "mpeg-ts"), (b"\0\0\0\0\x47" + b"\0" * 191 + b"\x47", "mpeg-ts"),
        (b"\0\0\x01\xba", "mpeg"), (b"\x89PNG\r\n", "picture (PNG)"), (b"", ""), (b"G", ""),
    ],
)  # fmt: skip
def test_kinds_by_their_first_bytes(tmp_path: Path, head: bytes, kind: str) -> None:
    (tmp_path / "x").write_bytes(head)
    assert container(tmp_path / "x") == kind


def test_an_mp4_of_another_name_is_taken_and_said(video: Callable[..., Path], tmp_path: Path) -> None:
    path = video("a.mp4")
    (tmp_path / "videos/notes.txt").write_text("about the dances")
    path.rename(path.with_suffix(".dat"))
    (found,) = find_videos(tmp_path / "videos")
    assert found.name == "a.dat"
    plan = plan_video(found, SETTINGS)
    assert len(plan.cuts) == 1
    assert plan.notes == ("mp4 by its content, though its name ends in .dat",)
    found.path.rename(tmp_path / "videos/song.m4a")
    assert not is_candidate(tmp_path / "videos/song.m4a")


def test_a_picture_that_calls_itself_a_video_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.mp4", format="PNG")
    assert find_videos(tmp_path)[0].name == "a.mp4"
    assert plan_video(source(tmp_path / "a.mp4"), SETTINGS).reasons == ("a picture (PNG) by its content, no video",)


def test_a_frame_rate_that_does_not_fit_the_sound_is_noted(tmp_path: Path, clicks: Callable[[float], np.ndarray]) -> None:
    frames = [np.full((64, 64, 3), number, np.uint8) for number in range(72)]
    media.write_video(tmp_path / "true.mp4", frames, fps=24.0, audio=clicks(3.0))
    half_speed(tmp_path / "true.mp4", tmp_path / "slow.mp4")
    plan = plan_video(source(tmp_path / "slow.mp4"), SETTINGS)
    (note,) = plan.notes
    assert note.startswith("pictures last 6.0 s and sound 3.0 s: if the frame rate is wrong, --source-fps 2")
    assert float(note.split("--source-fps ")[1].split()[0]) == pytest.approx(24, rel=0.03)
    fitting = plan_video(source(tmp_path / "slow.mp4"), replace(SETTINGS, source_fps=24.0))
    assert (len(fitting.cuts), fitting.notes) == (1, ())


def test_where_the_sound_ends(tmp_path: Path, clicks: Callable[[float], np.ndarray]) -> None:
    frames = [np.zeros((64, 64, 3), np.uint8)] * 48
    media.write_video(tmp_path / "a.mp4", frames, fps=24.0, audio=clicks(2.0))
    assert media.sound_seconds(tmp_path / "a.mp4") == pytest.approx(2.0, abs=0.05)
    half_speed(tmp_path / "a.mp4", tmp_path / "slow.mkv")
    assert media.sound_seconds(tmp_path / "slow.mkv") == pytest.approx(2.0, abs=0.05)
    media.write_video(tmp_path / "b.mp4", frames, fps=24.0)
    assert media.sound_seconds(tmp_path / "b.mp4") is None
