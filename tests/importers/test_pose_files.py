"""One dance, written as each system writes it, comes back the same; what is missing or guessed is said."""

import importlib.util
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from xdancer.errors import PoseError
from xdancer.importers.pose_files import PoseFile, read_pose_file

_spec = importlib.util.spec_from_file_location("pose_writers", Path(__file__).parents[1] / "support" / "pose_writers.py")
assert _spec is not None
assert _spec.loader is not None
writers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(writers)
HEIGHT, WIDTH, FRAMES, BODY_18, BODY_25 = writers.HEIGHT, writers.WIDTH, writers.FRAMES, writers.BODY_18, writers.BODY_25
dance, shares, musepose, animate_x, openpose = writers.dance, writers.shares, writers.musepose, writers.animate_x, writers.openpose
comfyui, disco, write, folder = writers.comfyui, writers.disco, writers.write, writers.folder


def same(found: PoseFile, pose: np.ndarray, *, measured: bool, parts: slice = slice(None)) -> None:
    """The keypoints that are there lie where they were, the others have confidence 0."""
    there = pose[:, parts, 2] > 0
    assert found.pose.shape == (len(pose), 60, 3)
    assert found.pose.dtype == np.float32
    assert found.confidence_known is measured
    np.testing.assert_allclose(found.pose[:, parts][there][:, :2], pose[:, parts][there][:, :2], atol=2e-6)
    np.testing.assert_allclose(found.pose[:, parts, 2], pose[:, parts, 2] if measured else there, atol=1e-6)


def test_our_own(tmp_path: Path) -> None:
    pose = dance()
    found = read_pose_file(write(tmp_path / "a.npy", pose.astype(np.float32)))
    same(found, pose, measured=True)
    assert (found.format, found.fps, found.size, found.notes) == ("xdancer", None, None, ())
    np.testing.assert_array_equal(found.pose[2, 3, :2], found.pose[1, 3, :2])  # last known position
    np.testing.assert_array_equal(found.pose[0, 18:39, :2], found.pose[2, 18:39, :2])  # first known one
    same(read_pose_file(write(tmp_path / "fortran.npy", np.asfortranarray(pose))), pose, measured=True)
    one = read_pose_file(write(tmp_path / "one.npy", pose[3].astype(">f2")), size=(HEIGHT, WIDTH))
    assert one.pose.shape == (1, 60, 3)
    assert one.size == (HEIGHT, WIDTH)


@pytest.mark.parametrize("wrap", [lambda frames: frames, lambda frames: frames.tolist()], ids=["npy", "pkl"])
def test_musepose(wrap, tmp_path: Path) -> None:
    pose, content = dance(), wrap(musepose(dance()))
    path = write(tmp_path / ("a.npy" if isinstance(content, np.ndarray) else "a.pkl"), content)
    found = read_pose_file(path, size=(HEIGHT, WIDTH))
    same(found, pose, measured=False)
    assert (found.format, found.fps, found.size) == ("musepose", None, (HEIGHT, WIDTH))
    assert found.notes == ("no confidences in the file: 1 stands for there, 0 for missing",)
    np.testing.assert_array_equal(found.pose[2, 3, :2], found.pose[1, 3, :2])
    with pytest.raises(PoseError, match=r"musepose files of this kind do not say how large the pictures are. Give the size \(height, width\)"):
        read_pose_file(path)


def test_musepose_with_scores_keeps_them(tmp_path: Path) -> None:
    found = read_pose_file(write(tmp_path / "a.npy", musepose(dance(), scores=True)), size=(HEIGHT, WIDTH))
    same(found, dance(), measured=True)
    assert found.notes == ()


def test_animate_x(tmp_path: Path) -> None:
    pose = dance()
    found = read_pose_file(write(tmp_path / "a.pkl", animate_x(pose)))
    same(found, pose, measured=False)
    assert (found.format, found.fps, found.size) == ("animate-x", 24.0, (HEIGHT, WIDTH))
    bare = {"bodies": animate_x(pose)["bodies"], "fps": np.int64(29)}
    found = read_pose_file(write(tmp_path / "bare.pkl", bare), size=(HEIGHT, WIDTH))
    same(found, pose, measured=False, parts=slice(18))
    assert not found.pose[:, 18:, 2].any()
    assert found.fps == 29.0
    assert "29.97 is likely" in found.notes[0]
    found = read_pose_file(write(tmp_path / "other.pkl", animate_x(pose) | {"fps": 0}), size=(100, 100))
    assert found.fps is None
    assert found.size == (HEIGHT, WIDTH)
    assert [note[:40] for note in found.notes[:2]] == ["the file's frame rate is no number from ", "the file's own size 640×480 is used, not"]


