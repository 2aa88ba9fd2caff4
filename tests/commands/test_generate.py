"""`xdancer generate` on the command line: the click test, every sound format, and every kind of bad input in one line with exit code 2."""

import io
import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from xdancer.__main__ import main
from xdancer.media import probe, read_audio, read_stereo, read_video
from xdancer.pipelines.folder import model_hash
from xdancer.pipelines.frame_rate import frame_numbers, shown

RATE = 44100


def write_wav(path: Path, waveform: np.ndarray, rate: int = RATE) -> Path:
    """16-bit; (samples,) or (samples, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if waveform.ndim == 1 else waveform.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((waveform * 32000).astype("<i2").tobytes())
    return path


def clicks(seconds: float, rate: int = RATE) -> np.ndarray:
    """A click at .5 s and every .5 s after."""
    waveform = np.zeros(round(seconds * rate), np.float32)
    for start in np.arange(0.5, seconds - 0.1, 0.5):
        waveform[round(start * rate) : round(start * rate) + rate // 200] = 0.8
    return waveform


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait, its pose and a song."""
    path = tmp_path_factory.mktemp("generate")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 40, 3)).astype(np.uint8)).save(path / "portrait.png")
    pose = np.concatenate([np.random.default_rng(1).uniform(-0.5, 0.5, (60, 2)), np.ones((60, 1))], axis=1)
    np.save(path / "pose.npy", pose)
    write_wav(path / "song.wav", clicks(3.5))
    return path


@pytest.fixture
def generate(folder: Path, tiny_models: Path, tmp_path: Path):
    """Run the command with defaults that can be replaced; None leaves a flag out."""

    def run(**flags) -> tuple[int, Path]:
        values = {"image": folder / "portrait.png", "music": folder / "song.wav", "pose": folder / "pose.npy", "model": tiny_models}
        values |= {"out": tmp_path / "dance.mp4", "device": "cpu"} | flags
        arguments = [part for name, value in values.items() if value is not None for part in (f"--{name.replace('_', '-')}", str(value))]
        return main(["generate", *arguments]), Path(values["out"])

    return run


