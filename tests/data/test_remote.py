"""Shards behind http: the same samples, a cache that keeps its bound, checksums."""

import functools
import http.server
import threading

import numpy as np
import pytest

from xdancer.data.derive import add_feature
from xdancer.data.shards import ShardReader
from xdancer.errors import ShardError


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - one list for all requests is the point

    def log_message(self, *arguments) -> None:
        self.asked.append(self.path)


@pytest.fixture
def server(tiny, tmp_path, monkeypatch):
    tiny.write_split(tmp_path / "site/train", [tiny.make_clip(number) for number in range(8)], samples_per_shard=2)
    monkeypatch.setenv("XDANCER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("xdancer.data.transfer.PAUSE", 0.0)
    Quiet.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "site"))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/train"
        running.shutdown()
        thread.join()


def tars() -> int:
    return sum(path.endswith(".tar") for path in Quiet.asked)


def test_remote_shards_read_like_local_ones(server, tmp_path):
    reader, local = ShardReader(server), ShardReader(tmp_path / "site/train")
    assert tars() == 0
    np.testing.assert_array_equal(reader.feature(3, "musicnn", 5, 9), local.feature(3, "musicnn", 5, 9))
    assert reader.meta(2) == local.meta(2)
    assert tars() == 1  # clips 2 and 3 share a tar
    again = ShardReader(server)
    again.pose(3)
    assert tars() == 1  # from the cache


def test_the_cache_keeps_its_bound(server, tmp_path, monkeypatch):
    size = (tmp_path / "site/train/shard-000000.tar").stat().st_size
    monkeypatch.setenv("XDANCER_CACHE_GB", str(2.5 * size / 1e9))
    reader = ShardReader(server)
    first = reader.pose(0)
    for clip in range(8):
        reader.pose(clip)
        assert len(list((tmp_path / "cache").rglob("*.tar"))) <= 2
    np.testing.assert_array_equal(reader.pose(0), first)  # the file stays readable while it is open
    assert ShardReader(server).pose(0).shape == first.shape
    assert not list((tmp_path / "cache").glob("*/.*"))


def test_faults_are_named(server, tmp_path, tiny):
    with pytest.raises(ShardError, match=r"Cannot fetch http://127.0.0.1:\d+/nothing/manifest.json: (Not Found|File not found)"):
        ShardReader(server.replace("/train", "/nothing"))
    reader = ShardReader(server)
    tiny.corrupt(tmp_path / "site/train", "clip-005", "pose.npy")
    with pytest.raises(ShardError, match=r"shard-000002.tar: arrived with sha256 .*its manifest says"):
        reader.pose(5)
    with pytest.raises(ShardError, match=r"Cannot fetch http://127\.0\.0\.1:1/x/manifest\.json"):
        ShardReader("http://127.0.0.1:1/x")


def test_added_features_are_fetched_too(server, tmp_path):
    site = tmp_path / "site/train"
    add_feature(site, "beat", {"width": 2, "version": "v1"}, lambda clip: np.full((clip.frames, 2), float(clip.key[-3:])))
    reader = ShardReader(server)
    assert tars() == 0
    np.testing.assert_array_equal(reader.feature(5, "beat", 5, 9), np.full((4, 2), 5))
    assert tars() == 1
    assert Quiet.asked[-1].endswith("features/beat/shard-000002.tar")
