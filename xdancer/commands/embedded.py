"""`xdancer embedded`: write the embedded data set as shards."""

from pathlib import Path


def embedded(
    *,
    out: Path = Path("data/demo"),
    clips: int = 480,
    val_clips: int = 24,
    test_clips: int = 48,
    seconds: float = 8.0,
    video_clips: int | None = 96,
    evaluation_video_clips: int | None = 24,
    size: int = 128,
    features: list[str] | None = None,
    seed: int = 0,
    free_dances: float = 0.0,
    workers: int = 2,
) -> None:
    """Generate songs, dances and dancers: OUT/train, OUT/val, OUT/test. A stopped build continues with the same command.

    Args:
        out: folder for the three splits.
        clips: training clips.
        val_clips: validation clips.
        test_clips: test clips.
        seconds: length of every clip.
        video_clips: how many training clips carry video (null = all; stages 1 and 2 need none).
        evaluation_video_clips: how many validation and test clips carry video, each (null = all).
        size: width and height of the video in pixels.
        features: music features among librosa, beat_phase, musicnn and jukebox, such as '[librosa, musicnn]' (the default).
        seed: another seed gives other clips.
        free_dances: share of the clips danced in a style of their own, half of them to every second beat of the song; for training conditions
            (`styles`, `motion_figures`) that the song would tell otherwise.
        workers: processes.

    Raises:
        ShardError: OUT holds other shards, or the disk is full.
    """
    from xdancer.embedded.build import EmbeddedConfig, build_embedded

    config = EmbeddedConfig(
        train_clips=clips, val_clips=val_clips, test_clips=test_clips, seconds=seconds, video_clips=video_clips,
        evaluation_video_clips=evaluation_video_clips, size=size, seed=seed,
        free_dances=free_dances,
        features=EmbeddedConfig.features if features is None else tuple(features),
    )  # fmt: skip
    build_embedded(out, config, workers=workers)
    print(f"{out}: {clips} + {val_clips} + {test_clips} clips of {seconds:g} s. Look at one: xdancer shards show {out}/test test-00000")
