"""`xdancer doctor`: what is fine, missing or broken, for people and for scripts."""

import importlib.metadata
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from xdancer.__main__ import listed, main
from xdancer.doctor import examination, machine, packages, parts
from xdancer.doctor.examination import as_json, healthy, show
from xdancer.doctor.finding import Finding
from xdancer.doctor.machine import check_devices, check_disks, check_machine, check_slurm
from xdancer.doctor.packages import check_extras, check_packages
from xdancer.doctor.parts import check_media, check_weights
from xdancer.doctor.shards import check_shards


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


REQUIRED = [
    "numpy>=2.0,<3",
    "nosuchpackage>=1",
    "pytest<1",
    "pytest<1; extra == 'lora'",
    "pytest>=1; extra == 'fsq'",
    "pytest; python_version < '3' and extra == 'pose'",
]


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.metadata, "requires", lambda _: REQUIRED)
    described = importlib.metadata.metadata("xdancer")
    for name in ("lora", "fsq", "pose", "test"):
        described["Provides-Extra"] = name
    monkeypatch.setattr(packages.metadata, "metadata", lambda _: described)


@pytest.mark.usefixtures("required")
def test_packages_against_their_bounds() -> None:
    found = by_name(check_packages())
    assert found["python"].state == found["numpy"].state == "ok"
    assert (found["nosuchpackage"].state, found["nosuchpackage"].value) == ("broken", "not installed")
    assert found["nosuchpackage"].advice == "pip install 'nosuchpackage>=1'"
    assert (found["pytest"].state, found["pytest"].advice) == ("broken", "pip install 'pytest<1'")


@pytest.mark.usefixtures("required")
def test_optional_parts_give_the_install_line_and_do_not_count() -> None:
    found = by_name(check_extras())
    assert found["fsq"].state == "ok"
    assert (found["lora"].state, found["lora"].advice) == ("missing", "pip install 'xdancer[lora]'")
    assert found["pose"].state == "note"
    assert "test" not in found
    assert healthy(list(found.values()))


def test_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: str) -> None:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(packages.metadata, "requires", lost)
    monkeypatch.setattr(packages.metadata, "metadata", lost)
    assert by_name(check_packages())["xdancer"].state == "broken"
    assert not list(check_extras())


def test_devices_codecs_and_weights_of_this_installation() -> None:
    assert {"NCCL", "gloo"} <= set(by_name(check_devices()))
    assert healthy(list(check_media()))
    found = by_name(check_weights())
    assert len(found) == 4
    assert {finding.state for finding in found.values()} == {"ok"}
    assert "ISC" in found["MTT_musicnn.safetensors"].value


def test_a_missing_encoder_is_broken_and_a_missing_decoder_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "CODECS", {"nosuchdecoder": "r"})
    assert by_name(check_media())["codecs"].state == "note"
    monkeypatch.setattr(parts, "NEEDED", {"nosuchdecoder"})
    found = by_name(check_media())["codecs"]
    assert (found.state, found.value) == ("broken", "without nosuchdecoder")


def test_changed_weights_and_lost_licences_are_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xdancer.weights

    shutil.copytree(Path(xdancer.weights.__file__).parent, tmp_path / "weights")
    monkeypatch.setattr(xdancer.weights, "__file__", str(tmp_path / "weights/__init__.py"))
    with (tmp_path / "weights/MTT_musicnn.safetensors").open("r+b") as file:
        file.seek(100_000)
        file.write(b"damage")
    (tmp_path / "weights/licenses/lpips.txt").unlink()
    (tmp_path / "weights/model/vqvae/config.json").write_text("{}")
    found = by_name(check_weights())
    assert found["MTT_musicnn.safetensors"].value.startswith("changed: sha256")
    assert "lpips.txt" in found["lpips_alex_v0.1_fp16.safetensors"].value
    assert "vqvae/config.json was changed" in found["model (three stages)"].value
    assert [found[name].state for name in found].count("broken") == 3


