"""`xdancer tokenize` through the command line: what it writes, what stands, what it refuses, what verify finds."""

import json
from pathlib import Path

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.data.derived import derived_of
from xdancer.data.shards import ShardReader


@pytest.fixture
def root(tiny, tmp_path) -> Path:
    tiny.write_split(tmp_path / "data/train", [tiny.make_clip(number, 40) for number in range(6)])
    tiny.write_split(tmp_path / "data/val", [tiny.make_clip(6, 33)])
    return tmp_path


def run(root: Path, tiny_models: Path, *arguments: str, shards: str = "data") -> int:
    return main(["tokenize", str(root / shards), "--vqvae", str(tiny_models / "vqvae"), "--device", "cpu", *arguments])


def test_every_split_gets_its_tokens(root, tiny_models, capsys):
    assert run(root, tiny_models) == 0
    assert "data/train.tokens: tokens of 6 clips by tokenizer" in capsys.readouterr().out
    record = json.loads((root / "data/train.tokens/derived.json").read_text())
    fingerprint = json.loads((tiny_models / "vqvae/config.json").read_text())["fingerprint"]
    assert record["maker"]["fingerprint"] == fingerprint
    assert record["maker"]["config"]["slots"] == 1
    reader = ShardReader(root / "data/train", tokens=root / "data/train.tokens")
    assert reader.tokens(3).shape == (40, 5, 1)
    assert reader.tokens("clip-003", 5, 9).dtype == np.int64
    np.testing.assert_array_equal(reader.tokens(3, 5, 9), reader.tokens(3)[5:9])
    assert sorted(path.name for path in (root / "data/train.tokens").iterdir()) == ["derived.json", "shard-000000.tar", "shard-000001.tar"]
    assert main(["shards", "verify", str(root / "data")]) == 0


def test_the_number_of_poses_at_a_time_does_not_matter(root, tiny_models):
    assert run(root, tiny_models, "--out", str(root / "a")) == 0
    assert run(root, tiny_models, "--out", str(root / "b"), "--batch-size", "13") == 0
    for name in ("derived.json", "shard-000000.tar", "shard-000001.tar"):
        assert (root / "a/train" / name).read_bytes() == (root / "b/train" / name).read_bytes()


def test_standing_tokens_are_kept_and_others_refused(root, tiny_models, tmp_path, capsys):
    assert run(root, tiny_models, shards="data/train") == 0
    before = (root / "data/train.tokens/derived.json").stat().st_mtime_ns
    assert run(root, tiny_models, shards="data/train") == 0
    assert "stand already" in capsys.readouterr().out
    assert (root / "data/train.tokens/derived.json").stat().st_mtime_ns == before
    other = other_tokenizer(tmp_path / "other")
    arguments = ["tokenize", str(root / "data/train"), "--vqvae", str(other), "--device", "cpu"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "train.tokens was made with fingerprint" in error
    assert "Pass --overwrite to replace it" in error
    assert len(error.splitlines()) == 1
    assert main([*arguments, "--overwrite"]) == 0
    assert main(["shards", "verify", str(root / "data/train")]) == 0


def other_tokenizer(folder: Path) -> Path:
    from xdancer.checkpoint import save_model
    from xdancer.vqvae.model import VQVAE, VQVAEConfig

    save_model(VQVAE(VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)), folder)
    return folder


def test_damage_to_tokens_is_found(root, tiny_models, capsys):
    assert run(root, tiny_models) == 0
    path = root / "data/train.tokens/shard-000000.tar"
    content = bytearray(path.read_bytes())
    content[512 + 128 : 512 + 130] = b"\xff\xff"
    path.write_bytes(content)
    assert main(["shards", "verify", str(root / "data")]) == 2
    out = capsys.readouterr().out
    assert "shard-000000.tar: sha256 is" in out
    assert "tokens.npy holds 65535, the tokenizer has 16 codes" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tokenize", "nothing"], "No shards in nothing: the folder does not exist"),
        (["tokenize", "data", "--vqvae", "none.ckpt"], "none.ckpt: no such checkpoint"),
        (["tokenize", "data", "--batch-size", "0"], "--batch-size 0: at least 1 pose at a time"),
    ],
)
def test_mistakes_are_one_line(root, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(root)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_damaged_record_is_one_line(root, tiny_models, capsys):
    assert run(root, tiny_models, shards="data/train") == 0
    path = root / "data/train.tokens/derived.json"
    record = json.loads(path.read_text())
    for change, message in (
        ({"schema": 9}, "schema version 9, this xdancer reads version 1"),
        ({"places": [[1]]}, "derived.json is damaged"),
        ({"places": record["places"][:-1]}, "has 5 clips in 2 tars, its split 6 in 2"),
        ({"shards": [{"name": "../x.tar", "bytes": 1, "sha256": ""}]}, "derived.json is damaged"),
    ):
        path.write_text(json.dumps({**record, **change}))
        assert main(["shards", "verify", str(root / "data/train")]) == 2
        assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("split", "place", "expected"),
    [
        ("data/train", ".tokens", Path("data/train.tokens")),
        ("data/train/", "runs/tokens", Path("runs/tokens/train")),
        ("data/train", "./tokens", Path("tokens/train")),
        ("https://example.org/data/train", ".tokens", "https://example.org/data/train.tokens"),
    ],
)
def test_where_tokens_lie(split, place, expected):
    assert derived_of(split, place) == expected
