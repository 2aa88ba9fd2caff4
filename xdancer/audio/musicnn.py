"""Music encoder `musicnn`: 753 features of a pretrained music tagger (Pons & Serra 2019, https://github.com/jordipons/musicnn, ISC).

The network's front-end and mid-end in PyTorch with the weights of `MTT_musicnn`; the dense tagger head is not used. Features come at 62.5 Hz
(hop 256 at 16 kHz) and are interpolated linearly at the video frames' times t/30 s.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from xdancer.audio.librosa_loader import load_librosa
from xdancer.audio.waveform import fit_length, resample
from xdancer.types import FPS
from xdancer.weights import weights_path

SAMPLE_RATE = 16000
HOP = 256
BANDS = 96
WIDTH = 753
PIECE = 960
"""Frames computed at once: 32 s of sound, some 200 MB."""
HALO = 80
"""Rows on either side that a row can see: 64 of the longest temporal filter and 3 × 3 of the mid-end, rounded up."""


class _Normalise(nn.Module):
    """Batch norm at inference as one scale and shift on the last axis (TensorFlow's ε of 1e-3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("shift", torch.zeros(width))
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class _TimeConvolution(nn.Module):
    """Convolution along time whose kernel spans `height` bands, as one matrix product; then ReLU, batch norm and maximum over the bands.

    TensorFlow's "same" padding in time, "valid" over the bands.
    """

    def __init__(self, length: int, height: int, maps: int) -> None:
        super().__init__()
        self.length, self.height = length, height
        self.linear = nn.Linear(length * height, maps)
        self.norm = _Normalise(maps)

    def forward(self, x: Float[Tensor, "time band"]) -> Float[Tensor, "time map"]:
        before = (self.length - 1) // 2
        padded = pad(x, (0, 0, before, self.length - 1 - before))
        patches = padded.unfold(0, self.length, 1).unfold(1, self.height, 1)  # (time, position, length, height)
        rows = [relu(self.linear(part.flatten(2))) for part in patches.split(64)]
        return torch.cat([self.norm(part).amax(dim=1) for part in rows])


class Musicnn(nn.Module):
    """Front-end and mid-end of musicnn: log-mel rows in, timbral, temporal and three mid-end blocks out."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = _Normalise(1)
        timbral = [_TimeConvolution(7, 38, 204), _TimeConvolution(7, 67, 204)]
        temporal = [_TimeConvolution(length, 1, 51) for length in (128, 64, 32)]
        middle = [_TimeConvolution(7, 561, 64), _TimeConvolution(7, 64, 64), _TimeConvolution(7, 64, 64)]
        self.blocks = [*timbral, *temporal, *middle]
        self.front = nn.ModuleList(self.blocks[:5])
        self.middle = nn.ModuleList(middle)

    def forward(self, mel: Float[Tensor, "time 96"]) -> Float[Tensor, "time 753"]:
        normal = self.input_norm(mel)
        front = torch.cat([block(normal) for block in self.front], dim=1)
        first = self.middle[0](front)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        return torch.cat([front, first, second, third], dim=1)

    def load_tensorflow(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the named tensors of the original checkpoint (kernels height, width, in, out)."""

        def normalise(target: _Normalise, index: int) -> None:
            prefix = f"batch_normalization{f'_{index}' if index else ''}"
            scale = tensors[f"{prefix}/gamma"] / torch.sqrt(tensors[f"{prefix}/moving_variance"] + 1e-3)
            target.scale.copy_(scale)
            target.shift.copy_(tensors[f"{prefix}/beta"] - tensors[f"{prefix}/moving_mean"] * scale)

        with torch.no_grad():
            normalise(self.input_norm, 0)
            for index, block in enumerate(self.blocks):
                prefix = f"conv2d{f'_{index}' if index else ''}"
                kernel = tensors[f"{prefix}/kernel"]  # (length, height, 1, map)
                block.linear.weight.copy_(kernel.flatten(0, 2).T)
                block.linear.bias.copy_(tensors[f"{prefix}/bias"])
                normalise(block.norm, index + 1)


def log_mel(sound: Float[np.ndarray, " sample"], start: int = 0, stop: int | None = None) -> Float[np.ndarray, "time 96"]:
    """Musicnn's input: log10(1 + 10⁴ · mel power), 96 bands, 62.5 rows a second; rows [start, stop) only of those of the whole sound."""
    librosa = load_librosa()

    first = max(0, start - 1)  # a row reads its own hop and the one before it
    last = None if stop is None else stop * HOP
    mel = librosa.feature.melspectrogram(y=sound[first * HOP : last], sr=SAMPLE_RATE, n_fft=2 * HOP, hop_length=HOP, n_mels=BANDS).T
    rows = mel[start - first : None if stop is None else stop - first]
    return np.log10(1.0 + 1e4 * rows).astype(np.float32)


class MusicnnEncoder:
    """Music encoder `musicnn`."""

    name = "musicnn"
    width = WIDTH

    def __init__(self) -> None:
        from safetensors.torch import load_file

        self.model = Musicnn().eval()
        self.model.load_tensorflow(load_file(weights_path("MTT_musicnn.safetensors")))

    @property
    def version(self) -> str:
        return f"mtt-1+librosa{version('librosa')}"

    def __call__(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Float[np.ndarray, "frame 753"]:
        """Features of the first `frames` video frames; a shorter sound is padded with silence."""
        return np.concatenate(list(self.pieces(waveform, sample_rate, frames)))

    def pieces(self, waveform: Float[np.ndarray, " sample"], sample_rate: int, frames: int) -> Iterator[Float[np.ndarray, "row 753"]]:
        """The same rows, piece by piece, each computed with as many neighbours as it can see: the same numbers as at once."""
        samples = max(SAMPLE_RATE // 2, round(frames * SAMPLE_RATE / FPS))
        sound = fit_length(resample(waveform, sample_rate, SAMPLE_RATE), samples)
        rows = 1 + samples // HOP
        for begin in range(0, frames, PIECE):
            moments = np.arange(begin, min(frames, begin + PIECE)) * SAMPLE_RATE / HOP / FPS
            start, stop = int(moments[0]), min(rows, int(moments[-1]) + 2)
            yield interpolate_rows(self._rows(sound, start, stop, rows), moments - start)

    @torch.inference_mode()
    def _rows(self, sound: Float[np.ndarray, " sample"], start: int, stop: int, rows: int) -> Float[np.ndarray, "time 753"]:
        """Rows [start, stop) of the sound's `rows`."""
        first = max(0, start - HALO)
        mel = log_mel(sound, first, min(rows, stop + HALO))
        found: Tensor = self.model(torch.from_numpy(mel))
        return found[start - first : stop - first].numpy()


def interpolate_rows(rows: Float[np.ndarray, "time width"], position: Float[np.ndarray, " frame"]) -> Float[np.ndarray, "frame width"]:
    """Rows read linearly at fractional positions; the last row is held."""
    position = np.clip(position, 0, len(rows) - 1)
    left = np.minimum(position.astype(int), max(len(rows) - 2, 0))
    right = np.minimum(left + 1, len(rows) - 1)
    weight = (position - left).astype(np.float32)[:, None]
    return (rows[left] * (1 - weight) + rows[right] * weight).astype(np.float32)
