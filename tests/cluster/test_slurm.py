"""Training on a real SLURM of two nodes: jobs survive preemption and the time limit to the bit, chains hand checkpoints on."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PATH = Path(__file__).with_name("requeues.py")
spec = importlib.util.spec_from_file_location("requeues", PATH)
assert spec is not None
assert spec.loader is not None
requeues = importlib.util.module_from_spec(spec)
sys.modules["requeues"] = requeues
spec.loader.exec_module(requeues)
two_nodes = requeues.two_nodes

STEPS = 14
STAGES = ("vqvae", "gpt", "video_image", "video_temporal")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(two_nodes.missing() is not None, reason=str(two_nodes.missing())), pytest.mark.timeout(2400)
]  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[requeues.Cluster]:
    with two_nodes.cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield requeues.prepare(environment, tmp_path_factory.mktemp("work"), steps=STEPS)


def test_a_job_that_is_preempted_and_timed_out_ends_as_if_nothing_had_been(slurm: requeues.Cluster) -> None:
    assert requeues.train(slurm, "whole", [])["Restarts"] == "0"
    assert [(start["world_size"], start["end_step"]) for start in slurm.starts("whole/run")] == [(2, STEPS)]
    logs = sorted(path.name.partition("-")[2] for path in (slurm.folder / "whole/run/logs").iterdir())
    assert logs == ["", "rank0.log", "rank1.log"]
    assert requeues.train(slurm, "disturbed", ["requeue", "limit"])["Restarts"] == "2"
    first, second, third = slurm.starts("disturbed/run")
    assert [start["stopped_by"] for start in (first, second)] == ["signal", "signal"]
    assert 0 < first["end_step"] == second["start_step"] < second["end_step"] == third["start_step"] < third["end_step"] == STEPS
    assert slurm.differences("whole/run", "disturbed/run") == []


def test_a_chain_hands_its_checkpoints_on_and_a_failing_stage_stops_its_dependents(slurm: requeues.Cluster) -> None:
    """Two chains side by side, a node each; the second fails at its second stage."""
    few = {"trainer.max_steps": 2, "trainer.limit_val_batches": 0, "trainer.num_sanity_val_steps": 0, "data.init_args.batch_size": 2}
    options = tuple(word for key, value in few.items() for word in (f"--{key}", str(value)))
    jobs = slurm.submit("configs/demo/vqvae.yaml", "--chain", "--runs", "chain", options=options)
    slurm.wait(jobs[0], "COMPLETED")
    wrong = ("--model.init_args.tokenizer", "chain/vqvae/last.ckpt", "--no_such", "1")
    failing = slurm.submit("configs/demo/gpt.yaml", "--chain", "--runs", "failing", options=(*options, *wrong))
    slurm.wait(failing[0], "FAILED")
    for job in failing[1:]:
        assert slurm.wait(job, "CANCELLED")["Reason"] in ("DependencyNeverSatisfied", "Dependency", "None")
    assert not any((slurm.folder / "failing" / stage / "run.json").exists() for stage in STAGES)
    for job, stage in zip(jobs, STAGES, strict=True):
        slurm.wait(job, "COMPLETED")
        assert slurm.starts(f"chain/{stage}")[-1]["end_step"] == 2
    tokenizers = {slurm.starts(f"chain/{stage}")[0]["upstream"]["tokenizer_fingerprint"] for stage in STAGES[1:]}
    assert len(tokenizers) == 1


@pytest.mark.study
def test_a_time_limit_of_a_minute_is_survived(slurm: requeues.Cluster) -> None:
    """SLURM counts limits in minutes and looks at them every few seconds: 100 s of steps, a minute a start, of which part is starting."""
    options = ("--trainer.max_steps", "200")
    (whole,) = slurm.submit("tokenizer.yaml", "--nodes", "2", "--runs", "long", options=options)
    slurm.wait(whole, "COMPLETED")
    (job,) = slurm.submit("tokenizer.yaml", "--nodes", "2", "--runs", "limited", "--time", "1", "--warning", "20", options=options)
    assert int(slurm.wait(job, "COMPLETED", seconds=900)["Restarts"]) >= 1
    assert slurm.differences("long/run", "limited/run") == []
