"""The restricted reader gives what Python's own unpickler gives, for plain values and arrays, and nothing else."""

import collections
import os
import pickle
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from xdancer.errors import XDancerError
from xdancer.importers import restricted
from xdancer.importers.restricted import read_pickle

CONTENT = {
    "numbers": [0, -1, 255, 65536, 2**40, -(2**70), 1.5, True, False, None],
    "texts": ("", "ä" * 300, b"bytes", b"", "x" * 70000),
    "nested": {"a": {1: [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]}, 2.5: "float key"},
    "size": (480, 640, 3),
}
ARRAYS = [
    np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)), np.arange(6, dtype=">f4")[::2],
    np.zeros((0, 18, 2)), np.float32(3.5), np.array(7), np.array([True, False]), np.array(["ab", "c"]), np.arange(300_000, dtype=np.float16),
]  # fmt: skip


class Runs:
    """Pickles as a call of something else."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_it_reads_what_python_reads(protocol: int) -> None:
    assert read_pickle(pickle.dumps(CONTENT, protocol), where="file") == CONTENT
    for array in ARRAYS:
        data = pickle.dumps({"array": array, "again": array}, protocol)
        ours, theirs = read_pickle(data, where="file"), pickle.loads(data)
        for name in ("array", "again"):
            assert ours[name].dtype.newbyteorder("=") == theirs[name].dtype.newbyteorder("=")
            assert ours[name].shape == theirs[name].shape
            np.testing.assert_array_equal(ours[name], theirs[name])
    shared = [1.0]
    ours = read_pickle(pickle.dumps([shared, shared, np.array([{"a": np.ones(2)}, None], dtype=object)], protocol), where="file")
    assert ours[0] is ours[1]
    np.testing.assert_array_equal(ours[2][0]["a"], np.ones(2))
    assert ours[2].shape == (2,)
    assert not read_pickle(pickle.dumps(np.ones(3), protocol), where="file").flags.writeable


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_names_of_numpy_1_and_2_both_load(protocol: int) -> None:
    for array in (np.arange(6.0).reshape(2, 3), np.float64(2.0), np.array([{"a": 1}], dtype=object)):
        data = pickle.dumps(array, protocol)
        assert b"numpy._core." in data  # written by numpy 2
        older = data
        for module in (b"multiarray", b"numeric"):  # the text of protocol 4 has its length in front
            new, old = b"numpy._core." + module, b"numpy.core." + module
            older = older.replace(bytes([len(new)]) + new, bytes([len(old)]) + old).replace(b"c" + new, b"c" + old)
        assert b"numpy._core." not in older
        assert b"numpy.core." in older
        np.testing.assert_array_equal(read_pickle(older, where="file"), array)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {marker}",), r"(posix|nt)\.system"),
        (eval, ("open('{marker}', 'w')",), r"(builtins|__builtin__)\.eval"),
        (subprocess.run, ("touch {marker}",), r"(subprocess|commands)\.run"),
        (np.load, ("{marker}",), r"numpy\.load"),
        (np.memmap, ("{marker}", "u1", "w+", 0, 5), r"numpy\.memmap"),
        (getattr, ("text", "upper"), r"(builtins|__builtin__)\.getattr"),
        (collections.OrderedDict, (), r"collections\.OrderedDict"),
        (bytearray, (2**40,), r"(builtins|__builtin__)\.bytearray"),
        (zlib.decompress, (b"",), r"zlib\.decompress|_codecs\.encode"),
    ],
)  # fmt: skip
def test_every_other_name_is_refused_and_not_called(function, arguments, name: str, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    call = Runs(function, *(part.format(marker=marker) if isinstance(part, str) else part for part in arguments))
    for value in (call, {"bodies": [call]}, np.array([{"a": 1}, call], dtype=object)):
        with pytest.raises(XDancerError, match=f"clip.pkl: the pickle asks for '({name})': only plain values and numpy arrays are read"):
            read_pickle(pickle.dumps(value, protocol), where="clip.pkl")
    assert not marker.exists()


HEAD = b"\x80\x04"
NDARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
OBJECTS = b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R"
FLOATS = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R"


def state(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    """An array with a state of one's own."""
    return HEAD + NDARRAY + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb."


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (state(b"M\xe8\x03\x85", OBJECTS, b"]"), r"shape \(1000,\) and content for 0 elements"),  # numpy itself reads beyond the list
        (state(b"J\xff\xff\xff\x7f\x85", FLOATS, b"C\x08" + bytes(8)), r"shape \(2147483647,\) and content for 1 elements"),
        (state(b"J\xff\xff\xff\xff\x85", FLOATS, b"C\x00"), "without a possible shape"),
        (state(b"K\x01\x85", FLOATS, b"]K\x01a"), "without content of its type"),
        (state(b"K\x01\x85", b"cnumpy\ndtype\nX\x03\x00\x00\x00V16\x89\x88\x87R", b"C\x10" + bytes(16)), "an array of 'V16'"),
        (HEAD + b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.", "an array of a size of its own"),
        (HEAD + b"cnumpy.core.multiarray\n_reconstruct\nX\x05\x00\x00\x00thingK\x00\x85C\x01b\x87R.", "another kind than numpy.ndarray"),
        (HEAD + b"cnumpy\ndtype\n}X\x01\x00\x00\x00aNsb.", "sets the state of a _Global"),
        (HEAD + b"cnumpy\ndtype\nN}X\x04\x00\x00\x00makeNs\x86b.", "sets the state of a _Global"),
        (HEAD + b"]K\x01\x85R.", "calls a value"),
        (HEAD + b"cnumpy\nndarray\n)\x81.", "a pickle with NEWOBJ"),
        (HEAD + b"(ios\nsystem\n.", "asks for 'os.system'"),
        (HEAD + b"(cos\nsystem\no.", "asks for 'os.system'"),
        (HEAD + b"\x82\x01.", "a pickle with EXT1"),
        (HEAD + b"K\x01Q.", "a pickle with BINPERSID"),
        (HEAD + b"\x97.", "a pickle with NEXT_BUFFER"),
        (HEAD + b"\x8f.", "a pickle with EMPTY_SET"),
        (HEAD + b"]\x8c\x01a\x93.", "asks for 'list.a'"),
        (HEAD + b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "_codecs.encode"),
        (HEAD + b"N" + b"\x85" * 1_000_000 + b".", "nested deeper than 32"),
        (HEAD + b"]" * 100 + b"a" * 99 + b".", "nested deeper than 32"),
        (HEAD + b"}N\x85Ns.", "a dictionary key of type tuple"),
        (HEAD + b"NK\x01a.", "appends to something else than a list"),
        (HEAD + b"]K\x01K\x01s.", "sets items of something else than a dictionary"),
        (HEAD + b"]r\xff\xff\xff\xff", "damaged pickle"),  # a memo of 2**32 places in Python's own unpickler
        (HEAD + b"\x8e" + b"\xff" * 7 + b"\x7f" + b"abc.", "damaged pickle"),
        (HEAD + b"\x96" + b"\xff" * 7 + b"\x7f" + b"abc.", "damaged pickle"),
        (HEAD + b"h\x07.", "damaged pickle"),
        (HEAD + b"t.", "damaged pickle"),
        (HEAD + b".", "damaged pickle"),
        (HEAD, "damaged pickle"),
        (b"", "damaged pickle"),
        (b"no pickle at all", "pickle"),
    ],
)  # fmt: skip
def test_malicious_and_damaged_pickles_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(XDancerError, match=words) as refused:
        read_pickle(data, where="clip.pkl")
    assert str(refused.value).startswith("clip.pkl: ")
    assert len(str(refused.value)) < 400


