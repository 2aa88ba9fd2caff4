"""Small pretrained weights that ship with the package; each has its licence text in `licenses/` and a block in NOTICE."""

from pathlib import Path

from xdancer.errors import CheckpointError


def weights_path(name: str) -> Path:
    """Path of a shipped weight file, such as `MTT_musicnn.safetensors`.

    Raises:
        CheckpointError: no such file lies in the package.
    """
    folder = Path(__file__).parent
    path = folder / name
    if not path.is_file():
        present = ", ".join(sorted(file.name for file in folder.glob("*.safetensors"))) or "none"
        raise CheckpointError(f"Shipped weights {name!r} are not in {folder} (present: {present}). Reinstall xdancer.")
    return path
