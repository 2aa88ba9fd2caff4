"""`xdancer submit`: what it hands to sbatch, and what it refuses before anything waits in a queue. tests/cluster has the real SLURM."""

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from xdancer.__main__ import main
from xdancer.application import root
from xdancer.cluster.jobs import CHAIN, upstream_runs
from xdancer.cluster.upstream import require_ended
from xdancer.errors import XDancerError

CONFIGS = root() / "configs"


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to submit from, with an sbatch on the PATH that keeps scripts and arguments and counts jobs from 1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/sbatch"
    program.write_text(
        f"#!/usr/bin/env bash\nn=$(($(ls {tmp_path}/bin/*.script 2>/dev/null | wc -l) + 1))\n"
        f'cat > {tmp_path}/bin/$n.script\necho "$@" > {tmp_path}/bin/$n.flags\necho "$n;cluster"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path / "bin"


def script(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What --dry-run prints; every script in it is one that bash can read."""
    assert main(["submit", "--dry-run", *arguments]) == 0
    printed = capsys.readouterr().out
    for text in printed.split("<<'END'\n")[1:]:
        done = subprocess.run(["bash", "-n"], input=text.partition("\nEND\n")[0], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    return printed


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["submit", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def ended(run: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps({"starts": [{"ended": "2026-11-28"}]}))
    (run / "last.ckpt").touch()


def test_resources_are_those_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    resources = ["--nodes", "2", "--gpus", "4", "--time", "12:00:00", "--partition", "a100", "--memory", "200G", "--warning", "300"]
    lines = script(capsys, "configs/gpt.yaml", *resources, "--stage-after", "71").splitlines()
    wanted = {
        "nodes=2", "ntasks-per-node=4", "gpus-per-node=4", "time=12:00:00", "partition=a100", "mem=200G", "signal=B:USR1@300", "requeue",
        "open-mode=append", "job-name=gpt",
    }  # fmt: skip
    assert {f"#SBATCH --{option}" for option in wanted} <= set(lines)
    assert "sbatch --parsable --dependency=afterok:71 --kill-on-invalid-dep=yes" in lines[0]


def test_an_overlay_and_options_stand_over_the_place_of_training(capsys: pytest.CaptureFixture[str]) -> None:
    """So that an overlay may choose another strategy than slurm.yaml."""
    printed = script(capsys, "configs/vqvae.yaml", "--config", "configs/trainer/gpu24.yaml", "--", "--trainer.max_steps", "7", "--a", "b c")
    (line,) = [line for line in printed.splitlines() if line.startswith("arguments=(--config /")]
    names = [CONFIGS / "vqvae.yaml", CONFIGS / "trainer/slurm.yaml", CONFIGS / "trainer/gpu24.yaml"]
    assert line == f"arguments=({' '.join(f'--config {name}' for name in names)} --trainer.max_steps 7 --a 'b c')"


def test_without_gpus_tasks_are_processes_of_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    printed = script(capsys, "configs/vqvae.yaml", "--gpus", "0", "--tasks", "4", "--nodes", "2")
    assert "gpus-per-node" not in printed
    assert "#SBATCH --ntasks-per-node=4\n" in printed
    assert "trainer/slurm.yaml --trainer.accelerator cpu" in printed  # the overlay turns Lightning's own requeue off there, too


def test_a_chain_hands_checkpoints_on_and_ends_where_a_stage_fails(sbatch: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["submit", "configs/vqvae.yaml", "--chain", "--runs", "here"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        [str(number), f"{stage}:"] for number, stage in enumerate(CHAIN, start=1)
    ]
    flags = [(sbatch / f"{number}.flags").read_text().split() for number in (1, 2, 3, 4)]
    assert flags[0] == ["--parsable"]
    assert [words[1:] for words in flags[1:]] == [[f"--dependency=afterok:{number}", "--kill-on-invalid-dep=yes"] for number in (1, 2, 3)]
    last, here = (sbatch / "4.script").read_text(), tmp_path / "here"
    assert f"--model.init_args.tokenizer {here}/vqvae/last.ckpt --model.init_args.initial {here}/video_image/last.ckpt" in last
    assert f"upstream=({here}/video_image {here}/vqvae)\n" in last
    assert (here / "video_temporal/logs").is_dir()  # sbatch writes there and makes no folder


def test_an_array_has_a_folder_a_seed_and_a_config_for_each_task(sbatch: Path, tmp_path: Path) -> None:
    ended(tmp_path / "runs/vqvae")
    ablations = [str(CONFIGS / f"ablations/gpt_{name}.yaml") for name in ("small", "large")]
    assert main(["submit", "configs/gpt.yaml", "--seeds", "2", "--ablations", json.dumps(ablations)]) == 0
    text = (sbatch / "1.script").read_text()
    assert "#SBATCH --array=0-3\n" in text
    lines = [line.strip() for line in text.splitlines() if line.strip()[:2] in ("0)", "1)", "2)", "3)")]
    for number, (name, seed) in enumerate([("small", 0), ("small", 1), ("large", 0), ("large", 1)]):
        run = tmp_path / f"runs/gpt_{name}/seed{seed}"
        assert lines[number].startswith(f"{number}) run={run}; upstream=({tmp_path}/runs/vqvae); ")
        flags = f"ablations/gpt_{name}.yaml --seed_everything {seed} --data.init_args.seed {seed} --run_dir {run})"
        assert flags in lines[number]
        assert (run / "logs").is_dir()
    (output,) = [line.partition("=")[2] for line in text.splitlines() if line.startswith("#SBATCH --output")]
    assert Path(output).parent.is_dir()


def test_a_stage_waits_for_the_record_of_the_run_it_starts_from(sbatch: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """At once where nothing is said to be on its way, at the start of the job with --stage-after."""
    assert "runs/vqvae: no run record" in refused(capsys, "configs/gpt.yaml")
    assert not list(sbatch.glob("*.script"))
    assert main(["submit", "configs/gpt.yaml", "--stage-after", "5"]) == 0
    assert f"upstream=({tmp_path}/runs/vqvae)\n" in (sbatch / "1.script").read_text()
    ended(tmp_path / "runs/vqvae")
    assert main(["submit", "configs/gpt.yaml"]) == 0


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ('{"starts": [{"ended": "x"}, {"stopped_by": "SIGTERM"}]}', "has not ended (SIGTERM)"),
        ('{"starts": [{"ended": "x"}, {}]}', "has not ended (it was killed, or trains still)"),
        ('{"starts": []}', "no run record to read (IndexError)"),
        ("{", "no run record to read"),
        ('{"starts": [{"ended": "x"}]}', "its last.ckpt is gone"),
    ],
)
def test_a_record_says_why_a_run_is_no_upstream(tmp_path: Path, record: str, words: str) -> None:
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(XDancerError) as error:
        require_ended(tmp_path)
    assert words in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_only_a_last_ckpt_is_a_run(tmp_path: Path) -> None:
    layers = [{"model": {"init_args": {"tokenizer": "runs/a/last.ckpt", "initial": "runs/a/checkpoints/step=00000002.ckpt"}}}, {"data": {}}]
    assert upstream_runs(layers, []) == (Path("runs/a").absolute(),)
    assert upstream_runs(layers, ["--model.init_args.tokenizer=runs/b/last.ckpt"]) == (Path("runs/b").absolute(),)
    assert upstream_runs(layers, ["--model.init_args.tokenizer", "weights/v.ckpt", "--model.init_args.initial", "c/last.ckpt"]) == (
        Path("c").absolute(),
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["configs/none.yaml"], "configs/none.yaml"),
        (["configs/vqvae.yaml", "--nodes", "0"], "--nodes 0: at least 1"),
        (["configs/vqvae.yaml", "--partition", "a b"], "'a b'"),
        (["configs/vqvae.yaml", "--chain", "--seeds", "2"], "--chain with --seeds"),
        (["configs/gpt_sync.yaml", "--chain"], "--chain begins with"),
        (["configs/vqvae.yaml", "--", "--run_dir", "x"], "--runs"),
        (["configs/vqvae.yaml", "--", "--ckpt_path=a.ckpt"], "--ckpt_path behind --"),
        (["configs/vqvae.yaml", "--", "--trainer.devices", "2"], "Say --gpus"),
        (["configs/vqvae.yaml", "--tasks", "3"], "--tasks 3 --gpus 8: each GPU has a task of its own"),
        (["configs/vqvae.yaml", "--stage-after", "vqvae"], "--stage-after 'vqvae': the number of a job"),
        (["configs/vqvae.yaml", "--stage-after", ""], "--stage-after '': the number of a job"),
        (["configs/vqvae.yaml", "--time", "tomorrow"], "--time 'tomorrow': minutes"),
        (["configs/vqvae.yaml", "--nodes", "3", "--gpus", "2"], "global_batch 2048 cannot be shared by 6 processes. Use 4 of them"),
        (["configs/vqvae.yaml", "--chain", "--nodes", "4"], "gpt.yaml: global_batch 24 cannot be shared by 32 processes"),
        (["configs/vqvae.yaml", "--gpus", "4", "--", "--global_batch", "6"], "global_batch 6 cannot be shared by 4 processes"),
    ],
)
def test_mistakes_are_one_line(sbatch: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert words in refused(capsys, *arguments)
    assert not list(sbatch.glob("*.script"))


@pytest.mark.parametrize(("flag", "value"), [("time", "90"), ("time", "2-12:30"), ("time", "UNLIMITED"), ("stage-after", "71_3:72")])
def test_times_and_jobs_as_sbatch_takes_them(capsys: pytest.CaptureFixture[str], flag: str, value: str) -> None:
    assert f"{'afterok:' if flag == 'stage-after' else '--time='}{value}" in script(capsys, "configs/vqvae.yaml", f"--{flag}", value)


def test_a_batch_that_options_or_overlays_change_is_what_processes_share(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("global_batch: 48\n")
    overlay = str(tmp_path / "other.yaml")
    assert script(capsys, "configs/gpt.yaml", "--nodes", "2", "--config", overlay)
    assert script(capsys, "configs/gpt.yaml", "--nodes", "2", "--", "--global_batch", "null")
    assert "global_batch 48" in refused(capsys, "configs/gpt.yaml", "--nodes", "4", "--ablations", json.dumps([overlay]), "--dry-run")


def test_two_trainings_in_one_folder_are_refused(sbatch: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"trainer": {"max_steps": 1}}))
    assert "same run_dir" in refused(capsys, "configs/vqvae.yaml", "--ablations", '["one.yaml","two.yaml"]')


def test_no_sbatch_names_the_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("sbatch") is None
    assert "--dry-run" in refused(capsys, "configs/vqvae.yaml")


def test_what_sbatch_says_is_passed_on(sbatch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sbatch / "sbatch").write_text("#!/usr/bin/env bash\necho 'sbatch: error: Invalid partition' >&2\nexit 1\n")
    assert "sbatch refused the job: sbatch: error: Invalid partition" in refused(capsys, "configs/vqvae.yaml")
