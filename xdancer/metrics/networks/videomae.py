"""VideoMAE, the network of content-debiased distances, from a folder of transformers.

What is taken, exactly: the tokens after the last block, (batch, token, width), go

- in a `VideoMAEForVideoClassification` whose config says `use_mean_pooling` (transformers' default) through the mean over tokens and then
  `fc_norm`: what its classifier reads. This is what cd-fvd takes of its VideoMAE-v2 giant, fine-tuned on Something-Something v2;
- in all others through the model's own final layer norm, where it has one, and then the mean over tokens.

Pictures are normalised with mean and std of the folder's preprocessor (if it says `do_normalize`). cd-fvd's code leaves that step out and feeds
[0, 1]: for a copy of its weights set `do_normalize` to false.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from xdancer.errors import CheckpointError
from xdancer.metrics.networks.weights import VALUE_RANGE, check_windows, digest_of
from xdancer.strict import read_json_file

CLASSIFIER, ENCODER = "VideoMAEForVideoClassification", "VideoMAEModel"
PREPROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")


class VideoMAEFeatures:
    """`videomae`: mean over tokens of the last layer, normalised as the model does; frames and size as the folder's config says.

    Args:
        network: `VideoMAEForVideoClassification` or `VideoMAEModel` of transformers, in evaluation mode, on its device.
        digest: of its folder's files.
        mean: of pictures in [0, 1], per channel.
        std: likewise.
    """

    name = "videomae"
    value_range = VALUE_RANGE

    def __init__(
        self,
        network: Any,
        *,
        digest: str,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        self.network, self.digest, self._mean, self._std = network, digest, torch.tensor(mean), torch.tensor(std)
        side = network.config.image_size
        self.size: int = side if isinstance(side, int) else max(side)
        self.window: int = network.config.num_frames
        self.width: int = network.config.hidden_size

    @torch.no_grad()
    def __call__(self, windows: Float[Tensor, "batch frame 3 height width"]) -> Float[Tensor, "batch feature"]:
        check_windows(windows, name=self.name, window=self.window, size=self.size)
        device = self.network.device
        mean, std = (value.to(device)[:, None, None] for value in (self._mean, self._std))
        pixels = ((windows.to(device, torch.float32) + 1) / 2 - mean) / std
        classifier = type(self.network).__name__ == CLASSIFIER
        tokens = (self.network.videomae if classifier else self.network)(pixel_values=pixels).last_hidden_state
        pooled = tokens.mean(dim=1)
        return self.network.fc_norm(pooled) if classifier and self.network.fc_norm is not None else pooled


def load_videomae(folder: Path, *, device: torch.device | str = "cpu") -> VideoMAEFeatures:
    """The features of a folder with config.json, preprocessor_config.json and weights.

    Raises:
        CheckpointError: no such folder, another model, missing or unknown weights, or no preprocessor.
    """
    config = _read_json(folder, "config.json")
    kind = next(iter(config.get("architectures") or ["none"]))
    if kind not in (CLASSIFIER, ENCODER):
        raise CheckpointError(
            f"{folder} holds {kind}, needed {CLASSIFIER} or {ENCODER}. A pretraining model has a decoder in place of features."
        )
    preprocessor = next((name for name in PREPROCESSORS if (folder / name).is_file()), None)
    if preprocessor is None:
        raise CheckpointError(f"{folder} has no {PREPROCESSORS[0]}: mean and std of the pictures are part of the network. Fetch it, too.")
    mean, std = _normalisation(_read_json(folder, preprocessor), folder / preprocessor)
    network = _load(folder, kind)
    weights = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    digest = digest_of([folder / "config.json", folder / preprocessor, *weights])
    return VideoMAEFeatures(network.to(device).eval().requires_grad_(False), digest=digest, mean=mean, std=std)


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = read_json_file(folder / name)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no VideoMAE folder of transformers ({name}: {error}).") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{folder / name} holds {type(content).__name__}, needed an object with keys.")
    return content


def _normalisation(content: dict[str, Any], path: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and std of pictures in [0, 1]; 0 and 1 where the preprocessor does not normalise."""
    if not content.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    try:
        (red, green, blue), (red_std, green_std, blue_std) = content["image_mean"], content["image_std"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} gives no image_mean and image_std of three numbers.") from error
    return (float(red), float(green), float(blue)), (float(red_std), float(green_std), float(blue_std))


def _load(folder: Path, kind: str) -> Any:
    """The model of that class with all weights of its config and no others, in fp32."""
    import transformers

    loader = getattr(transformers, kind)
    try:
        network, report = loader.from_pretrained(str(folder), output_loading_info=True, local_files_only=True, dtype=torch.float32)
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder} does not load as {kind}: {str(error).splitlines()[0]}") from error
    wrong = {name: sorted(map(str, report[name])) for name in ("missing_keys", "unexpected_keys", "mismatched_keys") if report[name]}
    if wrong:
        said = "; ".join(f"{len(names)} {what.removesuffix('_keys')} ({', '.join(names[:3])})" for what, names in wrong.items())
        raise CheckpointError(f"{folder} does not hold the weights of its {kind}: {said}.")
    return network
