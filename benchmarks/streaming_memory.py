"""Peak memory of making a whole video file: 60 s of song against 6 s, through `xdancer generate`, each in a process of its own.

    python benchmarks/streaming_memory.py [--model DIR] [--seconds 6 60]

Without --model a model folder of the demo's sizes with random weights: memory does not depend on the values. Song: noise. One JSON line;
`growth` is the long one's peak by the short one's, wanted at most 1.1.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from _measure import print_row

CHILD = """
import resource, sys
from xdancer.__main__ import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
sys.exit(code)
"""


def random_model(folder: Path) -> Path:
    """The demo's three stages with random weights."""
    import yaml

    from xdancer.application import config_path
    from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
    from xdancer.pipelines.dance import DancePipeline
    from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
    from xdancer.vqvae.model import VQVAE, VQVAEConfig

    def sizes(stage: str) -> dict[str, object]:
        run = yaml.safe_load(config_path(f"demo/{stage}.yaml").read_text())
        return run["model"]["init_args"]["config"]

    models = VQVAE(VQVAEConfig(**sizes("vqvae"))), MotionGPT(MotionGPTConfig(**sizes("gpt")))
    DancePipeline(*models, VideoDiffusion(VideoDiffusionConfig(**sizes("video_temporal")))).save_pretrained(folder)
    return folder


def peak(model: Path, seconds: float, root: Path) -> float:
    """Most resident MiB while a video of that length is made."""
    import numpy as np
    import soundfile
    from PIL import Image

    from xdancer.pipelines.standing import standing_pose

    rate = 22050
    soundfile.write(root / "song.wav", np.random.default_rng(0).uniform(-0.3, 0.3, int(seconds * rate)).astype(np.float32), rate)
    Image.fromarray(np.full((128, 128, 3), 127, np.uint8)).save(root / "portrait.png")
    np.save(root / "pose.npy", standing_pose())
    files = {"image": "portrait.png", "pose": "pose.npy", "music": "song.wav", "out": "dance.mp4"}
    flags = [word for name, file in files.items() for word in (f"--{name}", str(root / file))]
    command = [sys.executable, "-c", CHILD, "generate", "--model", str(model), "--device", "cpu", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Both lengths, one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seconds", type=float, nargs=2, default=[6.0, 60.0])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = arguments.model or random_model(root / "model")
        short, long = (peak(model, seconds, root) for seconds in arguments.seconds)
    name = f"peak memory of a video of {arguments.seconds[1]:g} s against {arguments.seconds[0]:g} s, MiB"
    print_row(name, ours=long, reference=short, ratio=short / long, target=1 / 1.1, growth=long / short)


if __name__ == "__main__":
    main()