def test_without_portrait_and_model_those_of_the_package_dance(
    generate, tiny_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No detector is asked: the portrait's pose lies beside it."""
    monkeypatch.setattr("xdancer.weights.shipped_model", lambda: tiny_models)
    monkeypatch.setattr("xdancer.pose.mediapipe.REQUIREMENT", False)
    code, out = generate(image=None, pose=None, model=None, seconds=1.0)
    assert code == 0
    info = probe(out)
    assert (info.frames, info.has_audio) == (30, True)
    assert "model in the package, portrait in the package" in capsys.readouterr().out
    with av.open(str(out)) as container:
        assert json.loads(container.metadata["comment"])["model"] == model_hash(tiny_models)


def test_the_songs_clicks_are_heard_at_their_frames(generate, folder: Path, tiny_models: Path, tmp_path: Path) -> None:
    code, out = generate(side_by_side=tmp_path / "both.mp4", save_pose=tmp_path / "dance.npy", temperature=0.9, top_k=8, top_p=0.95, steps=2)
    assert code == 0
    info = probe(out)
    assert (info.frames, info.has_audio, info.fps) == (105, True, pytest.approx(30))
    assert info.width / info.height == pytest.approx(40 / 64, rel=0.05)
    heard = read_audio(out, sample_rate=RATE)
    assert abs(len(heard) / RATE - info.frames / 30) < 1 / 30
    for start in np.arange(0.5, 3.3, 0.5):
        around = np.abs(heard[round((start - 0.1) * RATE) : round((start + 0.1) * RATE)])
        assert abs(np.argmax(around > 0.4) / RATE - 0.1) < 0.5 / 30
    assert probe(tmp_path / "both.mp4").width > 2.5 * probe(tmp_path / "both.mp4").height * 40 / 64
    pose = np.load(tmp_path / "dance.npy")
    assert pose.shape == (105, 60, 3)
    with av.open(str(out)) as container:
        notes = json.loads(container.metadata["comment"])
        assert container.metadata["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert (notes["seed"], notes["temperature"], notes["generated"]) == (0, 0.9, True)
    assert notes["model"] == model_hash(tiny_models)
    assert len(notes["model"]) == 16


def test_sizes_seconds_and_seeds(generate, tmp_path: Path) -> None:
    assert main(["generate", "--help"]) == 0
    code, out = generate(height=96, seconds=1.0, seed=3, save_pose=tmp_path / "first.npy")
    assert code == 0
    first = read_video(out).frames
    assert first.shape == (30, 96, 60, 3)
    assert generate(height=96, seconds=1.0, seed=3, save_pose=tmp_path / "again.npy", out=tmp_path / "again.mp4")[0] == 0
    assert np.array_equal(np.load(tmp_path / "first.npy"), np.load(tmp_path / "again.npy"))
    again = read_video(tmp_path / "again.mp4").frames
    assert np.abs(first.astype(int) - again).mean() < 1  # on a busy machine x264 now and then gives other bits for equal pictures


FORMATS = [
    ("song.mp3", "mp3", 44100, 2), ("song.ogg", "libopus", 48000, 2), ("song.flac", "flac", 8000, 1), ("song.m4a", "aac", 48000, 1),
    ("song.mp4", "aac", 32000, 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "rate", "channels"), FORMATS)
def test_any_sound_format(generate, tmp_path: Path, name: str, codec: str, rate: int, channels: int) -> None:
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        samples = np.repeat(clicks(3.2, rate)[None], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    code, out = generate(music=tmp_path / name)
    assert code == 0
    assert abs(probe(out).frames - 96) <= 4  # lossy encoders pad


def test_a_stereo_song_stays_stereo(generate, tmp_path: Path) -> None:
    """Also one whose channels cancel each other out: it can be heard, so it can be danced to."""
    left = clicks(3.2)
    for name, right, expected in (("wide", np.roll(left, 300) * 0.5, 0.5), ("opposed", -left, -1.0)):
        code, out = generate(music=write_wav(tmp_path / f"{name}.wav", np.stack([left, right], axis=1)), out=tmp_path / f"{name}.mp4")
        assert code == 0
        heard = read_stereo(out, sample_rate=RATE)
        assert heard.shape[1] == 2
        peaks = [channel[np.abs(channel).argmax()] for channel in heard.T]
        assert peaks[1] / peaks[0] == pytest.approx(expected, abs=0.15) if expected > 0 else peaks[1] * peaks[0] < 0


def bad_inputs(folder: Path) -> dict[str, tuple[dict, str]]:
    """Flags and a part of the line that must appear."""
    image = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(image, "PNG")
    (folder / "wall.png").write_bytes(image.getvalue())
    Image.new("RGB", (100, 500), "grey").save(folder / "ribbon.png")
    (folder / "broken.png").write_bytes(image.getvalue()[:60])
    (folder / "text.wav").write_text("no sound")
    write_wav(folder / "silent.wav", np.zeros(5 * RATE))
    write_wav(folder / "short.wav", clicks(2.0))
    pose = np.load(folder / "pose.npy")
    np.save(folder / "nan.npy", np.where(np.arange(60)[:, None] == 7, np.nan, pose))
    np.save(folder / "pixels.npy", pose * [500, 500, 1])
    np.save(folder / "nobody.npy", pose * [1, 1, 0])
    np.save(folder / "shape.npy", pose[:17])
    np.save(folder / "objects.npy", np.array([{"bodies": 1}], dtype=object))
    (folder / "empty_model").mkdir()
    return {
        "missing image": ({"image": folder / "none.png"}, "none.png: no such file"),
        "ribbon": ({"image": folder / "ribbon.png"}, "ribbon.png: 100×500 is more than 4 times as long as wide"),
        "broken image": ({"image": folder / "broken.png"}, "broken.png: cannot be read as a picture"),
        "missing music": ({"music": folder / "none.wav"}, "none.wav: no such file"),
        "no sound": ({"music": folder / "text.wav"}, "text.wav: cannot be read"),
        "silent song": ({"music": folder / "silent.wav"}, "silent.wav: silent"),
        "short song": ({"music": folder / "short.wav"}, "short.wav: 2.0 s of sound. A dance needs at least 3 s"),
        "nan pose": ({"pose": folder / "nan.npy"}, "nan.npy: 3 values are NaN"),
        "pixel pose": ({"pose": folder / "pixels.npy"}, "pixels?"),
        "empty pose": ({"pose": folder / "nobody.npy"}, "nobody.npy: 0 of 18 body keypoints"),
        "pose of another shape": ({"pose": folder / "shape.npy"}, "shape.npy: holds float64 (17, 3)"),
        "pickled pose": ({"pose": folder / "objects.npy"}, "objects.npy: not a readable .npy"),
        "missing pose": ({"pose": folder / "none.npy"}, "none.npy: no such pose file"),
        "no model": ({"model": folder / "none"}, "none is no model folder"),
        "empty model": ({"model": folder / "empty_model"}, "empty_model is no model folder"),
        "out folder": ({"out": folder / "none" / "x.mp4"}, "does not exist"),
        "out name": ({"out": folder / "x.avi"}, "x.avi: the result is an mp4"),
        "one name for two": ({"out": folder / "x.mp4", "side_by_side": folder / "x.mp4"}, "Two results have one name"),
        "no time": ({"seconds": 0.0}, "--seconds 0: must be above 0"),
        "temperature": ({"temperature": -1.0}, "temperature ≥ 0"),
        "proportions": ({"width": 512, "height": 512}, "give only one side"),
        "frame rate": ({"fps": 0.5}, "--fps 0.5: from 1 to 120"),
        "steps": ({"steps": 0}, "steps 0: from 1"),
        "device": ({"device": "cuda"}, "cuda"),
    }


def test_bad_input_ends_in_one_line(generate, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    for name, (flags, expected) in bad_inputs(folder).items():
        if name == "device" and torch.cuda.is_available():
            continue
        code, out = generate(**flags)
        error = capsys.readouterr().err.strip().splitlines()
        assert (code, name) == (2, name)
        assert expected in error[-1], (name, error)
        assert sum(line.startswith("xdancer generate:") for line in error) == 1
        assert not out.exists()
    assert not list(tmp_path.iterdir())


def test_other_frame_rates_show_the_same_dance(generate, tmp_path: Path) -> None:
    usual = read_video(generate(out=tmp_path / "usual.mp4")[1]).frames[:, ::8, ::8].astype(int)
    for fps in (12.0, 60.0):
        other = generate(out=tmp_path / f"{fps:g}.mp4", side_by_side=tmp_path / f"{fps:g}_both.mp4", fps=fps)[1]
        info = probe(other)
        assert (info.frames, info.fps, info.has_audio) == (round(105 * fps / 30), pytest.approx(fps), True)
        assert probe(tmp_path / f"{fps:g}_both.mp4").frames == info.frames
        numbers = frame_numbers(105, fps)
        assert list(shown(range(105), numbers)) == numbers
        assert np.abs(np.array(numbers) / 30 - np.arange(len(numbers)) / fps).max() <= 0.5 / 30 + 1e-9
        frames = read_video(other).frames[:, ::8, ::8].astype(int)
        error = np.abs(frames[:, None] - usual[None]).mean((2, 3, 4))  # the pictures of an untrained model are noise, encoded twice
        assert error.argmin(1).tolist() == numbers


def test_a_tiny_portrait_is_said_and_taken(generate, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 60), "grey").save(folder / "tiny.png")
    code, out = generate(image=folder / "tiny.png")
    assert code == 0
    assert "tiny.png: 40×60 pixels show little of a person; expect a blur below 64" in capsys.readouterr().out
    assert probe(out).frames == 105


def test_a_portrait_without_a_person(generate, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mediapipe", reason="needs MediaPipe")
    bad_inputs_image = folder / "grey.png"
    Image.new("RGB", (256, 256), "grey").save(bad_inputs_image)
    code, out = generate(image=bad_inputs_image, pose=None)
    error = capsys.readouterr().err
    assert code == 2
    assert "grey.png" in error
    assert "--pose FILE" in error
    assert not out.exists()


def test_without_a_detector_both_ways_are_named(generate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("xdancer.pose.mediapipe.REQUIREMENT", False)
    code, _ = generate(pose=None)
    error = capsys.readouterr().err
    assert code == 2
    assert "pip install 'xdancer[pose]'" in error
    assert "--pose FILE" in error


def test_a_full_disk_leaves_nothing_half_written(
    generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the system refuses to write more, as on a full disk
    try:
        code, out = generate()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not out.exists()
    assert not list(tmp_path.iterdir())
