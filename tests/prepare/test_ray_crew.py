"""The same shards from Ray's workers as from this machine's, and a crashing one costs its video only."""

import importlib
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.errors import MissingPackageError, XDancerError
from xdancer.prepare import Execution, PrepareSettings, prepare_videos, ray_crew

SUPPORT = Path(__file__).resolve().parents[1] / "support"
SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=1.0, min_person=50, features=("librosa",), shot_threshold=0.0)
NEEDS_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray (extra `ray`) is not installed")


def shards(out: Path) -> dict[str, bytes]:
    found = (path for split in ("train", "val", "test") for path in sorted((out / split).glob("*")))
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def test_without_ray_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_crew, "RAY", False)
    with pytest.raises(MissingPackageError, match=r"pip install 'xdancer\[ray\]'"), Execution(engine="ray").open():
        pass


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens_is_said_at_once(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Ray tries for more than ten minutes."""
    monkeypatch.setattr(ray_crew, "RAY", True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, not listening
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
        wanted = f"--ray-address {address}: nobody answers there"
        with pytest.raises(XDancerError, match=wanted), Execution(engine="ray", ray_address=address).open():
            pass


@pytest.mark.slow
@NEEDS_RAY
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_writes_the_same_bytes_and_survives_poison(
    video: Callable[..., Path], clicks: Callable[[float], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=":")
    deadly = importlib.import_module("deadly")
    video("a.mp4", 2.0)
    folder = video("b.mp4", 1.0).parent
    prepare_videos(folder, tmp_path / "local", SETTINGS, detector=deadly.Deadly())
    frame = np.full((120, 160, 3), deadly.DEADLY["exits"], np.uint8)
    media.write_video(folder / "exits.mp4", [frame] * 36, fps=24.0, audio=clicks(1.5), sample_rate=44100)
    report = prepare_videos(folder, tmp_path / "ray", SETTINGS, detector=deadly.Deadly, execution=Execution(workers=2, engine="ray"))
    assert shards(tmp_path / "ray") == shards(tmp_path / "local")
    assert report.videos[2].quarantined.startswith("the worker process died")


@pytest.mark.slow
@NEEDS_RAY
@pytest.mark.filterwarnings("ignore")
def test_no_cluster_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XDancerError, match="Ray does not start at --ray-address auto"), Execution(engine="ray", ray_address="auto").open():
        pass
