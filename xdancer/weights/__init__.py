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


def shipped_motion() -> Path:
    """The model folder of stages 1 and 2 in the package, trained on the embedded data set (its README.md is the model card).

    Raises:
        CheckpointError: this copy of the package came without it.
    """
    folder = Path(__file__).parent / "motion"
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(f"The shipped motion model is not in {folder}. Reinstall xdancer, or name a model folder of your own.")
    return folder
