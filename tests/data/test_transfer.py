"""Fetching under injected failures: what passes is tried again, what does not is said at once, and nothing damaged gets through."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from xdancer.data import transfer
from xdancer.data.transfer import beside, command_words, fetch, is_remote, within, within_folder
from xdancer.errors import ShardError, XDancerError

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    monkeypatch.setattr(transfer, "TIMEOUT", 0.3)


@pytest.fixture(scope="module")
def faulty() -> ModuleType:
    path = Path(__file__).parents[1] / "support/faulty_server.py"
    spec = importlib.util.spec_from_file_location("faulty_server", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(faulty: ModuleType, tmp_path: Path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/file").write_bytes(CONTENT)
    with faulty.serving(tmp_path / "site") as running:
        yield running


@pytest.mark.parametrize(
    "faults", [[], [500], [503, 429, 408], ["cut"], ["cut", "cut", "cut"], ["flip"], ["stall"], ["more"], ["cut", 416, "flip"]]
)
def test_failures_that_pass_are_survived(server, tmp_path: Path, faults: list) -> None:
    server.faults["file"] = list(faults)
    fetch(f"{server.url}/file", tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert server.count("file") == len(faults) + 1


def test_a_cut_transfer_is_continued_where_a_checksum_will_tell(server, tmp_path: Path) -> None:
    server.faults["file"] = ["cut", "cut"]
    fetch(f"{server.url}/file", tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    assert [asked for _, asked in server.asked] == [None, "bytes=128000-", "bytes=192000-"]
    server.asked.clear()
    server.faults["file"] = ["cut"]
    fetch(f"{server.url}/file", tmp_path / "got")
    assert [asked for _, asked in server.asked] == [None, None]  # nothing would notice that the file changed in between


def test_a_length_that_nobody_else_declared_must_be_met(server, tmp_path: Path) -> None:
    server.faults["file"] = ["long", "cut"]
    fetch(f"{server.url}/file", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert server.count("file") == 3


def test_a_server_without_ranges_begins_anew(server, tmp_path: Path) -> None:
    server.ranges, server.faults["file"] = False, ["cut"]
    fetch(f"{server.url}/file", tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "words", "tries"),
    [
        (404, "Not Found", 1), (403, "Forbidden", 1), (500, "Internal Server Error", 5), ("cut", "ended after", 5),
        ("flip", "arrived with sha256", 5),
        ("short", "ended after 128000 of 256000", 5), ("stall", "timed out", 5), ("more", "more than the 256000 bytes", 5),
    ],
)  # fmt: skip
def test_failures_that_stay_are_named(server, tmp_path: Path, fault, words: str, tries: int) -> None:
    server.ranges = False
    server.faults["file"] = [fault] * 9
    with pytest.raises(ShardError, match=f"Cannot fetch http://.*/file: .*{words}.*Check the address") as refused:
        fetch(f"{server.url}/file", tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    assert server.count("file") == tries
    assert (f"tried {tries} times" in str(refused.value)) == (tries > 1)


def test_pauses_grow_and_leave_the_random_numbers_of_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    pauses, before = [], random.getstate()
    monkeypatch.setattr(transfer, "PAUSE", 1.0)
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    with pytest.raises(ShardError, match=r"Connection refused \(tried 5 times\)"):
        fetch("http://127.0.0.1:1/file", tmp_path / "got")
    assert all(0.5 * 2**number <= pause <= 1.5 * 2**number for number, pause in enumerate(pauses))
    assert len(pauses) == 4
    assert random.getstate() == before


def test_any_store_of_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/train/file", CONTENT)
    fetch("memory://bucket/train/file", tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "got").read_bytes() == CONTENT
    with pytest.raises(ShardError, match="Cannot fetch memory://bucket/train/other"):
        fetch("memory://bucket/train/other", tmp_path / "got")
    with pytest.raises(ShardError, match=r"nosuchstore://x/file: .*Give a folder"):
        fetch("nosuchstore://x/file", tmp_path / "got")


def test_a_store_that_fails_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/file", CONTENT)
    opened, failures = type(memory).open, [OSError("reset"), TimeoutError(), RuntimeError("payload is not complete")]

    def failing(self, path: str, mode: str = "rb", **options):
        if failures:
            raise failures.pop()
        return opened(self, path, mode, **options)

    monkeypatch.setattr(type(memory), "open", failing)
    fetch("memory://bucket/file", tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    assert not failures
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_store_without_its_package_names_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(XDancerError, match=r"s3://bucket/file: .*s3fs.*pip install 'xdancer\[remote\]'"):
        fetch("s3://bucket/file", tmp_path / "got")


def python(code: str) -> str:
    return f'pipe:"{sys.executable}" -c "{code}"'


def test_commands_run_without_a_shell(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    fetch(within(f"pipe:cat {tmp_path}/{{}}", "file"), tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "got").read_bytes() == CONTENT
    marker = tmp_path / "marker"
    fetch(f"pipe:echo $(touch {marker}) `touch {marker}`", tmp_path / "got")
    assert (tmp_path / "got").read_text() == f"$(touch {marker}) `touch {marker}`\n"
    assert not marker.exists()
    for command, words in {
        "pipe:cat a | sh": r"\| needs a shell", "pipe:touch a > b; rm c": "> needs a shell", "pipe:": "no command",
        "pipe:cat 'a": "No closing quotation",
    }.items():  # fmt: skip
        with pytest.raises(ShardError, match=words):
            command_words(command)


def test_commands_that_fail_stall_or_stop_early_are_named(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"ended with code 3: no such host \(tried 5 times\)"):
        fetch("pipe:sh -c 'echo no such host >&2; exit 3'", tmp_path / "got")
    with pytest.raises(ShardError, match=r"sleep sent nothing for 0.3 s"):
        fetch("pipe:sleep 20", tmp_path / "got")
    with pytest.raises(ShardError, match=r"ended after 3 of 256000 bytes"):
        fetch("pipe:printf abc", tmp_path / "got", size=len(CONTENT), sha256=SHA256)
    with pytest.raises(ShardError, match=r"No such file or directory\. Check"):
        fetch("pipe:no-such-program-here", tmp_path / "got")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../b", "-rf", "a b", "pipe:touch x", "a;b", "$(x)", "a'b", "", "x?y=1", "a//b", "http://host/x"]
)
def test_names_from_a_strangers_index_stay_names(name: str) -> None:
    for folder in ("https://host/train", "s3://bucket/train", "pipe:cat /data/{}"):
        with pytest.raises(ShardError, match="is not accepted"):
            within(folder, name)


def test_addresses() -> None:
    for address in ("https://host/x", "http://host/x", "s3://bucket/x", "gs://bucket/x", "pipe:cat /x/{}"):
        assert is_remote(address)
    for path in ("data/train", "/data/train", "C:/data", "./pipe/x", "s3/x"):
        assert not is_remote(path)
        assert not is_remote(Path(path))
    assert within("s3://b/train", "features/jukebox/shard-000000.tar") == "s3://b/train/features/jukebox/shard-000000.tar"
    assert within("pipe:ssh host cat /d/train/{}", "index.json") == "pipe:ssh host cat /d/train/index.json"
    with pytest.raises(ShardError, match=r"a pipe needs \{\}"):
        within("pipe:cat /d/train", "index.json")
    assert beside("s3://b/train", ".tokens") == "s3://b/train.tokens"
    assert beside("pipe:cat /d/train/{}", ".tokens") == "pipe:cat /d/train.tokens/{}"
    assert within_folder("pipe:cat /tokens/{}", "train") == "pipe:cat /tokens/train/{}"
