"""The portrait in the package and a song that no training has heard, as files for `xdancer generate`: no data set is needed for them."""

from pathlib import Path

from xdancer.embedded.grid import BeatGrid
from xdancer.embedded.song import make_song
from xdancer.evaluation.folder import write_json
from xdancer.files import write_bytes
from xdancer.media import encode_audio
from xdancer.weights import shipped_portrait

STYLE, TEMPO = "disco", 118.0


def write_packaged(*, portrait: Path, pose: Path, song: Path, figures: Path, seconds: float, seed: int) -> None:
    """Copy the portrait and its pose, and compose the song.

    Args:
        portrait: the .png to write.
        pose: the .npy to write, (1, 60, 3).
        song: the .m4a to write.
        figures: the .json to write.
        seconds: length of the song.
        seed: another seed, another song.
    """
    for target, source in zip((portrait, pose), shipped_portrait(), strict=True):
        write_bytes(target, source.read_bytes())
    made = make_song(STYLE, f"packaged-{seed}", BeatGrid(TEMPO, 0.0), seconds=seconds)
    write_bytes(song, encode_audio(made.waveform, made.sample_rate))
    write_json(figures, {"demo/portrait_pose": "exact"})
