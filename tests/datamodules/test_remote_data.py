"""Training from addresses: the same batches as from the folder, whatever fails on the way."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from datamodules.motion import MotionDataModule
from xdancer.data import transfer
from xdancer.data.shards import ShardReader
from xdancer.errors import ShardError
from xdancer.types import DanceBatch


@pytest.fixture(scope="module")
def faulty() -> ModuleType:
    path = Path(__file__).parents[1] / "support/faulty_server.py"
    spec = importlib.util.spec_from_file_location("faulty_server", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    tiny.write_split(folder / "train", [tiny.make_clip(number, 50) for number in range(8)], samples_per_shard=2)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    monkeypatch.setattr(transfer, "TIMEOUT", 0.3)
    monkeypatch.setenv("XDANCER_CACHE", str(tmp_path / "cache"))


def batches(train: Path | str, *, workers: int = 0) -> Iterator[DanceBatch]:
    sizes = {"segment_frames": 16, "history_frames": 20, "context_frames": 4, "features": ("librosa",), "batch_size": 4, "stage": "gpt"}
    data = MotionDataModule(train=str(train), val=str(train), test=str(train), num_workers=workers, **sizes)
    yield from data.train_dataloader()
    data.teardown("fit")


def assert_same(ours: Iterator[DanceBatch], theirs: Iterator[DanceBatch]) -> None:
    pairs = list(zip(ours, theirs, strict=True))
    assert len(pairs) == 6
    for one, other in pairs:
        torch.testing.assert_close(one.pose.keypoints, other.pose.keypoints, rtol=0, atol=0)
        torch.testing.assert_close(one.music.features["librosa"], other.music.features["librosa"], rtol=0, atol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_through_a_failing_server_are_those_of_the_folder(root, faulty, workers) -> None:
    with faulty.serving(root) as server:
        server.faults |= {
            "manifest.json": ["cut"], "index.json": [500, "long"], "shard-000000.tar": ["cut", "cut"], "shard-000001.tar": ["flip"],
            "shard-000002.tar": ["stall"], "shard-000003.tar": [503, "more"],
        }  # fmt: skip
        assert_same(batches(f"{server.url}/train", workers=workers), batches(root / "train"))
        assert not any(server.faults.values())
        assert server.count(".tar") == 4 + 6


def test_batches_from_a_store_and_from_a_command(root) -> None:
    fsspec = pytest.importorskip("fsspec")
    for path in (root / "train").iterdir():
        fsspec.filesystem("memory").pipe(f"/bucket/train/{path.name}", path.read_bytes())
    assert_same(batches("memory://bucket/train"), batches(root / "train"))
    assert_same(batches(f"pipe:cat {root}/train/{{}}"), batches(root / "train"))


def test_a_tar_that_never_arrives_whole_stops_the_run_in_one_line(root, faulty) -> None:
    with faulty.serving(root) as server:
        server.faults["shard-000001.tar"] = ["flip"] * 9
        with pytest.raises(ShardError, match=r"Cannot fetch http.*shard-000001.tar: arrived with sha256 .* \(tried 5 times\)"):
            list(batches(f"{server.url}/train"))


def test_other_shards_behind_the_same_address_are_noticed(tiny, faulty, tmp_path) -> None:
    site = tiny.write_split(tmp_path / "site", [tiny.make_clip(1)])
    with faulty.serving(tmp_path) as server:
        first = ShardReader(f"{server.url}/site").pose(0)
        other = tiny.write_split(tmp_path / "other", [tiny.make_clip(2)])
        for path in other.iterdir():
            (site / path.name).write_bytes(path.read_bytes().replace(b"clip-002", b"clip-001"))
        (site / "manifest.json").write_text((other / "manifest.json").read_text())
        manifest, tar = site / "manifest.json", site / "shard-000000.tar"
        from xdancer.data.tar_output import sha256_of

        manifest.write_text(manifest.read_text().replace(sha256_of(other / tar.name), sha256_of(tar)))
        second = ShardReader(f"{server.url}/site").pose(0)
    assert float(first[0, 0, 0]) == 1 / 64
    assert float(second[0, 0, 0]) == 2 / 64


def test_an_index_cannot_name_another_address(tiny, tmp_path, faulty) -> None:
    site, marker = tiny.write_split(tmp_path / "site", [tiny.make_clip(1)]), tmp_path / "marker"
    index = (site / "index.json").read_text()
    with faulty.serving(tmp_path) as server:
        for name in (f"pipe:touch {marker}", "../other.tar", f"$(touch {marker})"):
            (site / "index.json").write_text(index.replace("shard-000000.tar", name.replace("/", "\\/")))
            with pytest.raises(ShardError):
                ShardReader(f"{server.url}/site").pose(0)
            with pytest.raises(ShardError):
                ShardReader(f"pipe:cat {site}/{{}}").pose(0)
        assert not marker.exists()
