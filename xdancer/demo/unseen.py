"""A portrait and a song that no stage has seen: from different held-out clips, as files for `xdancer generate`."""

from pathlib import Path

from xdancer.data.reader import ShardReader
from xdancer.demo.files import write_bytes, write_picture
from xdancer.errors import ShardError
from xdancer.evaluation.clips import with_video
from xdancer.media import read_video
from xdancer.pipelines.pose_file import save_poses


def write_unseen(*, data: Path, portrait: Path, pose: Path, song: Path) -> None:
    """The first frame of the first held-out clip with a video, its exact pose, and the last held-out clip's song.

    Args:
        data: folder of the held-out shards.
        portrait: the .png to write.
        pose: the .npy to write, (60, 3).
        song: the .m4a to write.

    Raises:
        ShardError: no clip with a video, or no other clip with a song.
    """
    reader = ShardReader(data)
    people = with_video(reader)
    songs = [
        key
        for key in reversed(reader.keys)
        if reader.has(key, "audio.m4a") and people and reader.meta(key)["song"] != reader.meta(people[0])["song"]
    ]
    if not songs or not people:
        raise ShardError(f"{data}: needs a clip with a video and another one with a song.")
    write_picture(portrait, read_video(reader.member(people[0], "video.mp4"), count=1).frames[0])
    save_poses(pose, reader.pose(people[0], 0, 1)[0])
    write_bytes(song, reader.member(songs[0], "audio.m4a"))
