"""One dance, written as each system writes it, comes back the same; what is missing, guessed or malicious is said."""

import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xdancer.errors import PoseError, XDancerError
from xdancer.importers import pose_files, pose_json
from xdancer.importers.pose_files import PoseFile, read_pose_file

HEIGHT, WIDTH, FRAMES = 480, 640, 5
COCO = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")  # fmt: skip
BODY_18: tuple[str, ...] = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
BODY_25 = (
    *BODY_18[:8],
    "mid_hip",
    *BODY_18[8:],
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)


def dance(seed: int = 0, spread: float = 0.8) -> np.ndarray:
    """(frame, 60, 3) in our coordinates; the right elbow is missing in frame 2, the left hand in frames 0 and 1."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-spread, spread, (FRAMES, 60, 3))
    pose[..., 2] = rng.uniform(0.35, 0.95, (FRAMES, 60))
    pose[:, 1, :2] = (pose[:, 2, :2] + pose[:, 5, :2]) / 2
    pose[:, 1, 2] = np.minimum(pose[:, 2, 2], pose[:, 5, 2])
    pose[2, 3], pose[:2, 18:39] = 0, 0
    return pose


def pixels(pose: np.ndarray) -> np.ndarray:
    """x, y in pixels, confidence; 0, 0, 0 where missing."""
    out = np.concatenate([pose[..., :1] * HEIGHT / 2 + WIDTH / 2, pose[..., 1:2] * HEIGHT / 2 + HEIGHT / 2, pose[..., 2:]], axis=-1)
    return out * (pose[..., 2:] > 0)


def shares(pose: np.ndarray) -> np.ndarray:
    """x, y in 0 … 1, (−1, −1) where missing."""
    return np.where(pose[..., 2:] > 0, pixels(pose)[..., :2] / (WIDTH, HEIGHT), -1.0)


def musepose(*people: np.ndarray, scores: bool = False) -> np.ndarray:
    """One dictionary per frame; the body of a keypoint that is too uncertain keeps its place in `candidate`."""
    frames = []
    for frame in range(FRAMES):
        poses = [person[frame] for person in people]
        body = np.concatenate([np.where(pose[:18, 2:] > 0, shares(pose)[:18], 0.123) for pose in poses])
        subset = [[18 * number + j if pose[j, 2] > 0 else -1 for j in range(18)] for number, pose in enumerate(poses)]
        hands = np.stack([shares(pose)[18:39] for pose in poses] + [shares(pose)[39:] for pose in poses])
        entry: dict[str, Any] = {
            "bodies": {"candidate": body, "subset": np.array(subset, float)},
            "hands": hands,
            "faces": np.zeros((1, 68, 2)),
        }
        if scores:
            entry["bodies"]["score"] = np.stack([pose[:18, 2] for pose in poses])
            entry["hands_score"] = np.stack([pose[18:39, 2] for pose in poses] + [pose[39:, 2] for pose in poses])
        frames.append(entry)
    return np.array(frames)


def animate_x(pose: np.ndarray) -> dict[str, Any]:
    there = pose[:, :18, 2] > 0
    return {
        "bodies": shares(pose)[:, :18], "body_indices": np.where(there, np.arange(18.0), -1), "faces": np.zeros((FRAMES, 68, 2)),
        "hands": np.stack([shares(pose)[:, 18:39], shares(pose)[:, 39:]], axis=1), "size": (HEIGHT, WIDTH, 3), "fps": 24,
    }  # fmt: skip


def openpose(*people: np.ndarray, body: tuple[str, ...] = BODY_18, ones: bool = False) -> dict[str, Any]:
    """One frame; keypoints that we do not have lie at 7, 7."""
    written = []
    for person in people:
        points = pixels(person)
        if ones:
            points[:, 2] = points[:, 2] > 0
        named = dict(zip(BODY_18, points[:18].tolist(), strict=True))
        hands = {
            name: part.ravel().tolist() if part[:, 2].any() else []
            for name, part in (("hand_left_keypoints_2d", points[18:39]), ("hand_right_keypoints_2d", points[39:]))
        }
        flat = [number for name in body for number in named.get(name, [7.0, 7.0, 0.5])]
        written.append({"person_id": [-1], "pose_keypoints_2d": flat, "face_keypoints_2d": [], **hands})
    return {"version": 1.3, "people": written}


def comfyui(*people: np.ndarray) -> dict[str, Any]:
    """One frame."""
    return openpose(*people, ones=True) | {"canvas_height": HEIGHT, "canvas_width": WIDTH}


def disco(*people: np.ndarray) -> list[Any]:
    """One frame; −1, −1, −1 where missing."""
    named = [dict(zip(BODY_18, pixels(person).tolist(), strict=False)) for person in people]
    return [{"keypoints": [one[name] if one[name][2] else [-1, -1, -1] for name in COCO]} for one in named]


def write(path: Path, content: Any) -> Path:
    """By the kind of the content."""
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, np.ndarray):
        with path.open("wb") as file:
            np.save(file, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        path.write_text(json.dumps(content))
    return path


def folder(path: Path, frames: dict[str, Any]) -> Path:
    for name, frame in frames.items():
        write(path / name, frame)
    return path


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


def broken(change) -> Any:
    frame = comfyui(dance()[3])
    change(frame["people"][0])
    return frame


def raw_npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", np.zeros((4, 17, 3)), r"holds float64 \(4, 17, 3\)"),
        ("a.npy", np.zeros((0, 60, 3)), "holds float64"),
        ("a.npy", np.full((4, 60, 3), np.nan), "720 values are NaN or infinite"),
        ("a.npy", np.full((4, 60, 3), 300.0), "coordinates up to 300: pixels"),
        ("a.npy", np.full((4, 60, 3), 1e300), r"coordinates up to 1e\+300: pixels"),
        ("a.pkl", {"bodies": np.full((4, 18, 2), 1e300)}, "bodies: values up to 1e\\+300, beyond any picture"),
        ("a.npy", np.full((4, 60, 3), 1.5), "confidences from 1.5 to 1.5"),
        ("a.npy", np.zeros((4, 60, 3)), "nobody is seen in any of 4 frames"),
        ("a.npy", np.array(["text"]), "its content has"),
        ("a.npy", raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 60, 3)}", bytes(720)), "its content has 720 bytes"),
        ("a.npy", raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -60, 3), }", bytes(2880)), "an impossible shape"),
        ("a.npy", raw_npy("{'descr': '|O', 'fortran_order': False, 'shape': (99999999999,), }", pickle.dumps(np.array([{}]))), "header says"),
        ("a.npy", raw_npy("{'descr': __import__('os').system('true')}"), "a damaged .npy"),
        ("a.npy", b"\x93NUMPY\x09\x00", "a damaged .npy"),
        ("a.npy", np.array([{"bodies": 3}]), "bodies is of type int"),
        ("a.npy", np.array([{"hands": 3}]), "neither a dictionary with `bodies` nor a list"),
        ("a.pkl", {"bodies": np.zeros((4, 17, 2))}, r"shape \(4, 17, 2\), needed is \(any, 18, 2\)"),
        ("a.pkl", {"bodies": [[1, 2]]}, r"bodies: list, needed are numbers \(any, 18, 2\)"),
        ("a.pkl", {"bodies": np.full((4, 18, 2), np.nan)}, "144 values are NaN or infinite. Mark a missing keypoint by −1"),
        ("a.pkl", animate_x(dance()) | {"hands": np.zeros((4, 2, 21, 2))}, r"hands: shape \(4, 2, 21, 2\), needed is \(5, 2, 21, 2\)"),
        ("a.pkl", animate_x(dance()) | {"size": (0, 10)}, "size: no size of a picture"),
        ("a.pkl", animate_x(dance()) | {"bodies": np.full((5, 18, 2), -1.0), "hands": None}, "nobody is seen in any of 5 frames"),
        ("a.pkl", [], "neither a dictionary"),
        ("a.pkl", 3, "neither a dictionary"),
        ("a.json", {"something": 1}, "JSON without poses"),
        ("a.json", [1, 2], "JSON without poses"),
        ("a.json", b"{broken", "not readable as JSON"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'{"people": [{"pose_keypoints_2d": [NaN]}]}', "NaN is not a number"),
        ("a.json", {"people": []}, "nobody is seen in any of 1 frames"),
        ("a.json", broken(lambda person: person["pose_keypoints_2d"].pop()), "pose_keypoints_2d: 53 numbers, needed are 54 or 75"),
        ("a.json", broken(lambda person: person.update(hand_left_keypoints_2d=[1, 2, 3])), "hand_left_keypoints_2d: 3 numbers, needed are 63"),
        ("a.json", broken(lambda person: person["pose_keypoints_2d"].__setitem__(0, "7")), "something else than numbers"),
        ("a.json", broken(lambda person: person["pose_keypoints_2d"].__setitem__(0, True)), "something else than numbers"),
        ("a.json", broken(lambda person: person["pose_keypoints_2d"].__setitem__(2, 2)), "confidences up to 2"),
        ("a.json", broken(lambda person: person.pop("pose_keypoints_2d")), "person 0: no `pose_keypoints_2d`"),
        ("a.json", json.dumps(comfyui(dance()[3])).replace("0.0", "1e999", 1).encode(), "infinite"),
        ("a.json", [comfyui(dance()[3]), comfyui(dance()[3]) | {"canvas_width": 9}], "several sizes"),
        ("a.json", [comfyui(dance()[3]), openpose(dance()[3])], "several formats"),
        ("a.json", comfyui(dance()[3]) | {"canvas_height": None}, "no size of a picture"),
        ("a.json", comfyui(dance()[3]) | {"canvas_width": 64, "canvas_height": 48}, "lie outside of a picture of 64×48"),
        ("a.json", [{"keypoints": [[1, 2, 3]] * 16}], "48 numbers, needed are 51"),
        ("a.json", [{"keypoints": [[1, 2]] * 17}], "17 numbers, needed are 51|something else than numbers"),
        ("a.json", [{"keypoints": [], "image_id": "a"}, {"keypoints": [], "image_id": "b"}], "people of several pictures"),
        ("a.bin", b"PK\x03\x04 an archive", "no file of poses"),
        ("a.npy", b"", "an empty file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(name: str, content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=words) as refused:
        read_pose_file(write(tmp_path / name, content))
    assert str(refused.value).startswith(str(tmp_path / name))
    assert len(str(refused.value)) < len(str(tmp_path)) + 400


def test_musepose_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for change, words in (
        ({"subset": np.full((1, 18), 18.0)}, r"candidate \(18, 2\) and subset \(1, 18\) do not fit"),
        ({"subset": np.full((1, 18), 0.5)}, "do not fit"),
        ({"subset": np.zeros((1, 10))}, "do not fit"),
        ({"candidate": np.zeros((18, 1))}, "do not fit"),
        ({"candidate": None}, r"candidate: NoneType, needed are numbers \(any, any\)"),
        ({"subset": np.zeros((2, 18))}, r"hands: shape \(2, 21, 2\), needed is \(4, 21, 2\)"),
    ):
        frames = musepose(dance())
        frames[1]["bodies"].update(change)
        with pytest.raises(PoseError, match=words) as refused:
            read_pose_file(write(tmp_path / "a.npy", frames), size=(HEIGHT, WIDTH))
        assert "frame 1" in str(refused.value)


def test_coordinates_from_minus_one_to_one_are_refused(tmp_path: Path) -> None:
    frame = openpose(dance()[3])
    for name in ("pose_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"):
        frame["people"][0][name] = (
            ((np.array(frame["people"][0][name]).reshape(-1, 3) / (WIDTH / 2, HEIGHT / 2, 1)) - (1, 1, 0)).ravel().tolist()
        )
    with pytest.raises(PoseError, match="a fifth of the coordinates is negative: from −1 to 1"):
        read_pose_file(write(tmp_path / "a.json", frame), size=(HEIGHT, WIDTH))


class Runs:
    """Pickles as a call of `os.system`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_malicious_files_run_nothing(tmp_path: Path) -> None:
    call = Runs(tmp_path / "marker")
    hidden = musepose(dance())
    hidden[3]["faces"] = np.array([call, None], dtype=object)
    deep: Any = None
    for _ in range(100):
        deep = [deep]
    contents = {
        "a.pkl": call, "b.pkl": animate_x(dance()) | {"extra": call}, "c.npy": hidden, "d.npy": np.array([call]),
        "e.npy": pickle.dumps({"bodies": call}),
    }  # fmt: skip
    for name, content in contents.items():
        with pytest.raises(XDancerError, match=r"the pickle asks for '(posix|nt)\.system'"):
            read_pose_file(write(tmp_path / name, content), size=(HEIGHT, WIDTH))
    with pytest.raises(XDancerError, match="nested deeper than 32"):
        read_pose_file(write(tmp_path / "f.pkl", {"bodies": deep}))
    assert not (tmp_path / "marker").exists()


