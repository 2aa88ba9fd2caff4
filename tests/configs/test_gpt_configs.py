"""Stage 2's YAML files: the paper's counts, and model and data that agree."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RUNS = {
    "gpt": ["gpt.yaml"],
    "demo": ["demo/gpt.yaml"],
    "sync": ["gpt_sync.yaml"],
    "shipped": ["shipped/gpt.yaml"],
    "study": ["studies/motion.yaml"],
    "study_window": ["studies/motion_window.yaml"],
    **{path.stem: ["gpt.yaml", f"ablations/{path.name}"] for path in sorted((CONFIGS / "ablations").glob("gpt_*.yaml"))},
}


def merged(names: list[str]) -> dict[str, Any]:
    def merge(low: Any, high: Any) -> Any:
        if not (isinstance(low, dict) and isinstance(high, dict)):
            return high
        return {**low, **{key: merge(low.get(key), value) for key, value in high.items()}}

    result: dict[str, Any] = {}
    for name in names:
        result = merge(result, yaml.safe_load((CONFIGS / name).read_text()))
    return result


def model_config(run: dict[str, Any]) -> MotionGPTConfig:
    values = run["model"]["init_args"].get("config", {})
    return MotionGPTConfig(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


@pytest.mark.parametrize(
    ("name", "blocks", "window"),
    [
        ("gpt", 302_309_376, 2224), ("gpt_small", 85_054_464, 2224), ("gpt_subset", 302_309_376, 2224), ("gpt_subset_small", 85_054_464, 2224),
        ("gpt_no_global_music", 302_309_376, 2160), ("gpt_no_motion_context", 302_309_376, 1985), ("demo", 793_088, 212),
        ("gpt_large", 708_387_840, 2224), ("sync", 302_309_376, 424), ("study_window", 793_088, 424),
    ],
)  # fmt: skip
def test_sizes_on_the_meta_device(name: str, blocks: int, window: int) -> None:
    with torch.device("meta"):
        gpt = MotionGPT(model_config(merged(RUNS[name])))
    counts = {part: sum(p.numel() for p in child.parameters()) for part, child in gpt.named_children()}
    print(name, {**counts, "total": sum(p.numel() for p in gpt.parameters())})
    assert sum(p.numel() for p in gpt.transformer.h.parameters()) == blocks
    assert gpt.layout.window == window


@pytest.mark.parametrize("name", RUNS)
def test_model_and_data_agree(name: str) -> None:
    run = merged(RUNS[name])
    config, data = model_config(run), run["data"]["init_args"]
    assert data["stage"] == "gpt"
    assert data["segment_frames"] == config.frames
    assert data["context_frames"] == config.context_frames
    assert data["history_frames"] == config.frames + config.overlap_frames
    assert data.get("lookahead_frames", 0) == config.music_lookahead_frames
    assert set(data.get("features", ["jukebox", "librosa"])) == set(config.music_features)
    assert tuple(data.get("styles", ())) == config.styles


@pytest.mark.parametrize("name", RUNS)
def test_averaging_leaves_buffers_alone(name: str) -> None:
    """Averaged buffers would be rounded: token indices move, the tokenizer gets another fingerprint."""
    (average,) = [item for item in merged(RUNS[name])["trainer"]["callbacks+"] if item["class_path"].endswith("EMAWeightAveraging")]
    assert average["init_args"]["use_buffers"] is False


def test_paper_run_takes_the_papers_values_from_the_code() -> None:
    assert model_config(merged(RUNS["gpt"])) == MotionGPTConfig()
    assert {field.name: getattr(MotionGPTConfig(), field.name) for field in fields(MotionGPTConfig)} == {
        "layers": 24, "heads": 16, "width": 1024, "frames": 64, "context_frames": 8, "overlap_frames": 12, "parts": 5, "slots": 6, "codes": 512,
        "music_features": {"jukebox": 4800, "librosa": 35}, "global_music": True, "music_lookahead_frames": 0, "previous_frames": 0,
        "parallel_slots": False, "relative_positions": False, "styles": (), "motion_figures": False,
        "condition_dropout": 0.1, "token_noise": 0.0, "dropout": 0.1, "gradient_checkpointing": False,
    }  # fmt: skip
