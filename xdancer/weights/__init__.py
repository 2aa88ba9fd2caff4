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


def shipped_model() -> Path:
    """The model folder of all three stages in the package, trained on the embedded data set (its README.md is the model card).

    Raises:
        CheckpointError: this copy of the package came without it.
    """
    folder = Path(__file__).parent / "model"
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(f"The shipped model is not in {folder}. Reinstall xdancer, or name a model folder of your own.")
    return folder


def shipped_portrait() -> tuple[Path, Path]:
    """The portrait in the package, a dancer of the embedded data set whom no training has seen, and its exact pose, (60, 3)."""
    return Path(__file__).parent / "portrait.png", Path(__file__).parent / "portrait_pose.npy"
