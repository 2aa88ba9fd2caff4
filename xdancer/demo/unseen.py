"""A portrait and a song that no stage has seen: from different held-out clips, as files for `xdancer generate`."""

from pathlib import Path

from PIL import Image

from xdancer.data.reader import ShardReader
from xdancer.errors import MissingPackageError, PoseError, ShardError
from xdancer.evaluation.clips import with_video
from xdancer.evaluation.folder import write_json
from xdancer.files import whole, write_bytes
from xdancer.media import read_video
from xdancer.pipelines.portrait import portrait_pose
from xdancer.pipelines.pose_file import save_poses
from xdancer.pose.detector import make_detector


def write_unseen(*, data: Path, portrait: Path, pose: Path, song: Path, figures: Path) -> None:
    """The first frame of the first held-out clip with a video, its pose as a detector finds it, and the last held-out clip's song.

    Without a detector, or where it finds nobody in the drawn picture, the pose is the exact one of the data set; the figures say which.

    Args:
        data: folder of the held-out shards.
        portrait: the .png to write.
        pose: the .npy to write, (60, 3).
        song: the .m4a to write.
        figures: the .json to write.

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
    picture = read_video(reader.member(people[0], "video.mp4"), count=1).frames[0]
    with whole(portrait) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    try:
        detector = make_detector("mediapipe")
        found, origin = portrait_pose(picture, source=portrait, detector=detector), f"detected, {detector.name} {detector.version}"
    except (MissingPackageError, PoseError) as error:
        found, origin = reader.pose(people[0], 0, 1)[0], f"exact ({' '.join(str(error).split())[:80]}…)"
    save_poses(pose, found)
    write_json(figures, {"demo/portrait_pose": origin})
    write_bytes(song, reader.member(songs[0], "audio.m4a"))
