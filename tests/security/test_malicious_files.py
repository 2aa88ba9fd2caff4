"""Files made to run something or to fill the memory: each is refused in one line, and what it carries does not run."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xdancer import strict
from xdancer.checkpoint import load_model
from xdancer.data.shards import ShardReader, verify
from xdancer.errors import XDancerError
from xdancer.importers.pose_files import read_pose_file
from xdancer.importers.takes import read_takes
from xdancer.media import pictures, probe, read_audio, read_image, reading
from xdancer.pipelines.pose_file import load_poses
from xdancer.tensors import read_tensors
from xdancer.vqvae.model import VQVAE


class Payload:
    """Pickled, it is a call that leaves a mark."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def refused(words: str, read, *arguments) -> None:
    with pytest.raises(XDancerError, match=words) as error:
        read(*arguments)
    assert len(" ".join(str(error.value).split())) < 700


def test_pickles_do_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    payload = Payload(marker)
    pickle.loads(pickle.dumps(payload))
    assert marker.exists()  # the payload works where it is let
    marker.unlink()
    (tmp_path / "pose.pkl").write_bytes(pickle.dumps({"bodies": payload}))
    refused("the pickle asks for 'pathlib.Path.touch'|asks for", read_pose_file, tmp_path / "pose.pkl")
    objects = np.empty(1, dtype=object)
    objects[0] = payload
    np.save(tmp_path / "pose.npy", objects)
    refused("asks for", read_pose_file, tmp_path / "pose.npy")
    refused("an array of object, only plain numbers", load_poses, tmp_path / "pose.npy")
    np.savez(tmp_path / "takes.npz", a_1=objects)
    refused("an array of object, only plain numbers", read_takes, tmp_path / "takes.npz")
    header = {"stage": "vqvae", "config": {}}
    for content in ({"state_dict": {}, "hyper_parameters": header, "extra": payload}, payload):
        torch.save(content, tmp_path / "last.ckpt")
        refused("not a readable checkpoint", load_model, tmp_path / "last.ckpt", VQVAE)
        refused("does not load as plain tensors", lambda: read_tensors(tmp_path / "last.ckpt", folder_of="any"))
        torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
        refused("does not load as plain tensors", lambda: read_tensors(tmp_path / "old.pt", folder_of="any"))
    assert not marker.exists()


def add(path: Path, entry: tarfile.TarInfo, content: bytes = b"") -> None:
    """A member behind the others of a tar."""
    entry.size = len(content) or entry.size
    with tarfile.open(path, "a:", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(entry, io.BytesIO(content))


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (entry("../up.pose.npy"), "member '../up.pose.npy' is not accepted"),
        (entry("/etc/up.pose.npy"), "member '/etc/up.pose.npy' is not accepted"),
        (entry("clip-000.run.pkl"), "member 'clip-000.run.pkl' is not accepted"),
        (entry("clip-000.pose.npy"), "'clip-000.pose.npy' lies elsewhere than index.json says, or twice"),
        (entry("clip-009.pose.npy", tarfile.SYMTYPE, "/etc/passwd"), "'clip-009.pose.npy' is a symbolic link"),
        (entry("clip-009.pose.npy", tarfile.LNKTYPE, "clip-000.pose.npy"), "is a link"),
        (entry("clip-009.pose.npy", tarfile.CHRTYPE), "is a device"),
        (entry("clip-009.pose.npy", tarfile.FIFOTYPE), "is a pipe"),
        (entry("clip-009.pose.npy", tarfile.DIRTYPE), "is a folder"),
        (entry("clip-009.pose.npy", tarfile.GNUTYPE_SPARSE), "is of kind"),
        (entry("clip-009.pose.npy", tarfile.XHDTYPE), "is of kind"),
    ],
)
def test_members_that_are_no_plain_files_are_named(tiny, tmp_path: Path, made: tarfile.TarInfo, words: str) -> None:
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0, 20)])
    before = set(tmp_path.rglob("*"))
    add(folder / "shard-000000.tar", made, b"abc" if made.type == tarfile.REGTYPE else b"")
    assert any(words in problem for problem in verify(folder).problems)
    assert ShardReader(folder).pose(0).shape == (20, 60, 3)  # reading goes by the index and unpacks nothing
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("size", [2**62, -512, 10**9])
def test_declared_sizes_lead_nowhere(tiny, tmp_path: Path, size: int) -> None:
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0, 20)])
    tar = folder / "shard-000000.tar"
    content = bytearray(tar.read_bytes())
    head = tarfile.TarInfo.frombuf(bytes(content[:512]), "utf-8", "strict")
    head.size = size
    content[:512] = head.tobuf(tarfile.GNU_FORMAT)
    tar.write_bytes(content)
    assert any(f"has {size:,} bytes in a file of" in problem for problem in verify(folder).problems)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: index["clips"][0].update(frames=10**12), "has 1000000000000 frames"),
        (lambda index: index["clips"][0]["members"].update({"video.mp4": [0, 10**17]}), "a member has at most"),
        (lambda index: index["clips"][0].update(frames=10**15), "a clip has at most 108000"),
        (lambda index: index["clips"][0]["members"].update({"video.mp4": [-5, 10]}), "lies at -5"),
    ],
)  # fmt: skip
def test_an_index_cannot_ask_for_more_memory_than_a_clip_takes(tiny, tmp_path: Path, change, words: str) -> None:
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0, 20)])
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["bytes"] = 10**18
    change(index)
    (folder / "index.json").write_text(json.dumps(index))
    refused(words, ShardReader, folder)


