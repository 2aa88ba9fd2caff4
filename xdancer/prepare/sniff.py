"""Files lie: what a file is by its first bytes, whatever its name says, and what looks wrong about a video's length."""

from collections.abc import Iterator
from pathlib import Path

from xdancer import media
from xdancer.prepare.settings import PrepareSettings

ENDINGS = {
    "mp4": ("mp4", "m4v", "mov", "3gp", "qt"), "matroska": ("mkv", "webm"), "avi": ("avi",), "mpeg-ts": ("ts", "mts", "m2ts"),
    "mpeg": ("mpg", "mpeg"), "wmv": ("wmv", "asf"), "flv": ("flv",),
}  # fmt: skip
"""Kind of container → endings of its videos."""
EXTENSIONS = frozenset(f".{ending}" for endings in ENDINGS.values() for ending in endings)
SOUNDS = frozenset((".m4a", ".m4b", ".m4r", ".mka", ".wma", ".aac", ".mp3", ".wav", ".flac", ".ogg", ".opus"))
"""Songs whose containers may also hold videos."""
PICTURES = {
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF",
}  # fmt: skip
PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
SOUND_BRANDS = (b"M4A ", b"M4B ")
STARTS = {
    b"\x1a\x45\xdf\xa3": "matroska", b"\x00\x00\x01\xba": "mpeg", b"\x00\x00\x01\xb3": "mpeg", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "wmv",
    b"FLV\x01": "flv",
}  # fmt: skip
APART, APART_SECONDS = 0.04, 0.5
"""Sound and pictures whose lengths differ by more than this share and by more than this are worth a note (24 frames a second for 25: 4 %)."""


def container(path: Path) -> str:
    """Key of `ENDINGS`, `picture (KIND)`, or nothing for what is neither."""
    try:
        with path.open("rb") as file:
            head = file.read(400)
    except OSError:
        return ""
    for start, kind in PICTURES.items():
        if head.startswith(start):
            return f"picture ({kind})"
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WEBP": "picture (WebP)"}.get(head[8:12], "")
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        if head[8:12] in PICTURE_BRANDS:
            return "picture (HEIF)"
        return "" if head[8:12] in SOUND_BRANDS else "mp4"
    for start, kind in STARTS.items():
        if head.startswith(start):
            return kind
    steps = [(0, 188), (4, 192)]  # the second with a time code before each packet
    return "mpeg-ts" if any(len(head) > first + step and head[first] == head[first + step] == 0x47 for first, step in steps) else ""


def is_candidate(path: Path) -> bool:
    """Whether a file calls itself a video or is one by its content; songs are none."""
    ending = path.suffix.lower()
    return ending in EXTENSIONS or (ending not in SOUNDS and container(path) in ENDINGS)


def no_video(path: Path) -> str:
    """Why a file cannot be a video; empty where it may be one."""
    kind = container(path)
    return f"a {kind} by its content, no video" if kind.startswith("picture") else ""


def oddities(path: Path, info: media.VideoInfo, duration: float, settings: PrepareSettings) -> Iterator[str]:
    """Notes about a wrong ending, an unlikely frame rate, and sound that does not fit the pictures' length.

    Args:
        path: the video.
        info: what was found on it.
        duration: of the pictures, in seconds, by the settings' frame rate where that is given.
        settings: whose `source_fps` and `audio_offset` count.
    """
    kind, ending = container(path), path.suffix.lower().removeprefix(".")
    if kind in ENDINGS and ending not in ENDINGS[kind]:
        yield f"{kind} by its content, though its name ends in .{ending}" if ending else f"{kind} by its content, without an ending"
    if settings.source_fps is None and not 10 <= info.fps <= 125:
        yield f"{info.fps:.3g} frames per second: if the container lies, pass --source-fps"
    sound = media.sound_seconds(path)
    sound = sound if sound is None else sound + settings.audio_offset
    if sound is not None and sound > 0 and abs(sound - duration) > max(APART * duration, APART_SECONDS):
        yield f"pictures last {duration:.1f} s and sound {sound:.1f} s: if the frame rate is wrong, --source-fps {info.frames / sound:.4g} fits"
