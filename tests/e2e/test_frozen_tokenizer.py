"""Weight averaging touches the frozen tokenizer in its last bits; checkpoints hold it as it is, so that its fingerprint stays its own."""

from pathlib import Path

import pytest
import torch

from xdancer.checkpoint import fingerprint
from xdancer.pipelines.dance import DancePipeline
from xdancer.vqvae.model import VQVAE


@pytest.mark.parametrize("stage", ["motion_gpt", "video_diffusion"])
def test_checkpoints_hold_the_tokenizer_as_it_is(tiny_models: Path, stage: str) -> None:
    from xdancer.motion_gpt.module import MotionGPTModule
    from xdancer.video_diffusion.module import VideoDiffusionModule

    config = DancePipeline.from_pretrained(tiny_models).models[stage].config
    module_class = {"motion_gpt": MotionGPTModule, "video_diffusion": VideoDiffusionModule}[stage]
    module = module_class(config=config, tokenizer=tiny_models / "vqvae")
    averaged = {name: value * (1 + 1e-7) if value.is_floating_point() else value for name, value in module.state_dict().items()}
    checkpoint = {"state_dict": dict(averaged)}
    module.on_save_checkpoint(checkpoint)
    kept = {name.removeprefix("tokenizer."): value for name, value in checkpoint["state_dict"].items() if name.startswith("tokenizer.")}
    tokenizer = VQVAE(module.tokenizer.config)
    tokenizer.load_state_dict(kept)
    assert fingerprint(tokenizer) == module.hparams["tokenizer_fingerprint"]
    others = [name for name in averaged if name.startswith("model.")]
    assert all(torch.equal(checkpoint["state_dict"][name], averaged[name]) for name in others)
