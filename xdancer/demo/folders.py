"""Where the demo leaves its things."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """Paths below the demo's folder."""

    root: Path
    motion: str | None = None
    """Where stages 1 and 2 come from, if not from runs of this demo."""

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
        """Newest checkpoint of a training run; of stages 1 and 2 what stands for them."""
        return Path(self.motion) if self.motion and name in ("vqvae", "gpt") else self.run(name) / "last.ckpt"

    @property
    def model(self) -> Path:
        return self.root / "model"

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
