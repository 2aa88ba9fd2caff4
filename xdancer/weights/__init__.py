"""Small pretrained weights that ship with the package; each has its licence text in `licenses/` and a block in NOTICE."""

from dataclasses import dataclass
from pathlib import Path

from xdancer.errors import CheckpointError


@dataclass(frozen=True)
class ShippedWeights:
    """A weight file of the package."""

    name: str
    sha256: str
    licence: str
    licence_files: tuple[str, ...]
    """Texts in `licenses/`."""
    use: str


SHIPPED = (
    ShippedWeights(
        "MTT_musicnn.safetensors", "6437d106d25f800cfda04b679120575ceafff7a26827bcedc1281df95a620c71", "ISC",
        ("musicnn.txt",), "music features",
    ),
    ShippedWeights(
        "face_128d_fp16.safetensors", "d8fc383f3c3d64e7f41bc34e8a1993f7e32599792c83fe45f9bd9de1947bc895", "CC0 (conversion MIT)",
        ("dlib-models.txt", "face-api.txt"), "likeness of faces",
    ),
    ShippedWeights(
        "lpips_alex_v0.1_fp16.safetensors", "9c93d607e297a593077a874793b2e0385a27a6e4b9ac3e143de35f2993819138", "BSD",
        ("lpips.txt", "torchvision.txt"), "perceptual distance",
    ),
)  # fmt: skip


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
