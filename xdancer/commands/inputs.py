"""What commands read and check before they work: result paths, the song, how tokens are drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xdancer.errors import MediaError, XDancerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xdancer.motion_gpt.sampling import SamplingConfig

LEAST_SECONDS = 3.0
SAMPLE_RATE = 44100
SAMPLING = {"temperature": 1.0, "top_p": 0.985, "smoothing": 1.0}
"""Where neither a flag nor the model folder says more."""


def check_outputs(out: Path, *others: Path | None) -> None:
    """Refuse result paths that cannot be written, before hours of work.

    Raises:
        XDancerError: no mp4 name, a missing folder, or two results of one name.
    """
    named = [path for path in (out, *others) if path is not None]
    if out.suffix.lower() != ".mp4":
        raise XDancerError(f"--out {out}: the result is an mp4. Give a name that ends in .mp4.")
    for path in named:
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise XDancerError(
                f"{path}: {'is a folder' if path.is_dir() else f'the folder {path.parent} does not exist'}. Name a file in an existing folder."
            )
    if len({path.absolute() for path in named}) < len(named):
        raise XDancerError(f"Two results have one name: {', '.join(map(str, named))}. Give each its own.")


def read_song(path: Path) -> "NDArray[np.float32]":
    """The song at 44.1 kHz, (samples, 1 or 2 channels).

    Raises:
        MediaError: missing, damaged, shorter than 3 s, or silent.
    """
    from xdancer.audio.waveform import is_silent
    from xdancer.media import read_stereo

    if not path.is_file():
        raise MediaError(f"{path}: no such file. Give a song as wav, mp3, ogg, flac, m4a or mp4.")
    waveform = read_stereo(path, sample_rate=SAMPLE_RATE)
    if len(waveform) < LEAST_SECONDS * SAMPLE_RATE:
        raise MediaError(f"{path}: {len(waveform) / SAMPLE_RATE:.1f} s of sound. A dance needs at least {LEAST_SECONDS:g} s.")
    if is_silent(waveform):
        raise MediaError(f"{path}: silent. There is nothing to dance to: give a file with audible music.")
    return waveform


def listened(song: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """What the dancer hears: the mean of the channels, or the first where they cancel each other out."""
    from xdancer.audio.waveform import is_silent

    mono = song.mean(axis=1)
    return song[:, 0] if is_silent(mono) else mono


def recommended_sampling(model: Path) -> dict[str, float]:
    """Temperature, top-p and smoothing that a model folder recommends, ours where it does not.

    Raises:
        CheckpointError: no model folder, or damaged.
    """
    from xdancer.pipelines.folder import read_index

    return SAMPLING | read_index(model).get("sampling", {})


def known(values: dict[str, float | None]) -> dict[str, float]:
    """The flags that were given."""
    return {name: value for name, value in values.items() if value is not None}


def make_sampling(
    *, temperature: float, top_p: float, smoothing: float, top_k: int = 0, guidance: float = 1.0, wish_guidance: float = 1.0,
    parts: Mapping[str, Mapping[str, float]] | None = None,
) -> "SamplingConfig":  # fmt: skip
    """How tokens are drawn; a value out of range, or an unknown part or setting, is a user's mistake."""
    from xdancer.motion_gpt.sampling import PartSampling, SamplingConfig

    try:
        own = {
            name: PartSampling(**{key: int(value) if key == "top_k" else value for key, value in values.items()})  # type: ignore[arg-type]
            for name, values in (parts or {}).items()
        }
        return SamplingConfig(
            temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance, wish_guidance=wish_guidance, smoothing=smoothing, parts=own
        )  # fmt: skip
    except TypeError as error:
        raise XDancerError(f"--part-sampling {dict(parts or {})}: the settings of a part are temperature, top_k and top_p.") from error
    except ValueError as error:
        raise XDancerError(str(error)) from error
