"""The newcomer's command in its shortest form: all stages trained for a few steps, interrupted once, continued, reported."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xdancer.media import probe, read_video

ROOT = Path(__file__).resolve().parents[2]


def start(out: Path, *length: str) -> "subprocess.Popen[bytes]":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what runs in the background deaf to it, and so would this be
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "xdancer", "demo", "--out", str(out), *length, "--device", "cpu"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_from_nothing_interrupted_and_continued(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    first = start(out, "--minutes", "1")
    while not (out / "runs/vqvae/last.ckpt").is_file():
        assert first.poll() is None, first.stdout and first.stdout.read().decode()
        time.sleep(0.5)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)  # closes its output
    assert first.returncode == 130
    state = json.loads((out / "state.json").read_text())
    assert "data" in state["finished"]
    second = start(out, "--minutes", "1")
    output = second.communicate()[0].decode()
    assert second.returncode == 0, output
    assert "already done: data set" in output
    figures = json.loads((out / "report.json").read_text())
    assert figures["n/gpt"] > 0
    assert figures["video/person_psnr_copy"] > 0
    assert figures["seconds/vqvae"] > 0
    assert figures["memory/peak_gb"] < 6
    assert "data:video/mp4" in (out / "report.html").read_text()
    assert probe(out / "dance.mp4").has_audio
    frames = read_video(out / "dance.mp4", count=8).frames
    assert np.ptp(frames) > 50
    assert (out / "model/model_index.json").is_file()
    assert list((out / "evaluation/motion").glob("*.generated.npy"))
    assert list((out / "evaluation/video").glob("*.generated.mp4"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_of_the_shipped_model_reports_without_training(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    ended = start(out, "--shipped")
    output = ended.communicate()[0].decode()
    assert ended.returncode == 0, output
    figures = json.loads((out / "report.json").read_text())
    assert figures["gpt/beat_f1"] > figures["gpt/beat_f1_null"] + 0.25
    assert figures["video/person_psnr"] > figures["video/person_psnr_copy"] + 1.5
    assert "The model in the package" in (out / "report.html").read_text()
    assert probe(out / "dance.mp4").has_audio
    assert not (out / "runs").exists()
