"""jukebox-infer's real modules at toy size: loading, the blocks in use, and a song from end to end."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from xdancer.__main__ import main
from xdancer.audio import encoder, jukebox
from xdancer.audio.encoder import encode_music, encode_music_to_disk
from xdancer.audio.jukebox import JukeboxEncoder
from xdancer.audio.jukebox_prior import Jukebox5b, JukeboxInfer, build_models, load_jukebox
from xdancer.data.shards import ShardReader
from xdancer.errors import CheckpointError
from xdancer.media import read_audio

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jukebox-infer's own imports
pytest.importorskip("jukebox_infer", reason="needs the optional package: pip install 'xdancer[jukebox]'")

VQVAE = {"sample_length": 512 * 128, "restore_vqvae": "", "emb_width": 8, "l_bins": 64, "width": 4, "depth": 1, "m_conv": 1.0}
PRIOR = {"prior_width": 48, "prior_depth": 6, "heads": 2, "n_ctx": 512, "blocks": 8, "restore_prior": "", "fp16_params": False}
CONTEXT = 512 * 128 // 1470
"""Rows that fit into the toy's context."""


def sizes(name: str, **changes):
    from jukebox_infer.hparams import setup_hparams

    return setup_hparams(name, {**(VQVAE if name == "vqvae" else PRIOR), **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random checkpoints in the real files' format, as six blocks."""
    torch.manual_seed(0)
    vqvae, prior = build_models(sizes("vqvae"), sizes("prior_5b"))
    codebook = vqvae.bottleneck.level_blocks[2].k
    codebook.copy_(torch.randn(codebook.shape))  # a fresh one is all zeros: every code would be equal
    weights = {name: torch.randn(value.shape) * 0.1 for name, value in prior.state_dict().items()}
    place = tmp_path_factory.mktemp("jukebox")
    torch.save({"model": {f"module.{name}": value for name, value in vqvae.state_dict().items()}}, place / "vqvae.pth.tar")
    torch.save({"model": {f"module.{name}": value for name, value in weights.items()}, "step": 3}, place / "prior_level_2.pth.tar")
    return place


@pytest.fixture
def toy(folder, monkeypatch, tmp_path):
    """The route of the 5b model with sizes that fit the random checkpoints, and an empty cache."""
    import jukebox_infer.hparams

    monkeypatch.setattr(Jukebox5b, "piece_samples", 512 * 128)
    real = jukebox_infer.hparams.setup_hparams
    monkeypatch.setattr(
        jukebox_infer.hparams, "setup_hparams", lambda name, given: real(name, {**given, **(VQVAE if name == "vqvae" else PRIOR)})
    )
    monkeypatch.setenv("XDANCER_JUKEBOX", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder._make_encoder.cache_clear()
    yield folder
    encoder._make_encoder.cache_clear()


def song(seconds: float) -> np.ndarray:
    samples = int(seconds * 44100)
    return np.random.default_rng(0).normal(size=samples).astype(np.float32) * np.linspace(0.05, 0.3, samples, dtype=np.float32)


def test_a_song_from_end_to_end(toy, monkeypatch, tmp_path):
    sound = song(4.0)
    music = encode_music(sound, 44100, 120, ["jukebox", "librosa"], device="cpu")
    rows = music["jukebox"]
    assert rows.shape == (120, 48)
    assert np.isfinite(rows).all()
    assert rows.std(axis=0).min() > 0
    monkeypatch.setattr(JukeboxInfer, "activations", lambda *_: pytest.fail("computed although it is in the cache"))
    np.testing.assert_array_equal(encode_music(sound, 44100, 120, ["jukebox"], device="cpu")["jukebox"], rows)
    np.testing.assert_array_equal(encode_music_to_disk(sound, 44100, 120, ["jukebox"], device="cpu")["jukebox"], rows)
    assert len(list((tmp_path / "cache/xdancer/features").iterdir())) == 1


def test_shards_get_the_feature(toy, tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(JukeboxEncoder, "width", 48)
    split = tiny.write_split(tmp_path / "train", [tiny.make_clip(number, 50 + number, video=True) for number in range(2)])
    assert main(["features", str(split), "--add", "jukebox", "--device", "cpu"]) == 0
    reader = ShardReader(split)
    assert reader.manifest.features["jukebox"] == {"width": 48, "version": "layer66-2+5b"}
    sound = read_audio(reader.member(1, "audio.m4a"), sample_rate=44100)
    direct = JukeboxEncoder(device="cpu")(sound, 44100, 51)
    np.testing.assert_allclose(reader.feature(1, "jukebox"), direct, atol=1e-3 * np.abs(direct).max())  # float16 in shards


def test_weights_are_read_at_the_first_sound(toy, monkeypatch):
    monkeypatch.setattr(JukeboxInfer, "from_folder", lambda *_: pytest.fail("loaded too early"))
    assert jukebox.find_backend("cpu").rate == Fraction(44100, 128)
    assert encoder.feature_table(["jukebox"], device="cpu") == {"jukebox": {"width": 4800, "version": "layer66-2+5b"}}


def test_later_rows_equal_a_direct_evaluation_of_their_piece(toy):
    """Rows of a long song against the prior run on the sound that begins a quarter of a context earlier."""
    sound, quarter = song(4.0), CONTEXT // 4
    sound /= np.abs(sound).max()
    backend = jukebox.find_backend("cpu")
    rows = JukeboxEncoder(backend)(sound, 44100, 120)
    first = CONTEXT - jukebox.EDGE  # of the second piece
    begin = first - quarter
    part = sound[begin * 1470 : begin * 1470 + backend.piece_samples]
    direct = jukebox.resample_poly(backend.activations(part), 64, 735, axis=0, padtype="line")
    np.testing.assert_allclose(rows[first : first + 10], direct[quarter : quarter + 10], atol=1e-5)


def test_only_the_blocks_in_use_are_kept(folder, tmp_path):
    vqvae, prior = build_models(sizes("vqvae"), sizes("prior_5b"))
    cut = build_models(sizes("vqvae"), sizes("prior_5b", prior_depth=4))[1]
    assert all(parameter.is_meta for parameter in prior.parameters())
    load_jukebox(vqvae, folder / "vqvae.pth.tar")
    load_jukebox(cut, folder / "prior_level_2.pth.tar", blocks=4)
    load_jukebox(prior, folder / "prior_level_2.pth.tar")
    few, all_blocks = (JukeboxInfer(vqvae, model, layer=4, device=torch.device("cpu")) for model in (cut, prior))
    assert few.rate == Fraction(44100, 128)
    sound = song(2.0)
    np.testing.assert_array_equal(JukeboxEncoder(few)(sound, 44100, 60), JukeboxEncoder(all_blocks)(sound, 44100, 60))
    (tmp_path / "broken.tar").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"broken.tar is not the Jukebox checkpoint it should be"):
        load_jukebox(cut, tmp_path / "broken.tar")
