"""One clip of the embedded data set: song, music features, dance, and where planned the pictures."""

import numpy as np

from xdancer.audio.encoder import encode_music
from xdancer.embedded.choreography import make_dance, phrases_danced
from xdancer.embedded.identity import make_identity
from xdancer.embedded.plan import ClipPlan, EmbeddedConfig
from xdancer.embedded.puppet import render_frames
from xdancer.embedded.song import make_song
from xdancer.media import encode_audio, encode_video
from xdancer.skeleton import VISIBLE
from xdancer.types import FPS, ClipSample

DETECTOR = "exact (xdancer.embedded)"
LICENCE = "Apache-2.0; two motion loops zlib (PyPI pybullet)"


def make_clip(plan: ClipPlan, config: EmbeddedConfig) -> ClipSample:
    """Compute one planned clip; a pure function of its arguments."""
    frames = config.frames
    song = make_song(plan.song_style, plan.song, plan.grid, seconds=frames / FPS, energy=plan.energy)
    identity = make_identity(plan.identity)
    dance = make_dance(plan.style, plan.phrases, plan.dance_grid, frames=frames, identity=identity, energy=plan.energy, accent=plan.accent)
    features = encode_music(song.waveform, song.sample_rate, frames, config.features)
    video = mask = None
    if plan.video:
        pictures, masks = render_frames(dance.body, identity, size=config.size)
        video, mask = encode_video(pictures), encode_video(np.repeat(masks[..., None], 3, axis=-1))
    confidence = dance.pose[..., 2]
    meta = {
        "source": f"xdancer.embedded seed {config.seed} {plan.key}",
        "song": plan.song,
        "width": config.size,
        "height": config.size,
        "beats": [round(float(beat), 6) for beat in song.beats],
        "tempo": round(plan.grid.tempo, 6),
        "start_phase": round(plan.grid.start_phase, 6),
        "style": plan.style,
        "identity": plan.identity,
        "phrase": "+".join(phrases_danced(plan.phrases, plan.dance_grid, frames)),
        "energy": round(plan.energy, 4),
        "detector": DETECTOR,
        "quality": {
            "body_visible": round(float((confidence[:, :18] >= VISIBLE).mean()), 4),
            "hands_visible": round(float((confidence[:, 18:] >= VISIBLE).mean()), 4),
        },
        "licence": LICENCE,
    }
    if config.free_dances:
        meta |= {"song_style": plan.song_style, "dance_tempo": round(plan.dance_grid.tempo, 6)}
    audio = encode_audio(song.waveform, song.sample_rate)
    return ClipSample(key=plan.key, pose=dance.pose, features=features, meta=meta, video=video, audio=audio, mask=mask)
