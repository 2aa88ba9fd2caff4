"""The optional encoder: clear messages without package or weights, pieces that fit together, and how jukemirlib is called."""

import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xdancer.audio import jukebox
from xdancer.audio.jukebox import EDGE, JukeboxEncoder, find_backend
from xdancer.audio.jukebox_prior import Jukebox5b
from xdancer.errors import CheckpointError, MissingPackageError, XDancerError

STEP = 1470
"""Samples of a video frame."""


class Backend:
    """One row per frame: the frame's place in the piece, its own loudness, and the mean loudness of it and the `memory` frames before."""

    version = "test"
    rate = Fraction(30)

    def __init__(self, context: int = 60, memory: int = 10) -> None:
        self.piece_samples, self.memory = context * STEP, memory
        self.pieces = 0

    def activations(self, piece):
        assert len(piece) == self.piece_samples
        self.pieces += 1
        loudness = piece.reshape(-1, STEP).mean(axis=1)
        past = [loudness[max(0, t - self.memory) : t + 1].mean() for t in range(len(loudness))]
        return np.stack([np.arange(len(loudness)), loudness, past], axis=1).astype(np.float32)


class Double(Backend):
    """Two rows a frame, so that resampling has work."""

    rate = Fraction(60)

    def activations(self, piece):
        return np.repeat(super().activations(piece), 2, axis=0)


def song(frames: int) -> np.ndarray:
    loudness = np.random.default_rng(0).uniform(0.1, 1.0, frames)
    loudness[0] = 1.0  # the encoder scales the peak to 1
    return np.repeat(loudness, STEP).astype(np.float32)


@pytest.mark.parametrize("frames", [59, 60, 61, 200, 333])
def test_every_row_has_a_quarter_context_of_past(frames):
    backend = Backend()
    rows = JukeboxEncoder(backend)(song(frames), 44100, frames)
    assert rows.shape == (frames, 3)
    assert rows.dtype == np.float32
    place = rows[:, 0]
    assert (place >= np.minimum(np.arange(frames), 60 // 4)).all()
    np.testing.assert_array_equal(place[: min(frames, 60 - EDGE)], np.arange(min(frames, 60 - EDGE)))
    later = frames - 60
    assert backend.pieces == (1 if later <= 0 else 1 + -(-later // (60 - 15 - EDGE)))
    if later > 0:
        assert (place[np.flatnonzero(np.diff(place) < 0)] < 60 - EDGE).all()


def test_joins_equal_one_evaluation_of_the_whole_song():
    """What sees no further than a quarter context back does not notice the pieces."""
    frames = 250
    pieces = JukeboxEncoder(Backend(context=60, memory=15))(song(frames), 44100, frames)
    whole = JukeboxEncoder(Backend(context=frames, memory=15))(song(frames), 44100, frames)
    np.testing.assert_allclose(pieces[:, 1:], whole[:, 1:], atol=1e-6)
    blind = JukeboxEncoder(Backend(context=60, memory=40))(song(frames), 44100, frames)
    assert np.abs(blind[:, 2] - JukeboxEncoder(Backend(context=frames, memory=40))(song(frames), 44100, frames)[:, 2]).max() > 0.01


def test_resampling_leaves_no_seam_either():
    frames = 250
    loudness = (0.55 + 0.45 * np.cos(np.arange(frames) / 6)).astype(np.float32)
    sound = np.repeat(loudness, STEP)
    pieces = JukeboxEncoder(Double(context=60, memory=12))(sound, 44100, frames)
    whole = JukeboxEncoder(Double(context=frames, memory=12))(sound, 44100, frames)
    inner = slice(EDGE, frames - EDGE)  # at the song's own ends both are bent, each its way
    np.testing.assert_allclose(pieces[inner, 1:], whole[inner, 1:], atol=1e-3)


def test_short_and_empty_sounds_are_padded():
    for sound in (np.zeros(100, dtype=np.float32), np.zeros(0, dtype=np.float32)):
        assert JukeboxEncoder(Backend())(sound, 22050, 10).shape == (10, 3)


def test_without_a_package_both_install_lines_are_named(monkeypatch):
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: False)
    with pytest.raises(MissingPackageError) as caught:
        JukeboxEncoder()
    assert "pip install 'xdancer[jukebox]'" in str(caught.value)
    assert "pip install git+https://github.com/rodrigo-castellon/jukemirlib.git" in str(caught.value)


def test_without_weights_the_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: True)
    monkeypatch.setenv("XDANCER_JUKEBOX", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"vqvae.pth.tar is missing. Download https://.*or name another with XDANCER_JUKEBOX=FOLDER"):
        find_backend()


def test_the_device_is_an_argument(monkeypatch, tmp_path):
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: True)
    monkeypatch.setenv("XDANCER_JUKEBOX", str(tmp_path))
    for name in ("vqvae.pth.tar", "prior_level_2.pth.tar"):
        (tmp_path / name).touch()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    backends = [find_backend(), find_backend("cpu"), JukeboxEncoder(device="cuda").backend]
    assert [backend.device.type for backend in backends if isinstance(backend, Jukebox5b)] == ["cuda", "cpu", "cuda"]
    assert JukeboxEncoder().version == "layer66-2+5b"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(XDancerError, match="--device cuda: not available"):
        find_backend("cuda")


def jukemirlib(monkeypatch, calls):
    """The package as far as it is used: the signature of its `extract`, and its result of 690 rows for 23 s."""

    def extract(audio=None, fpath=None, meanpool=False, layers=None, offset=0.0, duration=None, downsample_target_rate=None,
                downsample_method=None, fp16=False, fp16_out=False, force_empty_cache=True):  # fmt: skip
        calls.append((len(audio), audio.dtype.name, layers, downsample_target_rate, fp16, round(float(np.abs(audio).max()), 4)))
        return {layer: np.full((690, 4800), float(len(calls)), dtype=np.float32) for layer in layers}

    monkeypatch.setitem(sys.modules, "jukemirlib", SimpleNamespace(extract=extract))
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: not names)


def test_jukemirlib_is_called_for_layer_66_at_30_fps(monkeypatch):
    calls = []
    jukemirlib(monkeypatch, calls)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    encoder = JukeboxEncoder()
    rows = encoder(np.full(30 * 22050, 0.25, dtype=np.float32), 22050, 900)
    assert calls == [(23 * 44100, "float32", [66], 30, False, 1.0)] * 2
    assert rows.shape == (900, 4800)
    assert set(rows[:680, 0]) == {1}
    assert set(rows[680:, 0]) == {2}
    assert encoder.version == "layer66-2+jukemirlib"


def test_jukemirlib_computes_where_it_wants(monkeypatch):
    calls = []
    jukemirlib(monkeypatch, calls)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    JukeboxEncoder(device="cuda")(np.ones(44100, dtype=np.float32), 44100, 30)
    assert calls[0][4] is True
    with pytest.raises(XDancerError, match="--device cpu: jukemirlib computes on cuda here and cannot be told otherwise"):
        find_backend("cpu")
