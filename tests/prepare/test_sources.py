"""Which videos, which songs, which cuts."""

import itertools
from pathlib import Path

import pytest

from xdancer.errors import XDancerError
from xdancer.prepare.settings import PrepareSettings
from xdancer.prepare.sources import Source, find_videos, plan_cuts


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_videos_of_all_sub_folders_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a/c.mov", ".hidden/x.mp4", "notes.txt", "song.mp3")
    found = find_videos(tmp_path)
    assert [(source.name, source.song) for source in found] == [("a/c.mov", "c"), ("b.MP4", "b")]
    assert len({source.digest for source in found}) == 2


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(XDancerError, match="nowhere: no such folder"):
        find_videos(tmp_path / "nowhere")
    touch(tmp_path, "notes.txt")
    with pytest.raises(XDancerError, match="holds no video"):
        find_videos(tmp_path)


def test_groups_name_songs(tmp_path: Path) -> None:
    touch(tmp_path, "v/one.mp4", "v/two.mp4", "v/three.mp4")
    groups = tmp_path / "groups.csv"
    groups.write_text("\ufeffvideo,song\none.mp4,Thriller\ntwo,Thriller\n", encoding="utf-8")
    assert [source.song for source in find_videos(tmp_path / "v", groups)] == ["Thriller", "three", "Thriller"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "columns"), ("film,tune\na,b\n", "film, tune"), ("video,song\nfour,x\n", "line 2: no video is called 'four'"),
     ("video,song\none,\n", "line 2: video 'one' has no song"), (None, "cannot be read")],
)  # fmt: skip
def test_groups_that_do_not_fit(tmp_path: Path, text: str | None, message: str) -> None:
    touch(tmp_path, "v/one.mp4")
    groups = tmp_path / "groups.csv"
    if text is not None:
        groups.write_text(text)
    with pytest.raises(XDancerError, match=message):
        find_videos(tmp_path / "v", groups)


@pytest.mark.parametrize(
    ("duration", "lengths"),
    [(4.9, []), (5.0, [5.0]), (20.0, [20.0]), (21.0, [10.5] * 2), (60.0, [20.0] * 3), (61.0, [15.25] * 4)],
)
def test_long_videos_are_cut_into_equal_clips(duration: float, lengths: list[float]) -> None:
    source = Source(Path("x/My video (1).mp4"), "My video (1).mp4", "song", "0123456789abcdef")
    cuts = plan_cuts(source, duration, PrepareSettings())
    assert [cut.stop - cut.start for cut in cuts] == pytest.approx(lengths)
    assert all(later.start == pytest.approx(earlier.stop) for earlier, later in itertools.pairwise(cuts))
    assert [cut.key for cut in cuts] == [f"My-video-1-01234567-{index:03d}" for index in range(len(cuts))]


def test_narrow_limits_drop_the_end_instead_of_making_short_clips() -> None:
    source = Source(Path("a.mp4"), "a.mp4", "a", "0" * 64)
    cuts = plan_cuts(source, 25.0, PrepareSettings(min_seconds=15.0, max_seconds=20.0))
    assert [(cut.start, cut.stop) for cut in cuts] == [(0, 20)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 33},
        {"height": 8},
        {"min_seconds": 9.0, "max_seconds": 8.0},
        {"min_seconds": 0.1},
        {"margin": 2.0},
        {"features": ()},
        {"source_fps": 0.1},
    ],
)
def test_wrong_settings_name_their_flag(wrong: dict[str, float]) -> None:
    with pytest.raises(XDancerError, match="--" + next(iter(wrong)).replace("_", "-")):
        PrepareSettings(**wrong)  # type: ignore[arg-type]


def test_the_digest_follows_what_matters() -> None:
    base = PrepareSettings().digest("mediapipe 1")
    assert base == PrepareSettings(device="cpu").digest("mediapipe 1")
    assert base not in (PrepareSettings(margin=0.1).digest("mediapipe 1"), PrepareSettings().digest("mediapipe 2"))


def test_weights_count_by_their_content(tmp_path: Path) -> None:
    digests = []
    for name, content in (("a.onnx", b"1"), ("b.onnx", b"1"), ("a.onnx", b"2")):
        (tmp_path / name).write_bytes(content)
        digests.append(PrepareSettings(pose_weights=tmp_path / name).digest("dwpose 1"))
    assert digests[0] == digests[1] != digests[2]
    with pytest.raises(XDancerError, match=r"none.onnx: cannot be read"):
        PrepareSettings(person_weights=tmp_path / "none.onnx").digest("dwpose 1")