def test_shards_quick_and_deep(tiny, tmp_path: Path) -> None:
    folder = tiny.write_split(tmp_path / "data/train", [tiny.make_clip(0, 20), tiny.make_clip(1, 20)])
    for deep in (False, True):
        (found,) = check_shards([str(tmp_path / "data")], deep=deep)
        assert (found.state, found.name) == ("ok", str(folder))
    tiny.corrupt(folder, "clip-001", "pose.npy")
    assert next(check_shards([str(folder)], deep=False)).state == "ok"  # sizes are as they were
    deep = next(check_shards([str(folder)], deep=True))
    assert (deep.state, deep.advice) == ("broken", f"xdancer shards verify {folder}")
    tar = folder / "shard-000000.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    assert "has 5,000 bytes, the index says" in next(check_shards([str(folder)], deep=False)).value
    tar.unlink()
    assert "missing of 1 tars" in next(check_shards([str(folder)], deep=False)).value


def test_places_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny) -> None:
    monkeypatch.chdir(tmp_path)
    (none,) = check_shards([], deep=False)
    assert (none.state, none.value) == ("note", "none yet")
    (named,) = check_shards(["nowhere"], deep=False)
    assert named.state == "broken"
    tiny.write_split(tmp_path / "data/train", [tiny.make_clip(0, 20)])
    assert [finding.name for finding in check_shards([], deep=False)] == ["data/train"]
    monkeypatch.setenv("XDANCER_CACHE", str(tmp_path / "cache"))
    (piped,) = check_shards([f"pipe:cat {tmp_path}/data/train/{{}}"], deep=False)
    assert (piped.state, piped.value.split(",")[0]) == ("ok", "1 clips")


def test_disks_and_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(by_name(check_disks())) == {"runs", "data", "cache"}
    monkeypatch.setattr(machine, "NO_DISK", float("inf"))
    assert {finding.state for finding in check_disks()} == {"broken"}
    assert "cores usable" in by_name(check_machine())["processor"].value


def test_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert next(check_slurm()).state == "note"
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    done = {"returncode": 0, "stdout": "slurm 23.11.4\n", "stderr": ""}
    monkeypatch.setattr(machine.subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, **done))
    assert next(check_slurm()) == Finding("cluster", "SLURM", "ok", "slurm 23.11.4, /usr/bin/sbatch")
    done |= {"returncode": 1, "stderr": "sinfo: fatal: no config\nmore"}
    assert "sinfo says: sinfo: fatal: no config" in next(check_slurm()).value


FINDINGS = [
    Finding("versions", "python", "ok", "3.11"),
    Finding("versions", "numpy", "ok", "2.1"),
    Finding("versions", "torch", "broken", "1.0", "pip install 'torch>=2.6,<3'"),
    Finding("disk", "runs", "note", "a/very/long/path/" * 6 + ": 1.0 GB free", "Little."),
    Finding("extras", "pose", "missing", "[none]", "pip install 'xdancer[pose]'"),
]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_stays_readable_on_a_narrow_terminal(width: int) -> None:
    written = io.StringIO()
    show(FINDINGS, Console(file=written, width=width))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    text = "".join(line.strip() for line in lines).replace(" ", "")
    for words in ("BROKEN", "torch", "numpy 2.1", "pip install", "xdancer[pose]", "[none]", "1 broken. 1 optional parts missing, 1 notes."):
        assert words.replace(" ", "") in text


def test_json_and_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def examine(places, *, deep: bool):
        seen.append((list(places), deep))
        return iter(FINDINGS[: 2 + 3 * deep])

    monkeypatch.setattr(examination, "examine", examine)
    assert main(["doctor", "data", "s3://bucket/train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True
    assert main(["doctor", "--deep", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][2]["advice"] == "pip install 'torch>=2.6,<3'"
    assert main(["doctor", "--deep"]) == 1
    assert seen == [(["data", "s3://bucket/train"], False), ([], True), ([], True)]
    assert as_json(FINDINGS[:1]).startswith("{")
    assert listed(["--deep"], "--dirs") == ["--deep"]
