"""No call that runs what a file or a name says: unpickling, shells, eval, unpacking of archives. Read from the source by ast."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "eval": "runs text",
    "exec": "runs text",
    "compile": "runs text",
    "__import__": "runs a module by name",
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "asyncio.create_subprocess_shell": "a shell",
    "pickle.load": "unpickles",
    "pickle.loads": "unpickles",
    "pickle.Unpickler": "unpickles",
    "marshal.load": "unmarshals",
    "marshal.loads": "unmarshals",
    "shelve.open": "unpickles",
    "dill.load": "unpickles",
    "dill.loads": "unpickles",
    "joblib.load": "unpickles",
    "cloudpickle.load": "unpickles",
    "cloudpickle.loads": "unpickles",
    "pandas.read_pickle": "unpickles",
    "yaml.load": "builds objects",
    "yaml.load_all": "builds objects",
    "yaml.full_load": "builds objects",
    "yaml.unsafe_load": "builds objects",
    "torch.hub.load": "runs a repository",
    "tempfile.mktemp": "a name that others can take",
    "shutil.unpack_archive": "unpacks",
    "torch.jit.load": "runs a program",
}
"""Called name → why not."""
UNPACKING = {"extractall", "extract"}
"""Methods of archives: members may be named `../x`."""
ALLOWED = {
    ("xdancer/metrics/networks/i3d.py", "torch.jit.load"): "published I3D exists as TorchScript alone; runs operators, no Python",
    ("xdancer/audio/jukebox.py", "jukemirlib.extract"): "music features, no archive",
}
"""(file, name) → why yes. The restricted reader of pickles (importers/restricted.py) needs none: it calls no unpickler."""


def problems(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and reason of every forbidden call."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func, names)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in FORBIDDEN:
            yield node.lineno, name, FORBIDDEN[name]
        if name == "torch.load" and not _is(keywords.get("weights_only"), True):
            yield node.lineno, name, "without weights_only=True"
        if name == "numpy.load" and not _is(keywords.get("allow_pickle", ast.Constant(False)), False):
            yield node.lineno, name, "with allow_pickle"
        if "shell" in keywords and not _is(keywords["shell"], False):
            yield node.lineno, name, "a shell"
        if isinstance(node.func, ast.Attribute) and node.func.attr in UNPACKING:
            yield node.lineno, name, "unpacks an archive"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Name in this file → what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0], alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    return f"{_dotted(node.value, names)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def sources() -> list[Path]:
    folders = ("xdancer", "callbacks", "datamodules", "benchmarks")
    return [
        ROOT / "train.py",
        *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "_application" not in path.parts),
    ]


def test_no_file_of_the_project_makes_such_a_call() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}: {reason}"
        for path in sources()
        for line, name, reason in problems(path.read_text(encoding="utf-8"))
        if (path.relative_to(ROOT).as_posix(), name) not in ALLOWED
    ]
    assert not found, "\n".join(found)


def test_every_exception_is_still_needed() -> None:
    for place, name in ALLOWED:
        assert name in [found for _, found, _ in problems((ROOT / place).read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle\npickle.loads(data)",
        "from pickle import load as read\nread(file)",
        "import pickle as p\np.Unpickler(file).load()",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch as t\nt.load(path, weights_only=flag)",
        "from torch import load\nload(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=x)",
        "import subprocess\nsubprocess.run(line, shell=True)",
        "from subprocess import Popen\nPopen(line, shell=wanted)",
        "import os\nos.system(line)",
        "from os import popen\npopen(line)",
        "eval(text)",
        "exec(text)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.unsafe_load(text)",
        "import tarfile\ntarfile.open(path).extractall(place)",
        "archive.extract(member)",
        "import torch.hub\ntorch.hub.load('a/b', 'c')",
        "import joblib\njoblib.load(path)",
        "def f():\n    import pickle\n    pickle.load(file)",
    ],
)
def test_the_check_sees(bad: str) -> None:
    assert len(list(problems(bad))) == 1


@pytest.mark.parametrize(
    "good",
    [
        "import pickle\npickle.dumps(value)",
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, mmap_mode='r', allow_pickle=False)",
        "model.eval()",
        "import yaml\nyaml.safe_load(text)",
        "import subprocess\nsubprocess.run(words, shell=False)",
        "import re\nre.compile(text)",
    ],
)
def test_the_check_lets_pass(good: str) -> None:
    assert not list(problems(good))
