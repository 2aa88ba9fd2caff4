"""Bytes of clips in shards, and what a training step reads of them, calculated from the layout of the members (xdancer/data/members.py)."""

from collections.abc import Mapping
from typing import Any

from xdancer.audio.encoder import FEATURE_WIDTHS
from xdancer.data.members import FLOAT32_FEATURES
from xdancer.planning.assumptions import Clips
from xdancer.skeleton import KEYPOINT_COUNT

POSE_ROW = KEYPOINT_COUNT * 3 * 4
"""Bytes of a frame: x, y and confidence of 60 keypoints in float32."""
MUSIC_ROWS = {name: width * (4 if name in FLOAT32_FEATURES else 2) for name, width in FEATURE_WIDTHS.items()}
"""Bytes of a frame by feature: the narrow ones in float32, the wide ones in float16."""
TOKEN_ROW = 30 * 2
"""Bytes of a frame's motion tokens at the paper's sizes: 5 parts of 6, 16 bits each."""
EMBEDDING_ROW = 768 * 2
"""Bytes of a picture's CLIP embedding, float16."""
PREPARED = ("pose", "librosa", "musicnn", "video", "mask", "audio", "meta")
"""Members that `xdancer prepare` writes by default."""
ADDED = ("beat_phase", "jukebox")
"""Music features on demand."""
DERIVED = ("tokens", "latents", "embedding")
BLOCK, HEADER = 512, 512
"""Tars round every member up to blocks and put a header before it."""
NPY_HEADER = 128


def latent_row(height: int, width: int, channels: int = 4) -> int:
    """Bytes of a picture's cached latents: mean and deviation of `channels` for every 8 × 8 pixels, float16."""
    return 2 * channels * (height // 8) * (width // 8) * 2


def storage(clips: Clips, *, height: int = 896, width: int = 512) -> dict[str, int]:
    """Bytes of all clips by kind of member: rows · frames or rate · seconds, the member's headers and the rounding of tars counted.

    The last three are derived and lie beside the shards: `xdancer tokenize`, `xdancer cache-latents`.
    """
    rows = {"pose": POSE_ROW, **MUSIC_ROWS, "tokens": TOKEN_ROW, "latents": latent_row(height, width), "embedding": EMBEDDING_ROW}
    sizes = {name: NPY_HEADER + row * clips.frames for name, row in rows.items()}
    rates = {"video": clips.video_mbits, "mask": clips.mask_mbits, "audio": clips.audio_mbits}
    sizes |= {name: clips.member(rate) for name, rate in rates.items()} | {"meta": clips.meta_bytes}
    return {name: clips.number * (HEADER + -(-sizes[name] // BLOCK) * BLOCK) for name in (*PREPARED, *ADDED, *DERIVED)}


def sample_bytes(data: Mapping[str, Any], clips: Clips, *, height: int = 896, width: int = 512) -> int:
    """What a sample of `data` (the `data` section of a training config) takes from the shards.

    Stage 1: one pose. Stage 2: poses or tokens of history and segment, and music rows for both and the lookahead. Stage 3: poses of the
    window and the portrait's, and the clip's video and mask twice, once for the window and once for the portrait; or their cached latents.
    """
    arguments = data["init_args"]
    if "pose_window" in arguments:
        poses = (arguments["pose_window"] + 1) * POSE_ROW
        if arguments.get("latents"):
            return poses + (arguments["frames"] + 1) * latent_row(height, width) + EMBEDDING_ROW
        return poses + 2 * (clips.member(clips.video_mbits) + clips.member(clips.mask_mbits))
    if arguments["stage"] == "vqvae":
        return POSE_ROW
    frames = arguments["history_frames"] + arguments["segment_frames"]
    music = sum(MUSIC_ROWS[name] for name in arguments["features"])
    return frames * (TOKEN_ROW if arguments.get("tokens") else POSE_ROW) + (frames + arguments["lookahead_frames"]) * music
