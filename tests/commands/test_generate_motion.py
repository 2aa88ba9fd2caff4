"""`xdancer generate` on motion alone: the preview, changes to a dance, candidates, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.media import probe, read_video
from xdancer.pipelines.motion import MotionPipeline

FRAMES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Path:
    """A song, a portrait with its pose, and a model folder without a renderer."""
    import wave

    from PIL import Image

    path = tmp_path_factory.mktemp("motion")
    beat = (np.arange(4 * 22050) % 11025 < 500) * np.sin(np.arange(4 * 22050) / 9)
    with wave.open(str(path / "song.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22050)
        file.writeframes((beat * 30000).astype("<i2").tobytes())
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 40, 3)).astype(np.uint8)).save(path / "portrait.png")
    np.save(path / "pose.npy", np.concatenate([np.random.default_rng(1).uniform(-0.5, 0.5, (60, 2)), np.ones((60, 1))], axis=1))
    MotionPipeline.from_pretrained(tiny_models).save_pretrained(path / "model")
    return path


@pytest.fixture
def generate(folder: Path, tmp_path: Path):
    """Run the command for one second of the skeleton; True stands for a flag alone, None leaves one out."""

    def run(**flags) -> int:
        values = {"music": folder / "song.wav", "model": folder / "model", "out": tmp_path / "dance.mp4", "device": "cpu", "seconds": 1.0}
        arguments = []
        for name, value in (values | {"preview": True} | flags).items():
            if value is not None:
                arguments += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return main(["generate", *arguments])

    return run


def tokens(path: Path) -> np.ndarray:
    with np.load(path) as stored:
        return stored["ids"]


def test_the_skeleton_dances_with_a_song_alone(generate, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(save_pose=tmp_path / "dance.npy", save_tokens=tmp_path / "dance.npz") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dance.mp4", "dance.npy", "dance.npz"]  # the preview became the result
    info = probe(tmp_path / "dance.mp4")
    assert (info.frames, info.height, info.width, info.has_audio) == (FRAMES, 512, 512, True)
    assert info.fps == pytest.approx(30)
    assert read_video(tmp_path / "dance.mp4").frames.reshape(FRAMES, -1).max(1).min() > 100  # a skeleton in every picture
    assert tokens(tmp_path / "dance.npz").shape == (FRAMES, 5, 1)
    assert "30 frames in" in (said := capsys.readouterr().out)
    assert "frames/s" in said


def test_before_rendering_the_preview_shows_the_same_dance(generate, folder: Path, tiny_models: Path, tmp_path: Path) -> None:
    flags = {"model": tiny_models, "image": folder / "portrait.png", "pose": folder / "pose.npy"}
    assert generate(**flags, save_pose=tmp_path / "previewed.npy") == 0
    assert generate(**flags, save_pose=tmp_path / "plain.npy", preview=None, out=tmp_path / "plain.mp4") == 0
    assert np.array_equal(np.load(tmp_path / "previewed.npy"), np.load(tmp_path / "plain.npy"))
    shown = probe(tmp_path / "dance.preview.mp4")
    assert (shown.frames, shown.height, shown.width) == (FRAMES, 512, 320)  # the portrait's proportions
    assert probe(tmp_path / "dance.mp4").height == 32


CHANGES = {
    "reroll": ({"reroll": "left_hand,right_hand"}, np.s_[:, :3]),
    "lock": ({"lock": "upper_body,head"}, np.s_[:, [0, 2]]),
    "keep": ({"keep": "0-4,20-24"}, np.s_[[*range(5), *range(20, 25)]]),
}


@pytest.fixture(scope="module")
def dance(folder: Path) -> Path:
    """A saved dance."""
    from xdancer.motion_gpt.sampling import SamplingConfig
    from xdancer.pipelines.dance_file import save_tokens
    from xdancer.pipelines.motion import Wishes
    from xdancer.pipelines.standing import standing_pose
    from xdancer.types import PoseBatch

    pipeline, music = MotionPipeline.from_pretrained(folder / "model"), {"librosa": np.zeros((FRAMES + 2, 35), np.float32)}
    wishes = Wishes(SamplingConfig(temperature=2.0))
    found = pipeline.dance(music, PoseBatch.from_array(standing_pose()[None]), frames=FRAMES, wishes=wishes)
    save_tokens(folder / "first.npz", found.tokens, pipeline.tokenizer)
    return folder / "first.npz"


@pytest.mark.parametrize("name", CHANGES)
def test_what_of_a_dance_is_to_stay_stays_to_the_bit(generate, dance: Path, tmp_path: Path, name: str) -> None:
    flags, stays = CHANGES[name]
    assert generate(edit=dance, seed=7, temperature=2.0, save_tokens=tmp_path / "second.npz", **flags) == 0
    first, second = tokens(dance), tokens(tmp_path / "second.npz")
    assert np.array_equal(first[stays], second[stays])
    free = np.ones(first.shape, bool)
    free[stays] = False
    assert (first[free] != second[free]).mean() > 0.3


def test_a_dance_begins_and_ends_as_given(generate, dance: Path, folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "beginning.npz", ids=tokens(dance)[:7], tokenizer=np.load(dance)["tokenizer"])
    assert generate(seed_motion=tmp_path / "beginning.npz", to=folder / "pose.npy", seed=7, save_tokens=tmp_path / "second.npz") == 0
    found = tokens(tmp_path / "second.npz")
    assert np.array_equal(found[:7], tokens(dance)[:7])
    assert generate(seed_motion=folder / "pose.npy", seed=7, save_tokens=tmp_path / "third.npz") == 0
    assert np.array_equal(found[-1], tokens(tmp_path / "third.npz")[0])  # the pose's tokens, as an end and as a beginning


def test_the_best_of_several_is_taken(generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores: list[float] = []

    def score(pose: np.ndarray, beats: np.ndarray) -> float:
        assert len(beats) > 4
        scores.append(float(pose[:, :, 0].mean()))
        return scores[-1]

    monkeypatch.setattr("xdancer.evaluation.candidates.dance_score", score)
    assert generate(candidates=4, temperature=2.0, save_pose=tmp_path / "best.npy") == 0
    assert len(set(scores)) == 4
    assert np.load(tmp_path / "best.npy")[:, :, 0].mean() == pytest.approx(max(scores), rel=1e-5)
    assert probe(tmp_path / "dance.mp4").frames == FRAMES


def test_parts_are_sampled_by_their_own_settings(generate, tmp_path: Path) -> None:
    greedy = "{upper_body: {temperature: 0}, lower_body: {top_k: 1}, head: {temperature: 0}, left_hand: {top_k: 1}, right_hand: {top_k: 1}}"
    for seed in (1, 2):
        assert generate(part_sampling=greedy, seed=seed, seconds=0.4, save_tokens=tmp_path / f"{seed}.npz") == 0
    assert np.array_equal(tokens(tmp_path / "1.npz"), tokens(tmp_path / "2.npz"))


REFUSED = {
    "no portrait": ({"preview": None}, "--image: is needed to render a video with --model"),
    "a pose of nobody": ({"preview": None, "model": None, "pose": "pose.npy"}, "--image: is needed to render a video with --model or --pose"),
    "no renderer": ({"preview": None, "image": "portrait.png"}, "without a renderer"),
    "nothing beside": ({"side_by_side": "both.mp4"}, "without a renderer"),
    "no such part": ({"edit": "pose.npy", "lock": "feet"}, "'feet'"),
    "no such frames": ({"edit": "pose.npy", "keep": "5-2"}, "5-2"),
    "no dance to keep": ({"keep": "0-3"}, "--edit FILE"),
    "no such dance": ({"edit": "none.npz", "lock": "head"}, "none.npz: no such file"),
    "no such style": ({"style": "polka"}, "the model knows no styles"),
    "no energy": ({"energy": 1.0}, "trained without them"),
    "no candidates": ({"candidates": 0}, "--candidates 0: from 1"),
    "no such setting": ({"part_sampling": "{head: {speed: 1}}"}, "temperature, top_k and top_p"),
    "no such part to sample": ({"part_sampling": "{feet: {top_k: 1}}"}, "'feet'"),
    "no window": ({"preview": None, "window": True}, "--window: no display"),
}


def test_what_cannot_be_is_said_in_one_line(
    generate, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matplotlib.pyplot.get_backend", lambda: "agg")
    for name, (flags, words) in REFUSED.items():
        paths = {key: folder / value if isinstance(value, str) and "." in value else value for key, value in flags.items()}
        assert (generate(**paths), name) == (2, name)
        error = capsys.readouterr().err.strip().splitlines()
        assert words in error[-1], (name, error)
        assert sum(line.startswith("xdancer generate:") for line in error) == 1
    assert not list(tmp_path.iterdir())


def test_without_a_model_the_shipped_one_dances(generate, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdancer.weights.shipped_model", lambda: folder / "model")
    assert generate(model=None) == 0
