"""Where the demo leaves its things."""

from dataclasses import dataclass
from pathlib import Path

from xdancer.checkpoint import SHIPPED
from xdancer.weights import shipped_model


@dataclass(frozen=True)
class Folders:
    """Paths below the demo's folder."""

    root: Path
    shipped: bool = False
    """Whether the model is the one in the package and not trained by this demo."""

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def train(self) -> Path:
        return self.data / "train"

    @property
    def val(self) -> Path:
        return self.data / "val"

    @property
    def test(self) -> Path:
        return self.data / "test"

    def run(self, name: str) -> Path:
        """Folder of a training run."""
        return self.root / "runs" / name

    def checkpoint(self, name: str) -> Path:
        """Newest checkpoint of a training run, or what stands for it."""
        return Path(SHIPPED) if self.shipped else self.run(name) / "last.ckpt"

    @property
    def model(self) -> Path:
        return shipped_model() if self.shipped else self.root / "model"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    @property
    def motion_figures(self) -> Path:
        return self.evaluation / "motion.json"

    @property
    def video_figures(self) -> Path:
        return self.evaluation / "video.json"

    @property
    def unseen_figures(self) -> Path:
        return self.evaluation / "unseen.json"

    @property
    def portrait(self) -> Path:
        return self.root / "portrait.png"

    @property
    def portrait_pose(self) -> Path:
        return self.root / "portrait_pose.npy"

    @property
    def song(self) -> Path:
        return self.root / "song.m4a"

    @property
    def dance(self) -> Path:
        return self.root / "dance.mp4"

    @property
    def side_by_side(self) -> Path:
        return self.root / "side_by_side.mp4"

    @property
    def dance_pose(self) -> Path:
        return self.root / "dance_pose.npy"

    @property
    def logs(self) -> Path:
        return self.root / "logs"
