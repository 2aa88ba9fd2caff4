"""AnimateDiff's motion modules load whole or by named groups, from every layout that people have (random small ones)."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import MotionAdapter
from safetensors.torch import save_file
from torch import Tensor

from xdancer.errors import CheckpointError
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.motion_weights import load_motion_weights

Weights = dict[str, Tensor]


@pytest.fixture
def video(tiny: VideoDiffusionConfig) -> VideoDiffusion:
    return VideoDiffusion(replace(tiny, temporal=True, temporal_positions=32))


def make_adapter(config: VideoDiffusionConfig, *, middle: bool = True, positions: int = 24) -> MotionAdapter:
    return MotionAdapter(
        block_out_channels=config.block_out_channels, motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4,
        motion_max_seq_length=positions, use_motion_mid_block=middle,
    )  # fmt: skip


def original(adapter: MotionAdapter) -> Weights:
    """The names of AnimateDiff's own checkpoints; each attention has its table of positions there."""
    weights: Weights = {}
    for name, value in adapter.state_dict().items():
        head, _, tail = name.partition(".motion_modules.")
        index, _, rest = tail.partition(".")
        for ours, theirs in ((".attn1.", ".attention_blocks.0."), (".attn2.", ".attention_blocks.1."), (".norm1.", ".norms.0."),
                             (".norm2.", ".norms.1."), (".norm3.", ".ff_norm.")):  # fmt: skip
            rest = rest.replace(ours, theirs)
        for block in (".attention_blocks.0.pos_encoder.", ".attention_blocks.1.pos_encoder."):
            weights[f"{head}.motion_modules.{index}.temporal_transformer.{rest.replace('.pos_embed.', block)}"] = value
    return weights


def write_folder(adapter: MotionAdapter, folder: Path) -> Path:
    adapter.save_pretrained(folder / "adapter")
    return folder / "adapter"


def write_safetensors(adapter: MotionAdapter, folder: Path) -> Path:
    save_file({name: value.clone() for name, value in original(adapter).items()}, folder / "mm.safetensors")
    return folder / "mm.safetensors"


def write_ckpt(adapter: MotionAdapter, folder: Path) -> Path:
    torch.save({"state_dict": {f"module.{name}": value for name, value in original(adapter).items()}, "epoch": 3}, folder / "mm.ckpt")
    return folder / "mm.ckpt"


@pytest.mark.parametrize("positions", [24, 32, 40])
@pytest.mark.parametrize("write", [write_folder, write_safetensors, write_ckpt])
def test_every_layout_gives_the_same_modules(
    write: Callable[[MotionAdapter, Path], Path], positions: int, video: VideoDiffusion, tmp_path: Path
) -> None:
    adapter = make_adapter(video.config, positions=positions)
    table = {name: value.clone() for name, value in video.unet.state_dict().items() if name.endswith("pos_embed.pe")}
    report = load_motion_weights(video, write(adapter, tmp_path))
    own, theirs = video.unet.state_dict(), {name: value for name, value in adapter.state_dict().items() if not name.endswith(".pe")}
    assert report.loaded == len(theirs)
    assert not report.new
    assert not report.unused
    assert all(torch.equal(own[name], value) for name, value in theirs.items())
    assert all(torch.equal(own[name], value) for name, value in table.items())
    assert not [name for name in own if ".motion_modules." in name and name not in theirs and name not in table]


