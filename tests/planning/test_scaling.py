"""The calculated table of docs/scaling.md: formulas against numbers worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from xdancer.__main__ import main
from xdancer.data.shards import ShardWriter
from xdancer.errors import XDancerError
from xdancer.planning.assumptions import Clips, Cluster
from xdancer.planning.frozen import encoder_flops, frozen_flops, image_encoder_flops
from xdancer.planning.scaling import Work, pace, ring_bytes, sharded, sharing
from xdancer.planning.step import Run
from xdancer.planning.storage import ADDED, PREPARED, latent_row, sample_bytes, storage
from xdancer.planning.table import scale_rows
from xdancer.types import ClipSample
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.vqvae.model import VQVAEConfig

H100 = Cluster()


def test_a_ring_sends_every_part_twice_but_for_one_stop() -> None:
    assert [ring_bytes(800.0, gpus) for gpus in (1, 2, 8)] == [0, 800, 1400]


def test_a_step_computes_and_reduces() -> None:
    """2 rounds of 98.9 TFLOP at 40 % of 989: 500 ms. 9 GB of gradients: 15.75 GB go at 450 GB/s in a node of 8, 17.72 at 50 over 64."""
    work = Work(flops=98.9e12, rounds=2, gradients=9e9)
    assert pace(work, 1, H100).step == pace(work, 1, H100).computing == pytest.approx(0.5)
    node = pace(work, 8, H100)
    assert (node.sent, node.reducing, node.step) == pytest.approx((15.75e9, 0.035, 0.535))
    nodes = pace(work, 64, H100)
    assert (nodes.sent, nodes.reducing, nodes.step) == pytest.approx((17.71875e9, 0.354375, 0.854375))
    assert pace(work, 64, Cluster(overlap=2 / 3)).step == pytest.approx(0.854375 - 1 / 3)
    assert pace(work, 8, Cluster(overlap=2 / 3)).step == pytest.approx(0.5)  # hidden


def test_a_small_step_takes_its_launches() -> None:
    assert pace(Work(flops=1e9, rounds=1, gradients=0.0), 8, H100).step == pytest.approx(0.01)


def test_the_batch_decides_how_many_gpus_share_it() -> None:
    assert [sharing(24, gpus) for gpus in (1, 7, 8, 64)] == [1, 6, 8, 24]
    assert [sharing(16, gpus) for gpus in (8, 64)] == [8, 16]
    assert sharing(2048, 64) == 64


def test_full_shards_divide_the_states_alone() -> None:
    assert sharded(weights=8.0, gradients=8.0, optimizer=16.0, activations=5.0, context=1.0, gpus=8) == 4 + 6


@pytest.mark.parametrize("wrong", [{"utilisation": 0.0}, {"overlap": 1.5}, {"least_ms": -1.0}])
def test_speeds_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(XDancerError, match=next(iter(wrong))):
        Cluster(**wrong)


def test_storage_of_a_hundred_thousand_clips() -> None:
    """300 frames: poses 300 · 720 + 128 bytes are 423 blocks, jukebox 300 · 9600 + 128 are 5626, each behind a header of one block."""
    sizes = storage(Clips())
    assert sizes["pose"] == 100_000 * (423 + 1) * 512
    assert sizes["jukebox"] == 100_000 * (5626 + 1) * 512
    assert sizes["librosa"] == 100_000 * (83 + 1) * 512  # 300 · 140 + 128
    assert sizes["meta"] == 100_000 * (2 + 1) * 512
    assert sizes["video"] == 100_000 * (3931 + 1) * 512  # 1.61 Mbit/s · 10 s are 2 012 500 bytes
    assert latent_row(896, 512) == 2 * 4 * 112 * 64 * 2 == 114_688
    assert sizes["latents"] == 100_000 * (67_201 + 1) * 512


def test_storage_is_what_a_real_tar_takes(tmp_path: Path) -> None:
    random, frames = np.random.default_rng(0), 60
    features = {"librosa": 35, "musicnn": 753, "jukebox": 4800}
    table = {name: {"width": width, "version": "random"} for name, width in features.items()}
    with ShardWriter(tmp_path / "train", split="train", features=table, licence="none") as writer:
        for number in range(3):
            pose = random.uniform(0, 1, (frames, 60, 3)).astype(np.float32)
            music = {name: random.normal(size=(frames, width)).astype(np.float32) for name, width in features.items()}
            meta = {"source": "random", "song": f"{number}", "width": 512, "height": 896, "beats": [0.5], "tempo": 120.0}
            writer.write(ClipSample(f"clip-{number}", pose, music, meta, video=bytes(100_000)))
    sizes = storage(Clips(number=3, seconds=2.0, video_mbits=0.4))
    expected = sum(sizes[name] for name in ("pose", *features, "video", "meta"))
    ends = 10_240  # a tar ends with two empty blocks and fills its last record
    assert 0 <= next((tmp_path / "train").glob("*.tar")).stat().st_size - expected <= ends


def test_every_kind_of_member_is_counted_once() -> None:
    assert {*PREPARED, *ADDED} < set(storage(Clips()))


def test_what_a_sample_reads() -> None:
    def read(**arguments: object) -> int:
        return sample_bytes({"init_args": arguments}, Clips())

    assert read(stage="vqvae") == 720
    dances = {"stage": "gpt", "history_frames": 76, "segment_frames": 64, "lookahead_frames": 0, "features": ["jukebox", "librosa"]}
    assert read(**dances) == 140 * (720 + 9600 + 140)
    assert read(**{**dances, "tokens": ".tokens", "lookahead_frames": 8}) == 140 * 60 + 148 * 9740
    assert read(pose_window=16, frames=1) == 17 * 720 + 2 * (2_012_500 + 925_000)
    assert read(pose_window=16, frames=16, latents=".latents") == 17 * (720 + 114_688) + 1536


def test_frozen_networks_are_counted() -> None:
    """The public figure of the autoencoder's encoder at 512 × 512 is 1.1 TFLOP; CLIP ViT-L/14 takes .16 a picture."""
    assert encoder_flops(512, 512) == pytest.approx(1.1e12, rel=0.03)
    assert image_encoder_flops() == pytest.approx(0.16e12, rel=0.03)
    config = VideoDiffusionConfig(height=64, width=64, autoencoder="vae", image_encoder="clip")
    assert frozen_flops(Run(config, batch=2, frames=3)) == 8 * encoder_flops(64, 64) + 2 * image_encoder_flops()
    assert frozen_flops(Run(VQVAEConfig(), batch=2)) == 0