def test_content_tells_the_kind_not_the_name(tmp_path: Path) -> None:
    same(read_pose_file(write(tmp_path / "a.txt", pickle.dumps(animate_x(dance())))), dance(), measured=False)
    stream = io.BytesIO()
    np.save(stream, dance())
    same(read_pose_file(write(tmp_path / "b.json", stream.getvalue())), dance(), measured=True)
    text = b"\xef\xbb\xbf\n" + json.dumps([comfyui(frame) for frame in dance()]).encode()
    same(read_pose_file(write(tmp_path / "c.npy", text)), dance(), measured=False)


def test_folders_that_are_no_clip(tmp_path: Path) -> None:
    frame = openpose(dance()[3])
    for number, (names, words) in enumerate((
        (("a_1.json", "b_1.json"), "differ in more than a frame number"),
        (("a1_1.json", "a2_2.json"), "differ in more than a frame number"),
        (("1.json", "01.json"), "differ in more than a frame number"),
        (("0.json", "33.json", "67.json", "100.json"), "more than half are missing"),
        (("readme.txt",), "a folder without .json"),
    )):  # fmt: skip
        with pytest.raises(PoseError, match=words):
            read_pose_file(folder(tmp_path / str(number), dict.fromkeys(names, frame)), size=(HEIGHT, WIDTH))
    with pytest.raises(PoseError, match="holds 2 frames"):
        read_pose_file(folder(tmp_path / "clips", {"1.json": [frame, frame], "2.json": [frame]}), size=(HEIGHT, WIDTH))
    with pytest.raises(PoseError, match="several formats"):
        read_pose_file(folder(tmp_path / "mixed", {"1.json": frame, "2.json": disco(dance()[3])}), size=(HEIGHT, WIDTH))


def test_missing_large_and_wrong_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PoseError, match="cannot be read"):
        read_pose_file(tmp_path / "none.npy")
    path = write(tmp_path / "a.npy", musepose(dance()))
    with pytest.raises(PoseError, match=r"size \(0, 640\): no size of a picture"):
        read_pose_file(path, size=(0, WIDTH))
    with monkeypatch.context() as patch:
        patch.setattr(pose_files, "MOST_PEOPLE", 6)
        with pytest.raises(PoseError, match="more than 6 people in 4 frames"):
            read_pose_file(path, size=(HEIGHT, WIDTH))
    monkeypatch.setattr(pose_json, "LARGEST", 1000)
    with pytest.raises(PoseError, match="a file of poses has at most"):
        read_pose_file(path)


def test_the_result_checks_itself() -> None:
    with pytest.raises(ValueError, match=r"PoseFile needs float32 \(frame, 60, 3\), got float64 \(2, 60, 3\)"):
        PoseFile(np.zeros((2, 60, 3)), None, None, True, "xdancer")
