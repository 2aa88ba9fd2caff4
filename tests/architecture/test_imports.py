"""The doors between rooms (DESIGN: which room may import which), read from the source by ast."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPEN = {
    "adapters", "batches", "device", "errors", "files", "integrity", "optimizers", "progress", "schedule", "skeleton",
    "strict", "tensors", "types", "weights", "workers",
}  # fmt: skip
"""Rooms open to all: torch, small libraries and files, no imports of other rooms."""
SYSTEMS = ("module.py", "joint.py")
"""Files of a stage that hold a LightningModule."""
STAGES = {"vqvae", "motion_gpt", "video_diffusion"}
ROOMS: dict[str, set[str]] = {
    "data": {"media"},
    "audio": {"pose", "media"},
    "pose": {"audio", "media"},
    "media": {"audio", "pose"},
    "embedded": {"data", "audio", "pose", "media"},
    "importers": {"data", "audio", "pose", "media", "prepare"},
    "prepare": {"data", "audio", "pose", "media", "report", "metrics", "importers"},
    "metrics": {"pose", "audio"},
    "pipelines": {*STAGES, "audio", "pose", "media", "checkpoint"},
    "checkpoint": STAGES,
    "application": set(),
    "cli": {"application"},
    "cluster": {"application"},
}
"""Room of the library → rooms it may import besides itself and the open ones; commands and what serves them may import everything."""
FREE = {"commands", "doctor", "planning", "demo", "reproduce", "report", "evaluation", "__main__", "__init__"}
"""Commands and the rooms behind single commands."""
APPLICATION = {
    "train.py": {"cli"},
    "datamodules": {"data", "embedded", "media"},
    "callbacks": {"metrics", "pose", "media", "checkpoint"},
}


def imports(path: Path) -> list[str]:
    """Dotted names of the modules that a file imports, `from x import y` as `x` and `x.y`; what only type checkers read is left out."""
    found: list[str] = []
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= {id(inner) for inner in ast.walk(node)}
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def rooms(names: list[str]) -> set[str]:
    """Rooms of xdancer among imported names."""
    return {name.split(".")[1] for name in names if name.startswith("xdancer.")}


def library() -> list[Path]:
    return sorted(path for path in (ROOT / "xdancer").rglob("*.py") if "_application" not in path.parts)


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "xdancer").parts
    return parts[0] if len(parts) > 1 else path.stem


def stage_doors(path: Path, names: list[str]) -> set[str]:
    """What a file of a stage imports and may not."""
    own, wrong = room_of(path), set()
    for name in names:
        if not name.startswith("xdancer."):
            continue
        room, _, rest = name.removeprefix("xdancer.").partition(".")
        if room in OPEN or (room == own and rest.split(".")[0] != "module"):
            continue
        if path.name == "pose_guider.py" and name.startswith("xdancer.pose.render"):  # reads the pictures that other people's weights read
            continue
        other_model = room in STAGES and rest.split(".")[0] in ("", "model")
        if other_model or (room == "checkpoint" and path.name in (*SYSTEMS, "handover.py")):  # handover.py: loading of upstream stages
            continue
        if path.name == "joint.py" and (room == "vqvae" or name.startswith("xdancer.video_diffusion.module")):  # trains stage 1 along with 3
            continue
        wrong.add(name)
    return wrong


@pytest.mark.parametrize("path", library(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_through_its_doors_only(path: Path) -> None:
    names, room = imports(path), room_of(path)
    if room in STAGES:
        assert not stage_doors(path, names)
    elif room in OPEN:
        assert rooms(names) <= OPEN
    elif room not in FREE:
        assert room in ROOMS, f"{room} is no room of the design: give it doors here"
        assert rooms(names) <= {room, *OPEN, *ROOMS[room]}
    tops = {name.split(".")[0] for name in names}
    assert not tops & {"datamodules", "callbacks", "train"}
    if path.name not in (*SYSTEMS, "command_line.py", "checkpoints.py", "interruption.py", "logs.py"):
        assert not tops & {"lightning", "pytorch_lightning"}


@pytest.mark.parametrize("place", sorted(APPLICATION))
def test_the_application_stays_thin(place: str) -> None:
    target = ROOT / place
    for path in [target] if target.is_file() else sorted(target.rglob("*.py")):
        assert rooms(imports(path)) <= APPLICATION[place] | OPEN, path


def test_the_console_entry_imports_the_standard_library_only() -> None:
    tree = ast.parse((ROOT / "xdancer/__main__.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in top if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_files_and_functions_stay_readable() -> None:
    """Hard limits: 400 lines a file, 60 lines a function (without signature and docstring)."""
    for path in library() + sorted((ROOT / "datamodules").glob("*.py")) + sorted((ROOT / "callbacks").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[min(ast.get_docstring(node) is not None, len(node.body) - 1)]
                assert (node.end_lineno or 0) - first.lineno + 1 <= 60, f"{path}:{node.lineno} {node.name}"


def test_importing_the_application_folders_needs_no_package_on_top() -> None:
    """`callbacks` and `configs` are names of others on PyPI: they are no top-level packages of the wheel."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["xdancer"]