SMALL = {"slots": 1, "codes": 16, "encoder_width": 8, "encoder_depth": 1, "decoder_width": 16, "decoder_depth": 1}
CONFIG = {
    "model": {"class_path": "xdancer.vqvae.module.VQVAEModule", "init_args": {"config": SMALL}},
    "data": {"init_args": {"stage": "vqvae", "batch_size": 4}}, "trainer": {"max_steps": 100}, "global_batch": 24,
}  # fmt: skip


def test_the_batch_of_a_step_stays_whatever_the_number_of_gpus() -> None:
    one, eight, many = scale_rows(CONFIG, 1, [1, 8, 64], H100, Clips())
    assert [(row.used, row.batch, row.rounds) for row in (one, eight, many)] == [(1, 4, 6), (8, 3, 1), (24, 1, 1)]
    assert one.read == eight.read == 24 * 720
    assert (one.sent, one.sent_in_all) == (0, 0)
    assert eight.sent_in_all == 8 * 100 * eight.sent
    assert one.run == pytest.approx(1.0)  # 100 steps of at least 10 ms
    of_processes = scale_rows({**CONFIG, "global_batch": None}, 8, [1], H100, Clips())
    assert (of_processes[0].batch, of_processes[0].rounds) == (4, 8)
    with pytest.raises(XDancerError, match="max_steps -1"):
        scale_rows({**CONFIG, "trainer": {}}, 1, [1], H100, Clips())


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdancer.commands.plan.merged", lambda _: CONFIG)
    command = ["plan", "--config", "a.yaml", "--scale", "1,8"]
    assert main([*command, "--json", "--clips.number", "10"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["gpus"] for row in said["scale"]] == [1, 8]
    assert said["storage"]["pose"] == 10 * 424 * 512
    assert main([*command, "--cluster.least-ms", "20"]) == 0
    table = capsys.readouterr().out
    assert "at least 20 ms a step" in table
    assert "without jukebox" in table
    assert "--cluster.peak-tflops 67" in table  # it computes in 32 bits
    assert main(["plan", "--config", "a.yaml", "--scale", "1,x"]) == 2
    assert "--scale 1,x" in capsys.readouterr().err