@pytest.mark.parametrize("body", [BODY_18, BODY_25], ids=["coco-18", "body-25"])
def test_openpose_folder(body: tuple[str, ...], tmp_path: Path) -> None:
    pose = dance()
    path = folder(tmp_path / "clip", {f"clip2_{frame:012d}_keypoints.json": openpose(pose[frame], body=body) for frame in range(FRAMES)})
    found = read_pose_file(path, size=(HEIGHT, WIDTH))
    same(found, pose, measured=True)
    assert (found.format, found.fps, found.size) == ("openpose", None, (HEIGHT, WIDTH))
    assert found.notes == ("coordinates are taken for pixels",)
    with pytest.raises(PoseError, match="Give the size"):
        read_pose_file(path)


def test_comfyui(tmp_path: Path) -> None:
    pose = dance()
    found = read_pose_file(write(tmp_path / "a.json", [comfyui(frame) for frame in pose]))
    same(found, pose, measured=False)
    assert (found.format, found.fps, found.size) == ("comfyui", None, (HEIGHT, WIDTH))
    fractions = [comfyui(frame) for frame in pose]
    for frame in fractions:
        for person in frame["people"]:
            for name in ("pose_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"):
                points = np.array(person[name]).reshape(-1, 3) / (WIDTH, HEIGHT, 1)
                person[name] = points.ravel().tolist() or None
    found = read_pose_file(write(tmp_path / "b.json", fractions))
    same(found, pose, measured=False)
    assert "coordinates are taken for shares of the width and height (0 … 1)" in found.notes


def test_disco(tmp_path: Path) -> None:
    pose = dance()
    path = folder(tmp_path / "clip", {f"{frame + 1:04d}.png.json": disco(pose[frame]) for frame in range(FRAMES)})
    found = read_pose_file(path, size=(HEIGHT, WIDTH))
    same(found, pose, measured=True, parts=slice(18))  # with the neck from the shoulders
    assert not found.pose[:, 18:, 2].any()
    assert (found.format, found.notes) == ("disco", ())
    without = pose.copy()
    without[:, 5] = 0
    found = read_pose_file(write(tmp_path / "one.json", disco(without[0])), size=(HEIGHT, WIDTH))
    assert found.pose[0, [1, 5], 2].tolist() == [0, 0]


def test_the_largest_box_of_each_frame_is_followed_and_said(tmp_path: Path) -> None:
    pose, small = dance(), dance(1, spread=0.2)
    frames = [comfyui(small[n], pose[n]) if n % 2 else comfyui(pose[n], small[n]) for n in range(FRAMES - 1)]
    frames.append(comfyui())
    found = read_pose_file(write(tmp_path / "a.json", frames))
    wanted = pose.copy()
    wanted[-1] = 0
    same(found, wanted, measured=False)
    assert "several people in 4 of 5 frames: the largest box of each frame is followed" in found.notes
    found = read_pose_file(write(tmp_path / "a.npy", musepose(small, pose)), size=(HEIGHT, WIDTH))
    same(found, pose, measured=False)


def test_frames_without_a_file_and_numbers_without_zeros(tmp_path: Path) -> None:
    pose = np.concatenate([dance(), dance(1), dance(2)])
    names = {f"{2 * n}.json": openpose(pose[n]) for n in range(15) if n != 7}
    found = read_pose_file(folder(tmp_path / "clip", names), size=(HEIGHT, WIDTH))
    wanted = pose.copy()
    wanted[7] = 0
    same(found, wanted, measured=True)
    assert found.notes[0] == "1 of 15 frames have no file: taken for frames that show nobody"


def test_confidences_a_little_above_one_are_cut_and_said(tmp_path: Path) -> None:
    frame = openpose(dance()[3])
    frame["people"][0]["pose_keypoints_2d"][2] = 1.05
    found = read_pose_file(write(tmp_path / "a.json", frame), size=(HEIGHT, WIDTH))
    assert found.pose[0, 0, 2] == 1
    assert "confidences up to 1.05 were cut to 1" in found.notes


def test_content_tells_the_kind_not_the_name(tmp_path: Path) -> None:
    same(read_pose_file(write(tmp_path / "a.txt", pickle.dumps(animate_x(dance())))), dance(), measured=False)
    stream = io.BytesIO()
    np.save(stream, dance())
    same(read_pose_file(write(tmp_path / "b.json", stream.getvalue())), dance(), measured=True)
    text = b"\xef\xbb\xbf\n" + json.dumps([comfyui(frame) for frame in dance()]).encode()
    same(read_pose_file(write(tmp_path / "c.npy", text)), dance(), measured=False)


def test_the_result_checks_itself() -> None:
    with pytest.raises(ValueError, match=r"PoseFile needs float32 \(frame, 60, 3\), got float64 \(2, 60, 3\)"):
        PoseFile(np.zeros((2, 60, 3)), None, None, True, "xdancer")