@pytest.mark.parametrize("name", ["manifest.json", "index.json"])
def test_json_that_nests_or_grows_without_end(tiny, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.write_split(tmp_path / "train", [tiny.make_clip(0, 20)])
    (folder / name).write_text("[" * 200_000)
    refused("nested too deeply", ShardReader, folder)
    manifest = '{"schema": 1, "features": {"librosa": {"width": 1000000000000}}, "split": "a", "licence": "", "counts": {}, "sha256": {}}'
    (folder / "manifest.json").write_text(manifest)
    refused("has no width from 1 to", ShardReader, folder)
    (tmp_path / "pose.json").write_text('{"a":' * 200_000)
    refused("nested too deeply", read_pose_file, tmp_path / "pose.json")
    monkeypatch.setattr(strict, "LARGEST_JSON", 10)
    with pytest.raises(ValueError, match="11 bytes of JSON, at most 10 are read"):
        strict.parse_json("[1,2,3,4,5]", largest=strict.LARGEST_JSON)


def bomb_png(path: Path, width: int, height: int) -> Path:
    """A few bytes that unfold to width × height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = zlib.compress(b"\0" * (1 + width))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", row) + chunk(b"IEND", b""))
    return path


def test_pictures_are_bounded(tmp_path: Path) -> None:
    refused(
        r"20000×8000 are 160 million pixels, at most 100 are read\. Make the picture smaller",
        read_image,
        bomb_png(tmp_path / "a.png", 20000, 8000),
    )
    refused("60000.*|exceeds limit.*Make the picture smaller", read_image, bomb_png(tmp_path / "b.png", 60000, 60000))
    picture = tmp_path / "c.png"
    Image.new("L", (64, 64)).save(picture)
    assert read_image(picture).shape == (64, 64, 3)
    postscript = tmp_path / "d.png"
    postscript.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(marker) (w) file closefile\n")
    refused("cannot be read as a picture", read_image, postscript)
    assert "EPS" not in pictures.FORMATS


def test_archives_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a_1=np.zeros((10**6, 18, 3), np.float32))
    assert (tmp_path / "bomb.npz").stat().st_size < 10**6
    monkeypatch.setattr(strict, "LARGEST_ARRAYS", 10**8)
    refused(r"bytes unpacked, at most 10,000 of 100,000,000 are read", read_takes, tmp_path / "bomb.npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15, 18, 3)})
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as archive:
        archive.writestr("a_1.npy", header.getvalue())
    refused("the header says float32 .* the content has 0 bytes", read_takes, tmp_path / "claim.npz")
    (tmp_path / "claim.npy").write_bytes(header.getvalue())
    refused("the header says float32", load_poses, tmp_path / "claim.npy")
    torch.save({"state_dict": {"a": torch.zeros(1000)}, "hyper_parameters": {"stage": "vqvae", "config": {}}}, tmp_path / "plain.ckpt")
    with zipfile.ZipFile(tmp_path / "plain.ckpt") as plain, zipfile.ZipFile(tmp_path / "last.ckpt", "w", zipfile.ZIP_DEFLATED) as packed:
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    refused("is compressed, which torch.save never does", load_model, tmp_path / "last.ckpt", VQVAE)
    refused("does not load as plain tensors", lambda: read_tensors(tmp_path / "last.ckpt", folder_of="any"))


def test_videos_are_bounded_and_name_no_other_files(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tiny.make_clip(0, 8, video=True, size=(64, 48)).video
    assert probe(video).frames == 8
    place = video.rindex(b"avc1") + 28  # the size in the container's description of the track
    assert video[place : place + 4] == struct.pack(">HH", 48, 64)
    giant = video[:place] + struct.pack(">HH", 65535, 65535) + video[place + 4 :]
    assert probe(giant).width == 48  # the pictures count, not what the container claims
    monkeypatch.setattr(reading, "LARGEST_PIXELS", 64 * 48 - 1)
    refused("pictures of 48×64, at most .* are read", probe, video)
    for name, text in {
        "list.m3u8": "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "list.mp4": "ffconcat version 1.0\nfile secret.mp4\n",
    }.items():
        (tmp_path / name).write_text(text)
        refused("a list of other files|cannot be read as video", probe, tmp_path / name)


def wav(rate: int, samples: int) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8)
    return b"RIFF" + struct.pack("<I", 36 + samples) + b"WAVEfmt " + form + b"data" + struct.pack("<I", samples) + bytes([128]) * samples


def test_sound_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_audio(wav(8000, 8000), sample_rate=16000)) == 16000
    refused("1 samples per second, 1000 to 768000 are read", lambda: read_audio(wav(1, 100_000), sample_rate=16000))
    monkeypatch.setattr(reading, "LONGEST_SECONDS", 2.0)
    refused("hours by its time stamps, at most 0 are read", lambda: read_audio(wav(8000, 24_000), sample_rate=16000))
