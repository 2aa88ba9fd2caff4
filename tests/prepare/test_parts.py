"""Shares made apart and merged: the same bytes as in one piece, and nothing missing, doubled or foreign."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xdancer.commands.shards import merge
from xdancer.errors import XDancerError
from xdancer.prepare import Part, PrepareSettings, SplitChoice, merge_parts, parts, prepare_part, prepare_videos
from xdancer.prepare.parts import share_of

SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=1.0, min_person=50, features=("librosa",), shot_threshold=0.0)
pytestmark = pytest.mark.usefixtures("plain_page")


@pytest.fixture
def folder(video: Callable[..., Path]) -> Path:
    """Four good videos, one of them twice, and a mute one."""
    video("mute.mp4", 1.0, sound=False)
    for number in range(4):
        path = video(f"{number}.mp4", 1.0 + number * 0.25)
    shutil.copy(path, path.parent / "again.mp4")
    return path.parent


@pytest.fixture
def made(folder: Path, tmp_path: Path, detector: Any) -> Path:
    """All three parts, side by side."""
    for index in range(3):
        prepare_part(folder, tmp_path / "parts", Part(index, 3), SETTINGS, detector=detector)
    return tmp_path / "parts"


def shards(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("*/*")) if not path.parent.name.startswith((".", "part-"))
    }


def test_merged_parts_are_what_one_machine_writes(folder: Path, made: Path, tmp_path: Path, detector: Any) -> None:
    whole = prepare_videos(folder, tmp_path / "whole", SETTINGS, detector=detector)
    looked = detector.looked_at
    report = merge([made], out=made)
    assert shards(made) == shards(tmp_path / "whole")
    assert len(shards(made)) >= 6
    assert replace(report, seconds_spent=0.0) == replace(whole, seconds_spent=0.0)
    facts = [json.loads((out / "report.json").read_text()) for out in (made, tmp_path / "whole")]
    assert {**facts[0], "seconds_spent": 0} == {**facts[1], "seconds_spent": 0}
    assert detector.looked_at == looked
    assert merge([made], out=made).finished_before


def test_parts_share_the_videos_by_content(folder: Path, made: Path) -> None:
    rows = [json.loads((made / f"part-{index:05d}-of-00003" / "part.json").read_text()) for index in range(3)]
    names = [video["video"] for row in rows for video in row["videos"]]
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    digests = [digest for _, _, digest, _ in rows[0]["job"]["sources"]]
    assert {share_of(digest, 1) for digest in digests} == {0}
    assert all(any(Part(index, 5).holds(digest) for index in range(5)) for digest in digests)


def test_a_part_started_again_makes_only_what_is_lost(folder: Path, made: Path, tmp_path: Path, detector: Any) -> None:
    part = next(path for path in sorted(made.iterdir()) if list(path.glob("*.npz")))
    lost = min(part.glob("*.npz"))
    content = lost.read_bytes()
    lost.write_bytes(content[:100])
    with pytest.raises(XDancerError, match=rf"{part.name}: 1 of its clips are missing or damaged, such as {lost.name[:10]}"):
        merge_parts([made], tmp_path / "out")
    looked = detector.looked_at
    prepare_part(folder, made, Part(int(part.name[5:10]), 3), SETTINGS, detector=detector)
    assert 20 <= detector.looked_at - looked <= 31  # frames of one clip
    assert merge_parts([made], tmp_path / "out").accepted == 4


def test_missing_unfinished_doubled_and_foreign_parts_are_named(folder: Path, made: Path, tmp_path: Path, detector: Any) -> None:
    out, folders = tmp_path / "out", sorted(made.iterdir())
    with pytest.raises(XDancerError, match=r"Missing parts 0/3, 2/3\. All 3 parts are needed"):
        merge_parts([folders[1]], out)
    with pytest.raises(XDancerError, match=r"Part 2/3 is there twice: .*part-00002-of-00003 and .*part-00002-of-00003"):
        merge_parts([made, folders[2]], out)
    with pytest.raises(XDancerError, match="no parts here"):
        merge_parts([folder], out)
    prepare_part(folder, tmp_path / "other", Part(0, 3), replace(SETTINGS, margin=0.1), detector=detector)
    with pytest.raises(XDancerError, match=r"belongs to another job than .*: other --margin, .*: 0\.08 there, 0\.1 here"):
        merge_parts([tmp_path / "other", *folders[1:]], out)
    prepare_part(folder, tmp_path / "licence", Part(0, 3), SETTINGS, detector=detector, licence="CC0")
    with pytest.raises(XDancerError, match="other --licence, fingerprint: unstated there, CC0 here"):
        merge_parts([tmp_path / "licence", *folders[1:]], out)
    prepare_part(folder, tmp_path / "five", Part(0, 5), SETTINGS, detector=detector)
    with pytest.raises(XDancerError, match=r"is one of 3 parts, .* of 5"):
        merge_parts([tmp_path / "five", *folders[1:]], out)
    (folders[0] / "part.json").unlink()
    with pytest.raises(XDancerError, match=r"part-00000-of-00003: unfinished"):
        merge_parts([made], out)
    assert not out.exists()


def test_parts_of_another_version_are_foreign(made: Path, tmp_path: Path) -> None:
    path = made / "part-00001-of-00003/part.json"
    data = json.loads(path.read_text())
    data["job"]["versions"]["xdancer"] = "0.0.1"
    path.write_text(json.dumps(data))
    with pytest.raises(XDancerError, match=r"part-00001-of-00003 belongs to another job .*other version of xdancer: 0\.0\.1 there"):
        merge_parts([made], tmp_path / "out")


@pytest.mark.parametrize("key", ["../../outside", "a/b", "a.b"])
def test_a_part_names_no_files_outside(made: Path, tmp_path: Path, key: str) -> None:
    path = next(path for path in sorted(made.glob("*/part.json")) if json.loads(path.read_text())["videos"])
    data = json.loads(path.read_text())
    data["videos"][0]["cuts"] = [{"key": key, "start": 0.0, "stop": 1.0, "frames": 30, "reason": ""}]
    path.write_text(json.dumps(data))
    with pytest.raises(XDancerError, match=r"part.json: cannot be read \(Clip key .* is not allowed"):
        merge_parts([made], tmp_path / "out")


def test_shares_change_neither_with_names_nor_with_other_videos(video: Callable[..., Path], tmp_path: Path, detector: Any) -> None:
    path = video("a.mp4", 1.0)
    made = {index: prepare_part(path.parent, tmp_path, Part(index, 2), SETTINGS, detector=detector) for index in range(2)}
    share = next(report.part for report in made.values() if report.records)
    path.rename(path.with_name("z.mp4"))
    video("b.mp4", 1.25)
    assert "z.mp4" in prepare_part(path.parent, tmp_path, share, SETTINGS, detector=detector).records


@pytest.mark.parametrize(
    ("text", "says"),
    [("16/16", r"--part 16/16: parts count from 0, here from 0/16 to 15/16"), ("3", "needed is I/N"), ("0/0", "needed is I/N")],
)
def test_wrong_parts(text: str, says: str) -> None:
    with pytest.raises(XDancerError, match=says):
        Part.parse(text)


def test_the_split_travels_with_the_parts(folder: Path, tmp_path: Path, detector: Any) -> None:
    for index in range(2):
        prepare_part(folder, tmp_path / "parts", Part(index, 2), SETTINGS, detector=detector, split=SplitChoice("frames"))
    report = parts.merge_parts([tmp_path / "parts"], tmp_path / "out")
    assert report.clips == dict.fromkeys(("train", "val", "test"), sum(len(video.clips) for video in report.videos))
