"""`xdancer shards …` through the command line: what it prints, what it writes, one line and exit code 2 for every fault."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdancer.__main__ import main
from xdancer.media import probe, read_audio


@pytest.fixture
def root(tiny, tmp_path) -> Path:
    tiny.write_split(tmp_path / "data/train", [tiny.make_clip(0, 32, video=True), tiny.make_clip(1, 40)])
    tiny.write_split(tmp_path / "data/val", [tiny.make_clip(2)])
    return tmp_path


def one_line(capsys) -> str:
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "Traceback" not in error
    return error


def test_verify_takes_either_level(root, capsys):
    assert main(["shards", "verify", str(root / "data")]) == 0
    assert capsys.readouterr().out.count(": ok\n") == 2
    assert main(["shards", "verify", str(root / "data/val")]) == 0


def test_show_writes_a_video_with_sound(root, capsys):
    out = root / "clip.mp4"
    assert main(["shards", "show", str(root / "data"), "clip-000", "--out", str(out)]) == 0
    assert "1.1 s, song 'song 0' at 120.0 BPM" in capsys.readouterr().out
    info = probe(out)
    assert (info.frames, info.has_audio, round(info.fps)) == (32, True, 30)
    assert info.width == 2 * 384
    assert np.abs(read_audio(out, sample_rate=22050)).max() > 0.2
    assert main(["shards", "show", str(root / "data/train"), "clip-001", "--out", str(out)]) == 0
    assert probe(out).width == 384


def test_show_writes_a_picture_with_a_flash_on_the_beat(root):
    out = root / "clip.png"
    assert main(["shards", "show", str(root / "data/train"), "clip-000", "--out", str(out)]) == 0
    picture = np.asarray(Image.open(out))
    panels = np.split(picture[-4:], 6, axis=1)  # frames 0, 6, 12, 18, 24, 31; beats in frames 8 and 23
    assert [int(panel.max()) for panel in panels] == [32, 32, 32, 32, 255, 32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nothing"], "No shards in nothing: the folder does not exist"),
        (["verify", "https://example.org/data"], "is an address, and this command reads folders"),
        (["verify", "."], "neither it nor its sub-folders have a manifest.json. Make shards with `xdancer prepare"),
        (["show", "data", "nobody"], "No clip 'nobody' in data. Its 3 clips are named like clip-000, clip-001"),
        (["show", "data/train", "clip-000", "--out", "clip.gif"], "--out clip.gif: unknown kind of file"),
        (["show", "data/train", "clip-000", "--out", "none/clip.mp4"], "none/clip.mp4: the folder none does not exist"),
        (["show", "data/train", "clip-000", "--out", "none/clip.png"], "Cannot write none/clip.png: No such file or directory"),
    ],
)
def test_mistakes_are_one_line(root, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(root)
    assert main(["shards", *arguments]) == 2
    assert message in one_line(capsys)


def test_nan_poses_are_one_line(root, capsys):
    path = root / "data/val/shard-000000.tar"
    data = path.read_bytes()
    pose = data.index(b"\x93NUMPY", data.index(b"pose.npy")) + 128
    path.write_bytes(data[:pose] + np.float32(np.nan).tobytes() + data[pose + 4 :])
    assert main(["shards", "verify", str(root / "data/val")]) == 2
    captured = capsys.readouterr()
    assert "clip 'clip-002' is damaged: pose.npy holds NaN" in captured.out
    assert len(captured.err.splitlines()) == 1


def test_damage_and_foreign_schema_are_one_line(tiny, root, capsys):
    tiny.corrupt(root / "data/train", "clip-001", "pose.npy")
    assert main(["shards", "verify", str(root / "data")]) == 2
    captured = capsys.readouterr()
    assert "problem: " in captured.out
    assert "clip 'clip-001' is damaged" in captured.out
    assert captured.err.startswith(f"xdancer shards: {root / 'data'}: 2 problems")
    assert main(["shards", "show", str(root / "data"), "clip-001", "--out", str(root / "x.mp4")]) == 2
    assert "Clip 'clip-001' is damaged" in one_line(capsys)
    manifest = root / "data/val/manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": 9}))
    assert main(["shards", "verify", str(root / "data/val")]) == 2
    assert "schema version 9, this xdancer reads version 1" in one_line(capsys)
    assert not list(root.glob("*.mp4"))


def change_index(folder: Path, change) -> None:
    index = json.loads((folder / "index.json").read_text())
    change(index)
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("command", [["verify", "data/val"], ["show", "data/val", "first"]])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index["clips"][0].pop("members"), "index.json is damaged: KeyError('members')"),
        (lambda index: index["clips"][0].update(shard=7), "clip 'clip-002' lies in shard 7 of 1"),
        (lambda index: index["clips"][0].update(shard="0"), "a text and two whole numbers are needed"),
        (lambda index: index["clips"][0].update(frames=-1), "clip 'clip-002' has -1 frames"),
        (lambda index: index["clips"][0]["members"].update({"pose.npy": [512, 1 << 50]}), "clip 'clip-002': pose.npy lies at 512 + 112"),
        (lambda index: index["clips"][0]["members"].update({"pose.npy": [512]}), "index.json is damaged"),
        (lambda index: index.update(clips=[]), "data/val holds no clips. Make shards with"),
        (lambda index: index.update(clips=[3]), "index.json is damaged"),
        (lambda index: index.update(shards=None), "index.json is damaged"),
    ],
)
def test_a_damaged_index_is_one_line(root, monkeypatch, capsys, command, change, message):
    monkeypatch.chdir(root)
    change_index(root / "data/val", change)
    assert main(["shards", *command]) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize(
    ("name", "value"), [("features", None), ("features", {"librosa": {}}), ("sha256", []), ("counts", 3), ("notes", "by frames")]
)
def test_a_damaged_manifest_is_one_line(root, capsys, name, value):
    path = root / "data/val/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    assert main(["shards", "verify", str(root / "data/val")]) == 2
    assert "manifest.json is damaged: " in one_line(capsys)


@pytest.mark.parametrize("name", ["width", "beats", "source", "tempo", "song"])
def test_metadata_without_a_key_is_one_line(root, capsys, name):
    path = root / "data/train/shard-000000.tar"
    data = path.read_bytes()
    assert f'"{name}"'.encode() in data
    path.write_bytes(data.replace(f'"{name}"'.encode(), f'"{name[:-1]}_"'.encode(), 1))
    assert main(["shards", "verify", str(root / "data/train")]) == 2
    captured = capsys.readouterr()
    assert "clip 'clip-000' is damaged: meta.json needs a " in captured.out
    assert f"{name!r}" in captured.out
    assert len(captured.err.splitlines()) == 1
    assert main(["shards", "show", str(root / "data/train"), "first", "--out", str(root / "x.mp4")]) == 2
    assert "Clip 'clip-000' is damaged: meta.json needs a " in one_line(capsys)