def test_a_file_cannot_unfold() -> None:
    text = b"X\xe8\x03\x00\x00" + b"a" * 1000 + b"\x940"  # protocol 4 remembers it; POP is no known instruction
    with pytest.raises(XDancerError, match="a pickle with POP"):
        read_pickle(HEAD + text + b".", where="file")
    text = b"](X\xe8\x03\x00\x00" + b"a" * 1000 + b"q\x00X\x06\x00\x00\x00latin1q\x01c_codecs\nencode\nq\x02e"
    with pytest.raises(XDancerError, match="unfolds to more than the file"):
        read_pickle(HEAD + text + b"](" + b"h\x02h\x00h\x01\x86R" * 1000 + b"e.", where="file")
    many = b"](](" + b"N" * 1000 + b"eq\x00e"
    arrays = (NDARRAY + b"(K\x01M\xe8\x03\x85" + OBJECTS + b"\x89h\x00tb") * 200
    with pytest.raises(XDancerError, match="unfolds to more than the file"):
        read_pickle(HEAD + many + b"](" + arrays + b"e.", where="file")


def test_endless_files_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restricted, "MOST_INSTRUCTIONS", 100)
    with pytest.raises(XDancerError, match="more than 100 instructions"):
        read_pickle(pickle.dumps(list(range(200))), where="file")


def test_random_damage_never_does_worse_than_refuse() -> None:
    rng = np.random.default_rng(0)
    whole = pickle.dumps({"bodies": np.ones((2, 18, 2)), "frames": np.array([{"a": np.ones(3)}], dtype=object), "size": (4, 5)})
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] = rng.integers(256)
        try:
            read_pickle(bytes(data), where="file")
        except XDancerError:
            refused += 1
    assert refused > 60
