"""Pictures, videos and sound in and out (PyAV, Pillow): every media file the project reads or writes passes here.

Time 0 is the first picture of a video; sound is cut or padded to it, so encoder priming and container offsets cannot shift a beat.
"""

from xdancer.media.pictures import read_image
from xdancer.media.provenance import made_by_model
from xdancer.media.reading import (
    Picture,
    Source,
    VideoFrames,
    VideoInfo,
    frame_times,
    probe,
    read_audio,
    read_stereo,
    read_video,
    sound_seconds,
    stream_video,
)
from xdancer.media.writing import encode_audio, encode_video, grow_video, repack_video, write_video

__all__ = [
    "Picture", "Source", "VideoFrames", "VideoInfo", "encode_audio", "encode_video", "frame_times", "grow_video", "made_by_model", "probe",
    "read_audio", "read_image", "read_stereo", "read_video", "repack_video", "sound_seconds", "stream_video", "write_video",
]  # fmt: skip
