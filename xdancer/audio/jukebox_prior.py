"""OpenAI's Jukebox 5b by PyPI `jukebox-infer`'s modules; the extraction is ours, after Castellon et al. 2021 (https://github.com/p-lambda/jukemir)."""

import contextlib
import io
import pickle
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xdancer.errors import CheckpointError

SAMPLE_RATE = 44100
LAYER = 66
"""Blocks of the prior that are run; their output is the feature."""
CONTEXT, HOP = 8192, 128
"""Codes that the prior sees at once, and samples of a code."""
WEIGHTS_VARIABLE = "XDANCER_JUKEBOX"
DEFAULT_WEIGHTS = Path("~/.cache/jukebox/models/5b")
"""Where jukebox-infer keeps its downloads."""
FILES = ("vqvae.pth.tar", "prior_level_2.pth.tar")
ASSUMED_LENGTH = 62.0
"""Seconds that the prior is told the song lasts, as in jukemir; it was trained on 60 to 600."""


class Jukebox5b:
    """Backend of the music encoder on the 5b model of a folder, which is loaded at the first piece.

    Args:
        folder: holds `vqvae.pth.tar` and `prior_level_2.pth.tar`.
        device: where the model runs.

    Raises:
        CheckpointError: a file is missing.
    """

    version = "5b"
    piece_samples = CONTEXT * HOP
    rate = Fraction(SAMPLE_RATE, HOP)

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.device = folder, device
        for name in FILES:
            if not (folder / name).is_file():
                raise CheckpointError(
                    f"Jukebox weights: {folder / name} is missing. Download https://openaipublic.azureedge.net/jukebox/models/5b/{name} "
                    f"(non-commercial licence) into that folder, or name another with {WEIGHTS_VARIABLE}=FOLDER."
                )

    @cached_property
    def model(self) -> "JukeboxInfer":
        """The loaded model.

        Raises:
            CheckpointError: a file is not Jukebox's.
        """
        return JukeboxInfer.from_folder(self.folder, self.device)

    def activations(self, piece: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "row width"]:
        return self.model.activations(piece)


class JukeboxInfer:
    """A model of `jukebox-infer`'s modules, of any size: sound → codes of the top level → the prior's first blocks.

    Args:
        vqvae: Jukebox's VQ-VAE.
        prior: its top-level prior with at least `layer` blocks.
        layer: blocks to run.
        device: where they run; on a GPU in half precision.
    """

    def __init__(self, vqvae: Any, prior: Any, *, layer: int = LAYER, device: torch.device) -> None:
        self.vqvae, self.prior, self.layer, self.device = vqvae.to(device).eval(), prior.to(device).eval(), layer, device
        self.hop = int(prior.raw_to_tokens)
        self.piece_samples = int(prior.n_ctx) * self.hop
        self.rate = Fraction(SAMPLE_RATE, self.hop)
        self.version = f"{len(prior.prior.transformer._attn_mods)} blocks"

    @staticmethod
    def from_folder(folder: Path, device: torch.device) -> "JukeboxInfer":
        """The 5b model from its two files; only the blocks in use are kept.

        Raises:
            CheckpointError: a file is missing or not Jukebox's.
        """
        from jukebox_infer.hparams import setup_hparams  # pyright: ignore[reportMissingImports]

        vqvae, prior = build_models(
            setup_hparams("vqvae", {"sample_length": CONTEXT * HOP, "restore_vqvae": ""}),
            setup_hparams("prior_5b", {"restore_prior": "", "fp16_params": False, "prior_depth": LAYER}),
        )
        load_jukebox(vqvae, folder / FILES[0])
        load_jukebox(prior, folder / FILES[1], blocks=LAYER)
        if device.type == "cuda":
            from jukebox_infer.transformer.ops import _convert_conv_weights_to_fp16  # pyright: ignore[reportMissingImports]

            prior.apply(_convert_conv_weights_to_fp16)
        else:
            prior.float()
        return JukeboxInfer(vqvae, prior, device=device)

    @torch.inference_mode()
    def activations(self, piece: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "row width"]:
        sound = torch.from_numpy(np.ascontiguousarray(piece, dtype=np.float32)).to(self.device)
        top = self.prior.level
        codes = self.vqvae.encode(sound[None, :, None], start_level=top, end_level=top + 1)[0].reshape(1, -1)
        start, positions = self._conditions()
        network = self.prior.prior
        x = torch.roll(network.x_emb(codes), 1, dims=1)
        x[:, :1] = start
        x = x + network.pos_emb() + positions
        if self.device.type == "cuda":
            x = x.half()
        for block in network.transformer._attn_mods[: self.layer]:
            x = block(x, encoder_kv=None, sample=False)
        return x[0].float().cpu().numpy()

    def _conditions(self) -> tuple[Tensor, Tensor]:
        """Start embedding (1, 1, width) and position embeddings (1, context, width) of an unknown song.

        What `LabelConditioner.forward` computes; that one asserts CUDA tensors.
        """
        labels = self.prior.y_emb
        unknown = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        total = max(ASSUMED_LENGTH * SAMPLE_RATE // self.hop * self.hop, float(labels.total_length_emb.pos_min), float(self.piece_samples))
        length, first, last = (torch.tensor([[value]], device=self.device) for value in (total, 0.0, float(self.piece_samples)))
        positions = labels.total_length_emb(length) + labels.absolute_pos_emb(first, last) + labels.relative_pos_emb(first, last / length)
        return labels.artist_emb.emb(unknown) + labels.bow_genre_emb.emb(unknown), positions


def build_models(vqvae_sizes: Any, prior_sizes: Any) -> tuple[Any, Any]:
    """Jukebox's VQ-VAE and a prior without memory for its weights (meta device), from jukebox-infer's hyper-parameters."""
    from jukebox_infer.make_models import make_prior, make_vqvae  # pyright: ignore[reportMissingImports]

    with contextlib.redirect_stdout(io.StringIO()):  # the package prints its progress
        vqvae = make_vqvae(vqvae_sizes, device="cpu")
        with torch.device("meta"):
            prior = make_prior(prior_sizes, vqvae, device="meta")
    return vqvae, prior


def load_jukebox(model: Any, path: Path, *, blocks: int | None = None) -> None:
    """Fill a model from one of Jukebox's checkpoints, strictly; `blocks` drops the prior's later blocks.

    Raises:
        CheckpointError: the file is damaged or has other tensors.
    """

    def wanted(name: str) -> bool:
        _, found, number = name.partition("prior.transformer._attn_mods.")
        return not found or blocks is None or int(number.partition(".")[0]) < blocks

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
        state = {name.removeprefix("module."): value for name, value in state.items() if wanted(name)}
        model.load_state_dict(state, assign=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, KeyError, ValueError, EOFError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} is not the Jukebox checkpoint it should be: {reason}. Download it again.") from error
