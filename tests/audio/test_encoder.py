"""Music encoders: rows, widths, finite on silence, the beat where it is, chunks without seams."""

import numpy as np
import pytest

from xdancer.audio import encoder, feature_cache, musicnn
from xdancer.audio.encoder import (
    FEATURE_WIDTHS,
    MusicEncoder,
    PiecewiseEncoder,
    encode_music,
    encode_music_to_disk,
    feature_table,
    make_encoder,
)
from xdancer.audio.librosa_features import BEAT_COLUMN
from xdancer.audio.musicnn import Musicnn, MusicnnEncoder, interpolate_rows, log_mel
from xdancer.audio.waveform import is_silent, resample
from xdancer.errors import CheckpointError, XDancerError
from xdancer.weights import weights_path

RATE = 22050


def clicks(seconds: float = 6.0, bpm: float = 120.0, start: float = 0.25, rate: int = RATE) -> np.ndarray:
    """A decaying tone on every beat."""
    sound = np.zeros(int(seconds * rate), dtype=np.float32)
    tone = (np.exp(-np.arange(rate // 10) / (rate / 60)) * np.sin(np.arange(rate // 10) * 2 * np.pi * 330 / rate)).astype(np.float32)
    for beat in np.arange(start, seconds - 0.1, 60 / bpm):
        at = int(beat * rate)
        sound[at : at + len(tone)] += 0.8 * tone
    return sound


@pytest.mark.parametrize("name", ["librosa", "beat_phase", "musicnn"])
@pytest.mark.parametrize("frames", [1, 60, 181])
def test_exactly_the_asked_rows(name, frames):
    for sound in (clicks(2.0), np.zeros(RATE, dtype=np.float32), np.zeros(0, dtype=np.float32)):
        rows = make_encoder(name)(sound, RATE, frames)
        assert rows.shape == (frames, FEATURE_WIDTHS[name])
        assert rows.dtype == np.float32
        assert np.isfinite(rows).all()
        assert np.isfinite(rows.astype(np.float16)).all()


def test_librosa_beats_lie_on_the_clicks():
    rows = make_encoder("librosa")(clicks(), RATE, 180)
    beats = np.flatnonzero(rows[:, BEAT_COLUMN])
    expected = np.arange(0.25, 5.9, 0.5) * 30
    inner = expected[2:-2]
    distance = np.abs(beats[:, None] - inner[None]).min(axis=0)
    assert distance.max() <= 1.5
    assert set(np.unique(rows[:, 33:])) == {0.0, 1.0}
    onsets = np.flatnonzero(rows[:, 33])
    assert np.abs(onsets[:, None] - inner[None]).min(axis=0).max() <= 1.5


def test_features_do_not_depend_on_the_sample_rate():
    low, high = (encode_music(clicks(4.0, rate=rate), rate, 120, ["librosa", "musicnn"]) for rate in (22050, 48000))
    for name in low:
        assert np.corrcoef(low[name].ravel(), high[name].ravel())[0, 1] > 0.98


def test_musicnn_pieces_have_no_seams(monkeypatch):
    network = MusicnnEncoder()
    sound = np.random.default_rng(0).normal(size=5 * 16000).astype(np.float32) * 0.1
    whole = network(sound, 16000, 150)
    monkeypatch.setattr(musicnn, "PIECE", 40)
    pieces = list(network.pieces(sound, 16000, 150))
    assert [len(piece) for piece in pieces] == [40, 40, 40, 30]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)


def test_rows_of_a_part_are_those_of_the_whole_spectrogram():
    sound = np.random.default_rng(0).normal(size=3 * 16000).astype(np.float32) * 0.1
    mel = log_mel(sound)
    assert len(mel) == 1 + len(sound) // 256
    for start, stop in ((0, 50), (1, 2), (70, 188), (100, len(mel))):
        np.testing.assert_allclose(log_mel(sound, start, stop), mel[start:stop], atol=1e-6)


def test_musicnn_convolutions_are_torchs():
    """The matrix products against torch's convolution with TensorFlow's "same" padding."""
    import torch

    torch.manual_seed(0)
    model = Musicnn()
    mel = torch.randn(150, 96)
    for block in (model.front[0], model.front[2]):
        kernel = block.linear.weight.view(-1, 1, block.length, block.height)
        padded = torch.nn.functional.pad(mel, (0, 0, (block.length - 1) // 2, block.length // 2))
        expected = torch.conv2d(padded[None, None], kernel, block.linear.bias).relu().amax(dim=3)[0].T
        torch.testing.assert_close(block(mel), expected, atol=1e-4, rtol=1e-4)


TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient", "beat", "violin", "vocal",
    "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals", "harpsichord", "loud", "quiet",
)  # fmt: skip


def test_musicnn_with_its_own_head_recognises_rock(shared):
    """The features are the tagger's: with the dense layers of the same file, real rock is tagged guitar and rock."""
    import torch
    from safetensors.torch import load_file

    from xdancer.media import read_audio

    tensors = load_file(weights_path("MTT_musicnn.safetensors"))

    def normalise(x: torch.Tensor, index: int) -> torch.Tensor:
        mean, variance, gamma, beta = (
            tensors[f"batch_normalization_{index}/{name}"] for name in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return (x - mean) / torch.sqrt(variance + 1e-3) * gamma + beta

    sound = read_audio(shared / "data/music/escape_from_chaosland_30s.ogg", sample_rate=16000)[: 3 * 16000]
    with torch.inference_mode():
        features = MusicnnEncoder().model(torch.from_numpy(log_mel(sound)))
        pooled = normalise(torch.stack([features.amax(0), features.mean(0)], dim=1).flatten(), 9)
        hidden = normalise(torch.relu(pooled @ tensors["dense/kernel"] + tensors["dense/bias"]), 10)
        scores = torch.sigmoid(hidden @ tensors["dense_1/kernel"] + tensors["dense_1/bias"])[: len(TAGS)]
    best = {TAGS[index] for index in scores.topk(3).indices.tolist()}
    assert {"guitar", "rock"} <= best


def test_interpolation_reads_between_rows_and_holds_the_last():
    rows = np.arange(5, dtype=np.float32)[:, None] * 2
    np.testing.assert_allclose(interpolate_rows(rows, np.array([0.0, 0.25, 3.5, 4.0, 9.0]))[:, 0], [0, 0.5, 7, 8, 8], atol=1e-6)
    assert interpolate_rows(rows[:1], np.array([0.0, 0.5, 2.0])).tolist() == [[0], [0], [0]]


def test_names_widths_and_versions():
    with pytest.raises(XDancerError, match=r"Unknown music feature 'mfcc'. Choose among librosa, beat_phase, musicnn, jukebox"):
        make_encoder("mfcc")
    table = feature_table(["librosa", "musicnn"])
    assert table["musicnn"]["width"] == 753
    assert table["musicnn"]["version"].startswith("mtt-1+librosa")
    assert isinstance(make_encoder("librosa"), MusicEncoder)
    assert make_encoder("musicnn") is make_encoder("musicnn", device="cpu")
    assert [isinstance(make_encoder(name), PiecewiseEncoder) for name in ("librosa", "musicnn")] == [False, True]


def test_silence_and_resampling():
    assert is_silent(np.zeros(0, dtype=np.float32))
    assert is_silent(np.full(100, 5e-5, dtype=np.float32))
    assert not is_silent(clicks())
    broken = np.array([np.nan, np.inf, 0.5], dtype=np.float32)
    assert resample(broken, 16000, 16000).tolist() == [0, 0, 0.5]
    assert len(resample(clicks(2.0), RATE, 16000)) == 32000


def test_missing_weights_name_what_is_there():
    with pytest.raises(CheckpointError, match=r"'none.safetensors' are not in .*MTT_musicnn.safetensors"):
        weights_path("none.safetensors")


def test_music_on_disk_is_the_same_and_memory_mapped(tmp_path):
    names = ["librosa", "beat_phase", "musicnn"]
    plain = encode_music(clicks(3.0), RATE, 90, names)
    stored = encode_music_to_disk(clicks(3.0), RATE, 90, names, tmp_path)
    for name in names:
        assert isinstance(stored[name], np.memmap)
        np.testing.assert_array_equal(stored[name], plain[name])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 3
    encode_music_to_disk(clicks(3.0), RATE, 90, names, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    encode_music_to_disk(clicks(3.0) * 0.9, RATE, 90, ["beat_phase"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_only_the_heavy_encoder_is_cached_unasked(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    class Heavy:
        name, width, version = "jukebox", 4, "test"

        def __call__(self, waveform, sample_rate, frames):
            made.append(frames)
            return np.full((frames, 4), waveform.mean(), dtype=np.float32)

    make = encoder._make_encoder
    monkeypatch.setattr(encoder, "_make_encoder", lambda name, device: Heavy() if name == "jukebox" else make(name, device))
    for _ in range(2):
        music = encode_music(clicks(2.0), RATE, 60, ["jukebox", "librosa"])
        assert music["jukebox"].shape == (60, 4)
    assert made == [60]
    assert [path.name.partition("-")[0] for path in (tmp_path / "xdancer/features").iterdir()] == ["jukebox"]
    monkeypatch.setattr(feature_cache.os, "access", lambda *_: False)
    assert not isinstance(encode_music(clicks(2.0), RATE, 60, ["jukebox"])["jukebox"], np.memmap)
    assert "cannot be written: music features are not kept. Set XDG_CACHE_HOME" in caplog.text
