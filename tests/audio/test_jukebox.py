"""The optional encoder: clear messages without package or weights, pieces that fit together, and the real modules at toy size."""

import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xdancer.audio import jukebox
from xdancer.audio.jukebox import JukeboxEncoder, JukeboxInfer, build_models, computing_on, find_backend, load_jukebox
from xdancer.errors import CheckpointError, MissingPackageError, XDancerError


class Counter:
    """A backend whose rows are the mean loudness of their own stretch of sound."""

    version = "test"
    piece_samples = 40 * 1470
    rate = Fraction(60)

    def __init__(self) -> None:
        self.pieces = 0

    def activations(self, piece):
        assert len(piece) == self.piece_samples
        self.pieces += 1
        return np.repeat(piece.reshape(-1, 735).mean(axis=1)[:, None], 5, axis=1).astype(np.float32)


def test_long_songs_are_pieced_together_without_a_seam():
    backend = Counter()
    frames = 150
    loudness = np.linspace(0.1, 1.0, frames)
    rows = JukeboxEncoder(backend)(np.repeat(loudness, 1470).astype(np.float32), 44100, frames)
    assert rows.shape == (frames, 5)
    assert rows.dtype == np.float32
    assert backend.pieces == 5
    np.testing.assert_allclose(rows[5:-5, 0], loudness[5:-5], atol=0.03)
    assert JukeboxEncoder(backend)(np.zeros(100, dtype=np.float32), 22050, 10).shape == (10, 5)


def test_without_a_package_the_install_line_is_named(monkeypatch):
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: False)
    with pytest.raises(MissingPackageError, match=r"pip install 'xdancer\[jukebox\]'"):
        find_backend()


def test_without_weights_the_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: True)
    monkeypatch.setenv("XDANCER_JUKEBOX", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"vqvae.pth.tar is missing. Download https://.*or name another with XDANCER_JUKEBOX=FOLDER"):
        find_backend()


def test_the_device_is_obeyed(monkeypatch):
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: True)
    chosen = []
    monkeypatch.setattr(JukeboxInfer, "from_folder", lambda folder, device: chosen.append(device.type) or Counter())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    find_backend()
    with computing_on("cpu"):
        find_backend()
    find_backend()
    assert chosen == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with computing_on("cuda"), pytest.raises(XDancerError, match="--device cuda: not available"):
        find_backend()
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: not names)
    with computing_on("cpu"), pytest.raises(XDancerError, match="--device cpu: jukemirlib chooses its device itself"):
        find_backend()


def test_jukemirlib_is_called_for_layer_66_at_30_fps(monkeypatch):
    calls = []

    def extract(audio, layers, downsample_target_rate):
        calls.append((layers, downsample_target_rate, len(audio)))
        return {66: np.zeros((690, 4800), dtype=np.float16)}

    monkeypatch.setitem(sys.modules, "jukemirlib", SimpleNamespace(extract=extract))
    monkeypatch.setattr(jukebox, "RequirementCache", lambda *names, **others: not names)
    encoder = JukeboxEncoder()
    assert encoder(np.ones(44100, dtype=np.float32), 44100, 30).shape == (30, 4800)
    assert calls == [([66], 30, 23 * 44100)]
    assert encoder.version == "layer66-1+jukemirlib"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jukebox-infer's own imports
def test_the_real_modules_at_toy_size(tmp_path):
    pytest.importorskip("jukebox_infer", reason="needs the optional package: pip install 'xdancer[jukebox]'")
    from jukebox_infer.hparams import setup_hparams

    sizes = {"sample_length": 512 * 128, "restore_vqvae": "", "emb_width": 8, "l_bins": 64, "width": 4, "depth": 1, "m_conv": 1.0}
    layers = {"prior_width": 48, "prior_depth": 6, "heads": 2, "n_ctx": 512, "blocks": 8, "restore_prior": "", "fp16_params": False}
    hyper = setup_hparams("vqvae", sizes), setup_hparams("prior_5b", layers)
    vqvae, prior = build_models(*hyper)
    codebook = vqvae.bottleneck.level_blocks[2].k
    codebook.copy_(torch.randn(codebook.shape))
    assert all(parameter.is_meta for parameter in prior.parameters())
    torch.manual_seed(0)
    names = {name: torch.randn(value.shape) * 0.1 for name, value in prior.state_dict().items()}
    torch.save({"model": {f"module.{name}": value for name, value in names.items()}, "step": 3}, tmp_path / "prior.tar")
    cut = build_models(hyper[0], setup_hparams("prior_5b", {**layers, "prior_depth": 4}))[1]
    load_jukebox(cut, tmp_path / "prior.tar", blocks=4)
    load_jukebox(prior, tmp_path / "prior.tar")
    backend = JukeboxInfer(vqvae, cut, layer=4, device=torch.device("cpu"))
    assert backend.rate == Fraction(44100, 128)
    song = np.random.default_rng(0).normal(size=2 * 44100).astype(np.float32) * np.linspace(0, 0.3, 2 * 44100, dtype=np.float32)
    rows = JukeboxEncoder(backend)(song, 44100, 60)
    assert rows.shape == (60, 48)
    assert np.isfinite(rows).all()
    assert rows.std(axis=0).min() > 0
    whole = JukeboxEncoder(JukeboxInfer(vqvae, prior, layer=4, device=torch.device("cpu")))(song, 44100, 60)
    np.testing.assert_array_equal(rows, whole)
    (tmp_path / "broken.tar").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"broken.tar is not the Jukebox checkpoint it should be"):
        load_jukebox(cut, tmp_path / "broken.tar")
