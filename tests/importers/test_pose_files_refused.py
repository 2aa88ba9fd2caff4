"""Files of poses that are damaged, of another kind or malicious are refused with the reason, and run nothing."""

import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xdancer.errors import PoseError, XDancerError
from xdancer.importers import pose_files, pose_json
from xdancer.importers.pose_files import read_pose_file

_spec = importlib.util.spec_from_file_location("pose_writers", Path(__file__).parents[1] / "support" / "pose_writers.py")
assert _spec is not None
assert _spec.loader is not None
writers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(writers)
HEIGHT, WIDTH, dance, musepose = writers.HEIGHT, writers.WIDTH, writers.dance, writers.musepose
animate_x, openpose, comfyui, disco, write = writers.animate_x, writers.openpose, writers.comfyui, writers.disco, writers.write
folder, Runs = writers.folder, writers.Runs


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
