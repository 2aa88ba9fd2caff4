"""Music encoder `jukebox`: 4800 features of OpenAI's Jukebox prior (paper: layer 66, resampled to 30 fps). Optional and heavy.

The 5b prior needs about 10 GB of GPU memory (19 GB on the CPU); its weights are licensed for non-commercial use. Two packages can run it:
PyPI `jukebox-infer` (modules only; the extraction is ours, after Castellon et al. 2021, https://github.com/p-lambda/jukemir) and, from
GitHub, `jukemirlib`. Nothing is imported or downloaded before an encoder is made.
"""

import contextlib
import io
import os
import pickle
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from lightning_utilities.core.imports import RequirementCache
from scipy.signal import resample_poly
from torch import Tensor

from xdancer.audio.waveform import fit_length, fit_rows, resample
from xdancer.device import select_device
from xdancer.errors import CheckpointError, MissingPackageError, XDancerError
from xdancer.types import FPS

SAMPLE_RATE = 44100
LAYER = 66
"""Blocks of the prior that are run; their output is the feature."""
WIDTH = 4800
WEIGHTS_VARIABLE = "XDANCER_JUKEBOX"
DEVICE_VARIABLE = "XDANCER_JUKEBOX_DEVICE"
"""auto (the GPU if there is one), cpu, cuda or mps."""
DEFAULT_WEIGHTS = Path("~/.cache/jukebox/models/5b")
"""Where jukebox-infer keeps its downloads."""
ASSUMED_LENGTH = 62.0
"""Seconds that the prior is told the song lasts, as in jukemir; it was trained on 60 to 600."""


@runtime_checkable
class Backend(Protocol):
    """A Jukebox prior that can be run on one piece of sound."""

    version: str
    piece_samples: int
    """Samples at 44.1 kHz that fit into the prior's context."""
    rate: Fraction
    """Rows of `activations` per second."""

    def activations(self, piece: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "row width"]:
        """Features of exactly `piece_samples` samples."""
        ...


class JukeboxEncoder:
    """Music encoder `jukebox`.

    Args:
        backend: what runs the prior; by default whichever package is installed.

    Raises:
        MissingPackageError: neither package is installed.
        CheckpointError: the weights are not there.
    """

    name = "jukebox"
    width = WIDTH

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend = find_backend() if backend is None else backend

    @property
    def version(self) -> str:
        return f"layer{LAYER}-1+{self.backend.version}"

    def __call__(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Float[np.ndarray, "frame width"]:
        """Features of the first `frames` video frames; a shorter sound is padded with silence.

        A song longer than the prior's context (24 s) is cut into pieces; each begins a quarter of a context before the frames it is read for,
        because the prior only sees the past.
        """
        sound = resample(waveform, sample_rate, SAMPLE_RATE)
        peak = float(np.abs(sound).max(initial=0.0))
        sound = sound / peak if peak > 0 else sound
        step = SAMPLE_RATE // FPS
        context = self.backend.piece_samples // step
        rows: list[np.ndarray] = []
        done = 0
        while done < frames:
            begin = max(0, done - context // 4)
            piece = fit_length(sound[begin * step :], self.backend.piece_samples)
            ratio = FPS / self.backend.rate
            encoded = resample_poly(self.backend.activations(piece), ratio.numerator, ratio.denominator, axis=0, padtype="line")
            fresh = fit_rows(encoded.astype(np.float32), context)[done - begin :]
            rows.append(fresh)
            done += len(fresh)
        return np.concatenate(rows)[:frames]


@contextlib.contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Encoders made in the block compute on that device."""
    before = os.environ.get(DEVICE_VARIABLE)
    if device != "auto":
        os.environ[DEVICE_VARIABLE] = device
    try:
        yield
    finally:
        os.environ.pop(DEVICE_VARIABLE, None)
        if before is not None:
            os.environ[DEVICE_VARIABLE] = before


def find_backend() -> Backend:
    """The installed package's prior, on the device of `XDANCER_JUKEBOX_DEVICE`, else on the GPU if there is one.

    Raises:
        MissingPackageError, CheckpointError: see `JukeboxEncoder`.
        XDancerError: the device is not there, or the package does not let us choose.
    """
    name: Any = os.environ.get(DEVICE_VARIABLE, "auto")
    if RequirementCache("jukebox-infer"):
        folder = Path(os.environ.get(WEIGHTS_VARIABLE, DEFAULT_WEIGHTS)).expanduser()
        fastest = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return JukeboxInfer.from_folder(folder, fastest if name == "auto" else select_device(name))
    if RequirementCache(module="jukemirlib"):
        if name != "auto":
            raise XDancerError(f"--device {name}: jukemirlib chooses its device itself. Use --device auto, or install 'xdancer[jukebox]'.")
        return Jukemirlib()
    raise MissingPackageError(
        "Music feature 'jukebox' needs an optional package: pip install 'xdancer[jukebox]' (weights: 10 GB, non-commercial licence). "
        "Without it use the features librosa and musicnn."
    )


class Jukemirlib:
    """Backend on `jukemirlib`, which brings its own weights and resamples to 30 rows a second itself."""

    version = "jukemirlib"
    piece_samples = 23 * SAMPLE_RATE
    rate = Fraction(FPS)

    def activations(self, piece: Float[np.ndarray, " sample"]) -> Float[np.ndarray, "row width"]:
        import jukemirlib  # pyright: ignore[reportMissingImports]

        return np.asarray(jukemirlib.extract(audio=piece, layers=[LAYER], downsample_target_rate=FPS)[LAYER], dtype=np.float32)


class JukeboxInfer:
    """Backend on `jukebox-infer`'s modules: sound → codes of the top level → the prior's first blocks.

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
        self.version = "5b"

    @staticmethod
    def from_folder(folder: Path, device: torch.device) -> "JukeboxInfer":
        """The 5b model from `vqvae.pth.tar` and `prior_level_2.pth.tar`; only the blocks in use are kept.

        Raises:
            CheckpointError: a file is missing or not Jukebox's.
        """
        paths = [folder / "vqvae.pth.tar", folder / "prior_level_2.pth.tar"]
        for path in paths:
            if not path.is_file():
                raise CheckpointError(
                    f"Jukebox weights: {path} is missing. Download https://openaipublic.azureedge.net/jukebox/models/5b/{path.name} "
                    f"(non-commercial licence) into that folder, or name another with {WEIGHTS_VARIABLE}=FOLDER."
                )
        from jukebox_infer.hparams import setup_hparams  # pyright: ignore[reportMissingImports]

        vqvae, prior = build_models(
            setup_hparams("vqvae", {"sample_length": 1048576, "restore_vqvae": ""}),
            setup_hparams("prior_5b", {"restore_prior": "", "fp16_params": False, "prior_depth": LAYER}),
        )
        load_jukebox(vqvae, paths[0])
        load_jukebox(prior, paths[1], blocks=LAYER)
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