def test_a_missing_middle_is_refused_or_named(video: VideoDiffusion, tmp_path: Path) -> None:
    path = write_ckpt(make_adapter(video.config, middle=False), tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks (\d+) of \1 motion weights of mid_block: allow_new mid_block lets it start new"):
        load_motion_weights(video, path)
    report = load_motion_weights(video, path, allow_new=["mid_block"])
    assert list(report.new) == ["mid_block"]
    assert "new: mid_block (" in str(report)
    middle = video.unet.state_dict()["mid_block.motion_modules.0.proj_out.weight"]
    assert middle.eq(0).all()  # as if it were not there


def test_what_does_not_fit_is_refused(video: VideoDiffusion, tiny: VideoDiffusionConfig, tmp_path: Path) -> None:
    weights = original(make_adapter(tiny))
    lost = next(name for name in weights if name.startswith("up_blocks") and name.endswith("to_q.weight"))
    torch.save({name: value for name, value in weights.items() if name != lost}, tmp_path / "cut.ckpt")
    with pytest.raises(CheckpointError, match=r"lacks 1 of \d+ motion weights of up_blocks: the file is incomplete"):
        load_motion_weights(video, tmp_path / "cut.ckpt", allow_new=["up_blocks"])
    torch.save({name: value + 0.1 if name.endswith(".pe") else value for name, value in weights.items()}, tmp_path / "learned.ckpt")
    with pytest.raises(CheckpointError, match=r"is no table of sine waves"):
        load_motion_weights(video, tmp_path / "learned.ckpt")
    path = write_folder(make_adapter(replace(tiny, block_out_channels=(8, 32))), tmp_path)
    with pytest.raises(CheckpointError, match=r"other shapes than the config's: .* \(32,.*\) there, \(16,.*\) here"):
        load_motion_weights(video, path)
    with pytest.raises(CheckpointError, match=r"allow_new middle: no group .* down_blocks, mid_block, up_blocks"):
        load_motion_weights(video, path, allow_new=["middle"])
    with pytest.raises(CheckpointError, match=r"has no temporal modules"):
        load_motion_weights(VideoDiffusion(tiny), path)


def test_weights_of_another_kind_are_named(video: VideoDiffusion, tmp_path: Path) -> None:
    extra = original(make_adapter(video.config)) | {"up_blocks.0.motion_modules.7.temporal_transformer.norm.bias": torch.zeros(8)}
    torch.save(extra, tmp_path / "more.pth")
    report = load_motion_weights(video, tmp_path / "more.pth")
    assert report.unused == ("up_blocks.0.motion_modules.7.norm.bias",)
    assert "1 of theirs unused" in str(report)
    torch.save({"conv_in.weight": torch.zeros(1)}, tmp_path / "unet.pth")
    with pytest.raises(CheckpointError, match=r"holds no motion modules"):
        load_motion_weights(video, tmp_path / "unet.pth")


class Trap:
    """Read as a pickle it would create a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.witness,)


def test_a_pickle_with_other_objects_is_not_opened(video: VideoDiffusion, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    (tmp_path / "trap.ckpt").write_bytes(pickle.dumps({"state_dict": Trap(witness)}))
    torch.save({"state_dict": Trap(witness)}, tmp_path / "trap.pth")
    for name in ("trap.ckpt", "trap.pth"):
        with pytest.raises(CheckpointError, match=r"does not load as plain tensors"):
            load_motion_weights(video, tmp_path / name)
    assert not witness.exists()
    (tmp_path / "empty").mkdir()
    for path, words in ((tmp_path / "empty", "is no MotionAdapter folder"), (tmp_path / "nothing.ckpt", "no such file")):
        with pytest.raises(CheckpointError, match=words):
            load_motion_weights(video, path)


@pytest.mark.slow
def test_the_full_width_of_sd15(tmp_path: Path) -> None:
    """453 million weights in the layout of AnimateDiff's second version."""
    adapter = MotionAdapter(use_motion_mid_block=True, motion_max_seq_length=24)
    video = VideoDiffusion(VideoDiffusionConfig(temporal=True, patch_size=8, motion_decoder=False))
    report = load_motion_weights(video, write_safetensors(adapter, tmp_path))
    assert not report.new
    assert not report.unused
    own = video.unet.state_dict()
    assert all(torch.equal(own[name], value) for name, value in adapter.state_dict().items() if not name.endswith(".pe"))
