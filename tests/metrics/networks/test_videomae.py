"""VideoMAE folders of transformers at toy size: what is taken of them, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification, VideoMAEModel

from xdancer.errors import CheckpointError
from xdancer.metrics.networks import videomae

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write(folder: Path, kind: type = VideoMAEForVideoClassification, *, pooling: bool = True, normalise: bool = True) -> Path:
    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=16, patch_size=8, num_frames=4, tubelet_size=2, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, decoder_hidden_size=8, decoder_intermediate_size=8, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        use_mean_pooling=pooling,
    )  # fmt: skip
    model = kind(config)
    for name, value in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(value, 0.5, 0.2)
    model.save_pretrained(folder)
    content = {"do_normalize": normalise, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder


def test_a_classifier_gives_what_its_last_layer_reads(tmp_path: Path) -> None:
    features = videomae.load_videomae(write(tmp_path))
    assert (features.name, features.window, features.width, features.size) == ("videomae", 4, 8, 16)
    model = VideoMAEForVideoClassification.from_pretrained(tmp_path).eval()
    windows = torch.rand(2, 4, 3, 16, 16) * 2 - 1
    out = features(windows)
    pixels = ((windows + 1) / 2 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        assert torch.allclose(model.classifier(out), model(pixel_values=pixels).logits, atol=1e-5)


def test_an_encoder_gives_the_mean_of_its_normalised_tokens(tmp_path: Path) -> None:
    features = videomae.load_videomae(write(tmp_path, VideoMAEModel, pooling=False, normalise=False))
    model = VideoMAEModel.from_pretrained(tmp_path).eval()
    windows = torch.rand(2, 4, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        tokens = model(pixel_values=(windows + 1) / 2).last_hidden_state
    assert model.layernorm is not None
    assert torch.allclose(features(windows), tokens.mean(dim=1), atol=1e-5)


def test_a_digest_covers_weights_config_and_preprocessor(tmp_path: Path) -> None:
    digests = {videomae.load_videomae(write(tmp_path / "a")).digest, videomae.load_videomae(write(tmp_path / "b", normalise=False)).digest}
    digests.add(videomae.load_videomae(write(tmp_path / "c")).digest)
    assert len(digests) == 2


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no VideoMAE folder of transformers \(config\.json"):
        videomae.load_videomae(tmp_path)
    with pytest.raises(CheckpointError, match="holds VideoMAEForPreTraining, needed VideoMAEForVideoClassification or VideoMAEModel"):
        videomae.load_videomae(write(tmp_path / "decoder", VideoMAEForPreTraining))
    bare = write(tmp_path / "bare")
    (bare / "preprocessor_config.json").write_text('{"image_mean": [0.5]}')
    with pytest.raises(CheckpointError, match="gives no image_mean and image_std of three numbers"):
        videomae.load_videomae(bare)
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no preprocessor_config\.json: mean and std of the pictures are part of the network"):
        videomae.load_videomae(bare)


def test_weights_load_strictly(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write(tmp_path)
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if name.endswith("fc_norm.weight"))
    save_file({key: value for key, value in state.items() if key != name} | {"extra.weight": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing \(fc_norm\.weight\); 1 unexpected \(extra\.weight\)"):
        videomae.load_videomae(folder)
    save_file(state | {name: torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"does not load as VideoMAEForVideoClassification|1 mismatched"):
        videomae.load_videomae(folder)
