"""`xdancer shards list`: figures, order, conditions, and nothing run that a condition says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from xdancer.__main__ import main
from xdancer.commands.listing import parse_conditions
from xdancer.errors import XDancerError


@pytest.fixture
def data(tiny, tmp_path) -> Path:
    clips = []
    for number, f1 in enumerate([0.25, 0.75, None]):
        clip = tiny.make_clip(number, 30 * (number + 1))
        quality = {
            "left_hand_seen": number / 4, "beats": {} if f1 is None else {"f1": f1, "null": 0.3},
            "filters": {"sharpness": {"value": 10.0 - number, "threshold": 3.0, "passed": True}},
        }  # fmt: skip
        clips.append(replace(clip, meta={**clip.meta, "quality": quality}))
    tiny.write_split(tmp_path / "data/train", clips[:2])
    tiny.write_split(tmp_path / "data/val", clips[2:])
    return tmp_path / "data"


def listed(capsys, data: Path, *arguments: str) -> list[dict]:
    assert main(["shards", "list", str(data), "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_clips_with_their_figures(data, capsys):
    rows = listed(capsys, data)
    assert [(row["key"], row["split"]) for row in rows] == [("clip-000", "train"), ("clip-001", "train"), ("clip-002", "val")]
    assert rows[0]["song"] == "song 0"
    figures = {"seconds": 1.0, "tempo": 120.0, "left_hand_seen": 0.0, "beats.f1": 0.25, "beats.null": 0.3, "sharpness": 10.0}
    assert rows[0]["figures"] == figures


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["--sort", "beats.f1"], ["001", "000", "002"]), (["--where", "left_hand_seen>=0.25"], ["001", "002"]),
        (["--where", "beats.f1 < 1"], ["000", "001"]), (["--where", "sharpness>8 and seconds>1.5", "--sort", "seconds"], ["001"]),
        (["--sort", "seconds"], ["002", "001", "000"]), (["--where", "sharpness=8"], ["002"]), (["--where", "sharpness>99"], []),
    ],
)  # fmt: skip
def test_order_and_conditions(data, capsys, arguments, keys):
    assert [row["key"][-3:] for row in listed(capsys, data, *arguments)] == keys


def test_a_table_for_people(data, capsys):
    assert main(["shards", "list", str(data), "--sort", "sharpness"]) == 0
    head, first, *_, last, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["key", "split", "song", "sharpness", "seconds", "left_hand_seen", "beats.f1", "beats.null"]
    assert first.split() == ["clip-000", "train", "song", "0", "10", "1", "0", "0.25", "0.3"]
    assert last.split()[-2:] == ["–", "–"]
    assert total == "3 of 3 clips, 6 s"


@pytest.mark.parametrize("text", ["sharpness", "sharpness > x", "__import__('os')>1", "a>1 or b>2", "sharpness>1;b>2", ""])
def test_only_plain_conditions_are_read(text):
    with pytest.raises(XDancerError, match="not a condition such as sharpness>=20"):
        parse_conditions(text)


def test_an_unknown_figure_is_one_line(data, capsys):
    assert main(["shards", "list", str(data), "--sort", "beauty"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "--sort beauty: no clip of" in error
    assert "Choose among beats.f1, beats.null, left_hand_seen, seconds, sharpness, tempo." in error
