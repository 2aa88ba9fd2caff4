"""Parts of xdancer itself: encoders, weights in the package, the training application."""

import re
from collections.abc import Iterator

from xdancer.doctor.finding import Finding, gigabytes
from xdancer.errors import XDancerError

CODECS = {"libx264": "w", "aac": "w", "h264": "r", "hevc": "r", "vp9": "r", "mp3": "r", "vorbis": "r", "flac": "r"}
"""Codec → w where we write it, r where people's files have it."""
LIBRARIES = ("libavcodec", "libavformat")
NEEDED = {"libx264", "aac", "h264"}
"""Without these no shard and no result can be written or read."""


def check_media() -> Iterator[Finding]:
    """FFmpeg's libraries inside PyAV."""
    try:
        import av
        from av.codec import Codec
        from av.codec.codec import UnknownCodecError
    except Exception as error:  # a library that does not load fails in many ways
        yield Finding(
            "media", "PyAV", "broken", f"cannot be imported ({type(error).__name__}: {error})"[:300], "pip install --force-reinstall av"
        )
        return
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    yield Finding(
        "media", "FFmpeg", "ok", ", ".join(f"{name} {libraries[name]}" for name in ("libavcodec", "libavformat") if name in libraries)
    )
    lacking = []
    for name, mode in CODECS.items():
        try:
            Codec(name, "w" if mode == "w" else "r")
        except UnknownCodecError:
            lacking.append(name)
    state = "broken" if NEEDED.intersection(lacking) else "note" if lacking else "ok"
    value = f"all {len(CODECS)} that are used" if not lacking else f"without {', '.join(lacking)}"
    yield Finding("media", "codecs", state, value, "pip install --force-reinstall av (its own wheels have them)" if lacking else "")


def check_weights() -> Iterator[Finding]:
    """Weights in the package: there, unchanged, with their licence."""
    from xdancer.integrity import check_hashes, file_sha256
    from xdancer.weights import SHIPPED, shipped_model, weights_path

    for weights in SHIPPED:
        try:
            path = weights_path(weights.name)
            found = file_sha256(path)
            lacking = [name for name in weights.licence_files if not (path.parent / "licenses" / name).is_file()]
            if found != weights.sha256:
                yield Finding("weights", weights.name, "broken", f"changed: sha256 {found[:12]}…", "Reinstall xdancer.")
            elif lacking:
                yield Finding("weights", weights.name, "broken", f"its licence ({', '.join(lacking)}) is not there", "Reinstall xdancer.")
            else:
                yield Finding("weights", weights.name, "ok", f"{gigabytes(path.stat().st_size)}, {weights.licence}: {weights.use}")
        except (XDancerError, OSError) as error:
            yield Finding("weights", weights.name, "broken", str(error), "Reinstall xdancer.")
    try:
        folder = shipped_model()
        check_hashes(folder)
        card = (folder / "README.md").read_text(encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        licence = re.search(r"Apache-2\.0|MIT|CC[A-Z0-9-]+", card)
        yield Finding("weights", "model (three stages)", "ok", f"{gigabytes(size)}, {licence[0] if licence else 'licence: see its README.md'}")
    except (XDancerError, OSError) as error:
        yield Finding("weights", "model (three stages)", "broken", str(error), "Reinstall xdancer.")


def check_application() -> Iterator[Finding]:
    """Can training start: train.py and configs."""
    from xdancer.application import root

    try:
        yield Finding("application", "train.py, configs", "ok", str(root()))
    except XDancerError as error:
        yield Finding("application", "train.py, configs", "broken", str(error), "Reinstall xdancer.")
