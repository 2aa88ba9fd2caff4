"""Whatever a file holds: a value, or an error of ours in one line."""

import contextlib
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdancer.checkpoint import load_model, save_model
from xdancer.data.derived import read_derived
from xdancer.data.manifest import meta_fault
from xdancer.data.members import decode_json, encode_array, parse_header
from xdancer.data.shards import ShardReader
from xdancer.data.tar_scan import tar_members
from xdancer.data.transfer import command_words, within
from xdancer.errors import ShardError, XDancerError
from xdancer.importers.pose_files import read_pose_file
from xdancer.importers.restricted import read_pickle
from xdancer.integrity import check_hashes
from xdancer.strict import parse_array, parse_json
from xdancer.vqvae.model import VQVAE, VQVAEConfig

quick = settings(derandomize=True, max_examples=30, deadline=None, database=None)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
"""Any JSON value."""


def places(value: Any, here: tuple = ()) -> list[tuple]:
    """Paths to every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for name, item in inside for place in places(item, (*here, name)))]


def changed(value: Any, place: tuple, new: Any) -> Any:
    """A copy of a JSON value with another value at one path."""
    if not place:
        return new
    copy = json.loads(json.dumps(value))
    target = copy
    for name in place[:-1]:
        target = target[name]
    target[place[-1]] = new
    return copy


def only_ours(read: Callable[[], object], *kinds: type[Exception]) -> None:
    """Read; nothing but errors of ours may come."""
    with contextlib.suppress(XDancerError, *kinds):
        read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


@pytest.fixture(scope="module")
def split(tiny, folder: Path) -> Path:
    return tiny.write_split(folder / "train", [tiny.make_clip(0, 12), tiny.make_clip(1, 12)])


@quick
@given(st.binary(max_size=200))
def test_any_bytes_as_pickle_json_array_and_header(data: bytes) -> None:
    only_ours(lambda: read_pickle(b"\x80\x04" + data, where="file"))
    only_ours(lambda: parse_json(data), ValueError)
    only_ours(lambda: decode_json(data), ValueError)
    only_ours(lambda: parse_array(data), ValueError)
    only_ours(lambda: parse_array(b"\x93NUMPY\x01\x00" + data), ValueError)
    only_ours(lambda: parse_header(b"\x93NUMPY\x02\x00" + data, 0, len(data)), ValueError)


@quick
@given(ANYTHING)
def test_plain_values_survive_the_restricted_reader(value: Any) -> None:
    assert read_pickle(pickle.dumps(value, 4), where="file") == value
    assert parse_json(json.dumps(value)) == json.loads(json.dumps(value))


@quick
@given(st.text(alphabet="{}'()[]<>=,: 0123456789abdefhnoprstuFT_-", max_size=100))
def test_any_header_of_an_array(text: str) -> None:
    head = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    only_ours(lambda: parse_header(head, 0, len(head)), ValueError)
    only_ours(lambda: parse_array(head + bytes(64)), ValueError)


@quick
@given(st.integers(0, 2**40) | st.integers(-5, 5), st.integers(0, 3), st.sampled_from(["<f4", ">f8", "|O", "<f2", "|V7", "<U0"]))
def test_no_shape_takes_more_than_the_file_has(length: int, axes: int, code: str) -> None:
    text = str({"descr": code, "fortran_order": False, "shape": (length,) * axes})
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(48)
    with contextlib.suppress(ValueError):
        assert parse_array(content).nbytes == 48


def test_arrays_round_trip() -> None:
    for array in (np.arange(6, dtype="<f4").reshape(2, 3), np.zeros((0, 4)), np.array(3), np.array(["a", "bc"])):
        np.testing.assert_array_equal(parse_array(encode_array(array)), array)


@quick
@given(ANYTHING)
def test_any_metadata(value: Any) -> None:
    sound = {"source": "a", "song": "b", "width": 4, "height": 4, "beats": [0.5], "tempo": 120.0}
    assert meta_fault(sound) is None
    for name in sound:
        fault = meta_fault({**sound, name: value})
        assert fault is None or len(fault) < 200


@quick
@given(st.data())
def test_any_index_and_manifest(split: Path, data: st.DataObject) -> None:
    for name in ("index.json", "manifest.json"):
        path = split / name
        text = path.read_text()
        sound = json.loads(text)
        path.write_text(json.dumps(changed(sound, data.draw(st.sampled_from(places(sound))), data.draw(ANYTHING))))
        try:
            only_ours(lambda: [(reader.pose(0), reader.meta(0), reader.feature(0, "librosa")) for reader in [ShardReader(split)]])
        finally:
            path.write_text(text)


@quick
@given(st.data())
def test_any_derived_json(folder: Path, data: st.DataObject) -> None:
    sound = {
        "member": "tokens.npy", "base": "a", "maker": {"row": [4], "parts": 5, "slots": 6, "codes": 512}, "schema": 1, "places": [[0, 512]],
        "shards": [{"name": "shard-000000.tar", "bytes": 1024, "sha256": "0"}],
    }  # fmt: skip
    (folder / "derived.json").write_text(json.dumps(sound))
    read_derived(folder)
    (folder / "derived.json").write_text(json.dumps(changed(sound, data.draw(st.sampled_from(places(sound))), data.draw(ANYTHING))))
    only_ours(lambda: read_derived(folder))


PERSON = {"pose_keypoints_2d": [1.0, 2.0, 0.5] * 18, "hand_left_keypoints_2d": [0.0] * 63}
OPENPOSE = [{"people": [PERSON], "canvas_width": 9, "canvas_height": 9}]
ARRAYS = st.builds(np.zeros, st.lists(st.integers(0, 4), max_size=4), st.sampled_from("fiOU?"))


@quick
@given(st.data())
def test_any_json_and_pickle_of_poses(folder: Path, data: st.DataObject) -> None:
    path = folder / "pose"
    path.write_text(json.dumps(changed(OPENPOSE, data.draw(st.sampled_from(places(OPENPOSE)[:40])), data.draw(ANYTHING))))
    only_ours(lambda: read_pose_file(path))
    bodies = {"bodies": np.full((3, 18, 2), 0.5), "hands": np.zeros((3, 2, 21, 2)), "size": (9, 9), "fps": 30.0, "body_indices": None}
    value = data.draw(ANYTHING | ARRAYS)
    frame = {"bodies": {"candidate": value, "subset": value}}
    for content in (bodies | {data.draw(st.sampled_from(sorted(bodies))): value}, [frame], [value], value):
        path.write_bytes(pickle.dumps(content, 4))
        only_ours(lambda: read_pose_file(path, size=(9, 9)))


@quick
@given(st.data())
def test_any_bytes_in_a_tar(folder: Path, split: Path, data: st.DataObject) -> None:
    content = bytearray((split / "shard-000000.tar").read_bytes()[:4096])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content[:512] = tarfile.TarInfo.create_pax_global_header({"size": "-1"})[:512]
    (folder / "a.tar").write_bytes(content)
    with contextlib.suppress(ShardError):
        for member in tar_members(folder / "a.tar"):
            assert 0 <= member.offset <= member.offset + member.size <= len(content)


@quick
@given(st.text(max_size=20))
def test_any_name_stays_a_file_of_its_folder(name: str) -> None:
    only_ours(lambda: command_words(f"pipe:{name}"))
    try:
        address = within("pipe:cat /data/{}", name)
    except ShardError:
        return
    program, path = command_words(address)
    assert (program, path) == ("cat", f"/data/{name}")
    assert not any(part.startswith((".", "-")) for part in name.split("/"))


CONFIG = VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)
SMALL = st.none() | st.booleans() | st.integers(-3, 40) | st.floats(-3, 3) | st.text(max_size=4) | st.lists(st.integers(0, 9), max_size=3)


@settings(quick, max_examples=25)
@given(st.data())
def test_any_config_of_a_model_folder(folder: Path, data: st.DataObject) -> None:
    model = folder / "vqvae"
    if not (model / "config.json").exists():
        save_model(VQVAE(CONFIG), model)
    text = (model / "config.json").read_text()
    sound = json.loads(text)
    try:
        (model / "config.json").write_text(json.dumps(changed(sound, data.draw(st.sampled_from(places(sound))), data.draw(SMALL))))
        only_ours(lambda: load_model(model, VQVAE))
    finally:
        (model / "config.json").write_text(text)
    index = {"format": 1, "stages": {"vqvae": {"fingerprint": "a"}, "motion_gpt": {"fingerprint": "b"}}, "sha256": {"vqvae/config.json": "c"}}
    (folder / "model_index.json").write_text(json.dumps(changed(index, data.draw(st.sampled_from(places(index))), data.draw(ANYTHING))))
    try:
        only_ours(lambda: check_hashes(folder), FileNotFoundError)
        only_ours(lambda: load_model(model, VQVAE))
    finally:
        (folder / "model_index.json").unlink()
