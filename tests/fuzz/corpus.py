"""Files of every kind that xdancer reads, made from the embedded set, and damaged copies of them."""

import json
import shutil
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xdancer.checkpoint import load_model, save_model
from xdancer.data.shards import ShardReader, ShardWriter, verify
from xdancer.embedded.clip import make_clip
from xdancer.embedded.plan import EmbeddedConfig, plan_clips
from xdancer.errors import ShardError
from xdancer.importers.aist import read_view
from xdancer.importers.pose_files import read_pose_file
from xdancer.importers.takes import read_takes
from xdancer.media import frame_times, probe, read_audio, read_image, read_stereo, read_video
from xdancer.pipelines.pose_file import load_poses
from xdancer.tensors import read_tensors
from xdancer.vqvae.model import VQVAE, VQVAEConfig


@dataclass(frozen=True)
class Kind:
    """One kind of file: the sound one, which of its files is damaged, and everything that reads it."""

    name: str
    path: Path
    """A file, or a folder that is read as a whole."""
    read: Callable[[Path], None]
    damaged: str = ""
    """File of the folder that is damaged."""


def make_kinds(root: Path) -> list[Kind]:
    """Write the sound files below `root`."""
    config = EmbeddedConfig(train_clips=1, val_clips=1, test_clips=1, seconds=2.0, size=64, video_clips=1, features=())
    sample = make_clip(plan_clips(config, "train")[0], config)
    root.mkdir(parents=True, exist_ok=True)
    for name, content in {"video.mp4": sample.video, "sound.m4a": sample.audio}.items():
        (root / name).write_bytes(content)
    kinds = [Kind("mp4", root / "video.mp4", _video), Kind("m4a", root / "sound.m4a", _sound)]
    _write_wav(root / "song.wav", read_audio(root / "sound.m4a", sample_rate=16000))
    picture = Image.fromarray(read_video(root / "video.mp4", count=1).frames[0])
    for name in ("portrait.png", "portrait.jpg", "portrait.webp"):
        picture.save(root / name)
        kinds.append(Kind(name[9:], root / name, lambda path: _ignore(read_image(path))))
    kinds.append(Kind("wav", root / "song.wav", _sound))
    return kinds + _poses(root, sample.pose) + _shards(root, sample) + _models(root)


def _poses(root: Path, pose: np.ndarray) -> list[Kind]:
    np.save(root / "pose.npy", pose)
    pixels = np.where(pose[..., 2:] > 0, (pose[..., :2] + 0.5).clip(0, 1), -1)
    bodies = {"bodies": pixels[:, :18], "hands": pixels[:, 18:].reshape(-1, 2, 21, 2), "size": (64, 64), "fps": 30}
    import pickle

    (root / "pose.pkl").write_bytes(pickle.dumps(bodies))
    frames = np.empty(len(pose), dtype=object)
    for number, points in enumerate(pixels[:, :18]):
        frames[number] = {"bodies": {"candidate": points, "subset": np.arange(18.0)[None]}, "hands": np.full((2, 21, 2), -1.0)}
    np.save(root / "muse.npy", frames)
    people = [{"people": [{"pose_keypoints_2d": [*map(float, (frame[:18] * (64, 64, 1)).ravel())]}]} for frame in np.abs(pose[:4])]
    (root / "pose.json").write_text(json.dumps([{**person, "canvas_width": 64, "canvas_height": 64} for person in people]))
    joints = np.zeros((30, 18, 3), np.float32)
    joints[:, :, 1] = [1.6, 1.45, 1.4, 1.2, 1.0, 1.4, 1.2, 1.0, 0.9, 0.5, 0.1, 0.9, 0.5, 0.1, 1.65, 1.65, 1.62, 1.62]
    joints[:, 0, 2], joints[:, 16, 0], joints[:, 17, 0] = 0.1, -0.08, 0.08
    np.savez(root / "takes.npz", a_1=joints, fps=np.array(30.0))
    seen = np.random.default_rng(0).uniform((800, 200, 0.4), (1100, 900, 0.9), (17, 3)) + np.zeros((9, 20, 17, 3))
    annotation = {"keypoints2d": seen, "det_scores": np.ones((9, 20)), "timestamps": np.arange(20) * 1000 // 60}
    (root / "aist.pkl").write_bytes(pickle.dumps(annotation))

    def poses(path: Path) -> None:
        read_pose_file(path, size=(64, 64))

    return [
        Kind("npy", root / "pose.npy", lambda path: _ignore(load_poses(path), poses(path))),
        Kind("npy of objects", root / "muse.npy", poses),
        Kind("pkl", root / "pose.pkl", poses),
        Kind("pose json", root / "pose.json", poses),
        Kind("pkl of AIST++", root / "aist.pkl", lambda path: _ignore(read_view(path, 1))),
        Kind("npz", root / "takes.npz", lambda path: _ignore(read_takes(path))),
    ]


def _shards(root: Path, sample) -> list[Kind]:
    with ShardWriter(root / "train", split="train", features={}, licence="test") as writer:
        writer.write(sample)

    def read(folder: Path) -> None:
        problems = verify(folder).problems
        reader = ShardReader(folder)
        for clip in range(len(reader)):
            try:
                found = reader.clip(clip)
            except ShardError:
                continue  # a damaged clip is skipped in training, too
            for part in (found.video, found.audio):
                if part is not None:
                    (_video if part is found.video else _sound)(part)
        if problems:
            raise ShardError(problems[0])

    names = {"tar": "shard-000000.tar", "index": "index.json", "manifest": "manifest.json"}
    return [Kind(name, root / "train", read, damaged) for name, damaged in names.items()]


def _models(root: Path) -> list[Kind]:
    torch.manual_seed(0)
    model = VQVAE(VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1))
    save_model(model, root / "vqvae")
    header = json.loads((root / "vqvae/config.json").read_text())
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    notes = {"stage": "vqvae", "config": header["config"]}
    torch.save({"state_dict": weights, "hyper_parameters": notes, "global_step": 1}, root / "last.ckpt")
    torch.save(model.state_dict(), root / "old.pth", _use_new_zipfile_serialization=False)

    def load(path: Path) -> None:
        load_model(path, VQVAE)

    return [
        Kind("ckpt", root / "last.ckpt", load),
        Kind("pth", root / "old.pth", lambda path: _ignore(read_tensors(path, folder_of="VQVAE"))),
        Kind("safetensors", root / "vqvae", load, "model.safetensors"),
        Kind("config.json", root / "vqvae", load, "config.json"),
    ]


