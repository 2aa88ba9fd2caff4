"""`xdancer evaluate` on the command line: a folder's table is the library's, a model's dances are measured, bad input is one line."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.commands.evaluate import evaluate
from xdancer.evaluation.folder import read_motion_items, write_motion_item
from xdancer.integrity import file_sha256
from xdancer.media import write_video
from xdancer.metrics.tables import MotionItem, evaluate_motion


@pytest.fixture
def dances(tmp_path: Path) -> Path:
    """An evaluation folder with three random dances."""
    rng = np.random.default_rng(0)
    for number in range(3):
        pose = np.concatenate([np.cumsum(rng.normal(size=(90, 60, 2)), axis=0) * 0.01, np.ones((90, 60, 1))], axis=-1).astype(np.float32)
        beats = np.arange(0.1, 3, 0.4 + 0.1 * number)
        write_motion_item(tmp_path / "made", MotionItem(f"clip{number}", pose, pose[::-1].copy(), beats, 60 / (0.4 + 0.1 * number)))
    return tmp_path / "made"


def test_the_table_of_a_folder_is_that_of_the_library(dances: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert main(["evaluate", "--generated", str(dances), "--json", str(path), "--device", "cpu", "--detector", "none"]) == 0
    said = capsys.readouterr().out
    assert "device cpu, precision fp32, detector none" in said
    assert "gpt/beat_f1" in said
    found = json.loads(path.read_text())
    figures = found["held_out"]
    assert figures == evaluate_motion(read_motion_items(dances))
    assert figures["n/gpt"] == 3
    assert found["manifest"]["command"].startswith("xdancer")
    assert found["manifest"]["versions"]["xdancer"]
    (dances.parent / "demo").mkdir()
    dances.rename(dances.parent / "demo" / "evaluation")
    assert evaluate(generated=dances.parent / "demo", detector="none", device="cpu")["held_out"] == figures


@pytest.mark.slow
def test_an_evaluation_folder_has_a_page_with_null_rows(dances: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    found = evaluate(generated=dances, null="frozen,locked", html=page, detector="none", device="cpu")
    assert set(found["figures"]) == {"generated", "real", "frozen", "locked"}
    assert found["figures"]["frozen"]["speed"] == 0
    assert found["held_out"]["n/gpt"] == 3
    text = page.read_text()
    for part in ("Held-out figures", "gpt/beat_f1", "locked", "motion/clip0", "<svg", "data:video/mp4"):
        assert part in text, part


def test_folders_of_anybody_are_compared(vgg_trunk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for name in ("theirs", "true"):
        (tmp_path / name).mkdir()
        for number in range(3):
            frames = rng.integers(0, 255, (1, 32, 32, 3)) + np.arange(48)[:, None, None, None] % (7 + number)
            write_video(tmp_path / name / f"clip{number}.mp4", iter(frames.clip(0, 255).astype(np.uint8)), fps=30.0)
    flags = ["--generated", str(tmp_path / "theirs"), "--real", str(tmp_path / "true"), "--null", "copy,mean", "--detector", "none"]
    flags += ["--lpips-weights", str(vgg_trunk)]
    outputs = ["--json", str(tmp_path / "f.json"), "--html", str(tmp_path / "f.html"), "--cache", str(tmp_path / "cache")]
    assert main(["evaluate", *flags, *outputs, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "kernel_alex16@xdancer16" in said
    found = json.loads((tmp_path / "f.json").read_text())
    assert set(found["figures"]) == {"generated", "real", "copy", "mean"}
    assert found["figures"]["copy"]["ssim"] > found["figures"]["generated"]["ssim"]
    assert 0 < found["figures"]["generated"]["lpips_vgg"] != found["figures"]["generated"]["lpips"]
    assert found["manifest"]["instruments"]["lpips_vgg"] == file_sha256(vgg_trunk)[:12]
    assert found["manifest"]["protocol"]["frames"] == 16
    assert found["distances"]["generated"][0]["n_real"] == 9
    assert "xdancer16" in (tmp_path / "f.html").read_text()
    assert list((tmp_path / "cache").glob("*.safetensors"))


def test_a_model_is_measured_on_held_out_shards(tiny: ModuleType, tiny_models: Path, tmp_path: Path) -> None:
    clips = [tiny.make_clip(number, video=True) for number in range(2)]
    for clip, seconds in zip(clips, (0.5, 0.4), strict=True):
        clip.meta["tempo"] = 60 / seconds
        clip.meta["beats"] = [float(beat) for beat in np.arange(0.25, 80 / 30, seconds)]
    data = tiny.write_split(tmp_path / "test", clips)
    figures = evaluate(
        model=tiny_models, data=data, train=data, out=tmp_path / "out", video_frames=16, detector="none", device="cpu", json=tmp_path / "f.json"
    )["held_out"]
    assert figures["n/gpt"] == figures["n/gpt_swapped"] == figures["n/video"] == 2
    assert figures["n/video_frames"] == 32
    assert figures["video/person_psnr"] is not None
    assert figures["video/person_psnr_mean"] is not None
    assert figures["video/pck"] is None
    assert evaluate(generated=tmp_path / "out", detector="none", device="cpu")["held_out"] == figures
    with pytest.raises(Exception, match="holds dances already"):
        evaluate(model=tiny_models, data=data, out=tmp_path / "out", detector="none")


def test_a_motion_model_is_measured_as_its_folder_recommends(
    tiny: ModuleType, tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "motion"
    shutil.copytree(tiny_models, model)
    shutil.rmtree(model / "video_diffusion")
    index = json.loads((model / "model_index.json").read_text())
    del index["stages"]["video_diffusion"]
    (model / "model_index.json").write_text(json.dumps(index | {"sampling": {"temperature": 1.4, "top_p": 0.9}}))
    data = tiny.write_split(tmp_path / "test", [tiny.make_clip(number) for number in range(2)])
    found = evaluate(model=model, data=data, out=tmp_path / "out", top_p=0.95, seeds=2, detector="none", device="cpu")
    figures = found["held_out"]
    assert len(found["seeds"]) == 2
    assert figures["n/div_within_song"] == 0  # these clips show no body
    assert figures["gpt/speed_ratio"] == pytest.approx(np.mean([one["gpt/speed_ratio"] for one in found["seeds"]]))
    assert "drawn at temperature 1.4, top-p 0.95, smoothing 1" in capsys.readouterr().out
    assert figures["n/gpt"] == 2
    assert not any(name.startswith("video/") for name in figures)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Give --generated DIR"),
        (["--generated", "a", "--model", "b"], "Give either --generated DIR"),
        (["--generated", "nowhere"], "nowhere: no such folder"),
        (["--generated", "nowhere", "--null", "frozen"], "--null makes its rows from real dances"),
        (["--real", "nowhere", "--null", "froze"], "--null 'froze': no such null row"),
        (["--generated", "nowhere", "--protocol", "fvd"], "fvd: unknown protocol"),
        (["--generated", "nowhere", "--protocol", "disco16"], "i3d needs weights"),
        (["--generated", "a", "--seeds", "2"], "--seeds belongs to --model"),
        (["--generated", "a", "--precision", "bf16"], "--precision belongs to --model"),
        (["--generated", "a", "--data", "b"], "--data belongs to --model"),
        (["--generated", "a", "--top-p", "0.9"], "--top-p belongs to --model"),
        (["--generated", "a", "--train", "b"], "--train belongs to --model"),
        (["--generated", "a", "--video-frames", "8"], "--video-frames belongs to --model"),
        (["--generated", "a", "--seed", "-1"], "--seed -1, --seeds 1: seeds are whole numbers from 0 on"),
        (["--real", "nowhere", "--null", "white, froze"], "--null 'froze': no such null row"),
        (["--model", "nowhere"], "--model needs --data SHARDS"),
        (["--model", "nowhere", "--data", "x", "--out", "y"], "nowhere"),
        (["--generated", "a", "--json", "no/such/folder.json"], "folder no/such does not exist"),
    ],
)
def test_bad_input_is_one_line(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--detector", "none", "--device", "cpu", *flags]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1


def test_flags_of_the_comparison_are_not_ignored_for_an_evaluation_folder(dances: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["evaluate", "--generated", str(dances), "--detector", "none", "--device", "cpu"]
    for further, message in ((["--protocol", "fvd"], "fvd: unknown protocol"), (["--beats", "nowhere"], "--beats nowhere: no such folder")):
        assert main([*flags, *further]) == 2
        assert message in capsys.readouterr().err


def test_damaged_dances_are_one_line(dances: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(dances / "motion" / "clip1.generated.npy", np.full((90, 60, 3), np.nan))
    assert main(["evaluate", "--generated", str(dances), "--detector", "none", "--device", "cpu"]) == 2
    assert "clip1.generated.npy: 16200 values are not finite" in capsys.readouterr().err