def _video(source: Path | bytes) -> None:
    frame_times(source)
    probe(source)
    read_video(source)
    read_video(source, start=10, count=2)


def _sound(source: Path | bytes) -> None:
    read_audio(source, sample_rate=22050)
    read_stereo(source, sample_rate=44100)


def _write_wav(path: Path, sound: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


def _ignore(*_: object) -> None:
    """Reading was all."""


def damaged_copy(kind: Kind, place: Path, rng: np.random.Generator) -> tuple[Path, str]:
    """A copy of the kind's file or folder in `place`, damaged once to three times; and how."""
    place.mkdir(parents=True)
    copy = place / kind.path.name
    shutil.copytree(kind.path, copy) if kind.path.is_dir() else shutil.copyfile(kind.path, copy)
    target = copy / kind.damaged if kind.damaged else copy
    content, done = bytearray(target.read_bytes()), []
    for _ in range(int(rng.integers(1, 4))):
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        damage(content, rng)
        done.append(damage.__name__)
    target.write_bytes(content)
    return copy, " + ".join(done)


def _flip_bits(content: bytearray, rng: np.random.Generator) -> None:
    for position in rng.integers(len(content), size=int(rng.integers(1, 33))) if content else ():
        content[position] ^= 1 << int(rng.integers(8))


def _truncate(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(len(content) + 1)) :]


def _swap_blocks(content: bytearray, rng: np.random.Generator) -> None:
    size = int(rng.integers(1, max(2, len(content) // 4)))
    first, second = sorted(int(place) for place in rng.integers(max(1, len(content) - size), size=2))
    content[first : first + size], content[second : second + size] = content[second : second + size], content[first : first + size]


def _edit_head(content: bytearray, rng: np.random.Generator) -> None:
    """A number near the beginning or the end becomes an extreme one: sizes, counts and offsets stand there."""
    if len(content) < 8:
        return
    near = int(rng.integers(min(len(content) - 4, 600)))
    place = near if rng.random() < 0.6 else len(content) - 4 - near
    content[place : place + 4] = EXTREMES[int(rng.integers(len(EXTREMES)))]


def _zero_block(content: bytearray, rng: np.random.Generator) -> None:
    first = int(rng.integers(len(content) + 1))
    last = min(len(content), first + int(rng.integers(1, 2000)))
    content[first:last] = bytes(last - first)


def _repeat_block(content: bytearray, rng: np.random.Generator) -> None:
    first = int(rng.integers(len(content) + 1))
    content[first:first] = content[first : first + int(rng.integers(1, 2000))]


def _change_digits(content: bytearray, rng: np.random.Generator) -> None:
    """Numbers written as text: JSON, headers of .npy and tar."""
    digits = [place for place, byte in enumerate(content[:4000]) if chr(byte).isdecimal()]
    for place in rng.choice(digits, size=min(3, len(digits)), replace=False) if digits else ():
        content[place] = ord("0") + int(rng.integers(10))


DAMAGES = (_flip_bits, _truncate, _swap_blocks, _edit_head, _edit_head, _zero_block, _repeat_block, _change_digits)
EXTREMES = (bytes(4), b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x01", b"\x80\x00\x00\x00", b"9999")
