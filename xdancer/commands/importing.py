"""`xdancer import`: data sets and motion of other kinds → shards, without a detector."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xdancer.errors import XDancerError

if TYPE_CHECKING:
    from xdancer.importers.dances import Dance, ImportReport


FLAGS = {
    "poses": ("videos", "edge", "finedance"), "groups": ("videos",), "pose_fps": ("videos", "edge", "finedance"), "music": ("aist",),
    "cameras": ("aist",), "official_splits": ("aist",),
}  # fmt: skip
"""Flag of `xdancer import dataset` → the layouts that it belongs to."""


def mocap(
    file: Path, *, out: Path, cameras: int = 4, seed: int = 0, held_out: float = 0.15, style: str | None = None,
    licence: str = "terms of the source",
) -> None:  # fmt: skip
    """Show 3D motion capture to several cameras and write what they see as shards for stage 1: bodies without hands, music or pictures.

    Args:
        file: .npz of joints in OpenPose-18 order, metres, y up. Either arrays (frames, 18, 3) named SUBJECT_RECORDING, so that dancers of one
            recording stay in one split, and optionally a number fps (30 if absent); or positions (frames, 18, 3), fps, starts and names.
        out: folder of the splits train, val and test.
        cameras: around every take.
        seed: of the cameras and the splits.
        held_out: share of the recordings in val, and again in test.
        style: name kept with every clip.
        licence: terms of the source, kept in the manifest.

    Raises:
        XDancerError: a file of another layout, too few recordings, or folders that hold something else.
    """
    from xdancer.importers.mocap import import_takes

    if cameras < 1 or not 0 < held_out < 0.5:
        raise XDancerError(f"--cameras {cameras} --held-out {held_out:g}: at least one camera, and a share between 0 and 0.5.")
    written = import_takes(file, out, count=cameras, seed=seed, held_out=held_out, style=style, licence=licence)
    counts = " + ".join(f"{count} {split}" for split, count in written.items())
    print(f"{out}: {counts} clips. Train stage 1 on it and on others together: --data.init_args.train '[data/train, {out}/train]'")


def dataset(
    folder: Path, *, out: Path, layout: Literal["auto", "videos", "aist", "edge", "finedance"] = "auto", poses: Path | None = None,
    music: Path | None = None, cameras: str = "1", official_splits: bool = False, groups: Path | None = None, pose_fps: float | None = None,
    features: str = "librosa,musicnn", val: float = 0.1, test: float = 0.1, width: int = 512, height: int = 896, min_seconds: float = 5.0,
    max_seconds: float = 20.0, licence: str = "terms of the source",
) -> "ImportReport":  # fmt: skip
    """Write a data set whose poses are known already as shards for stages 1 and 2: poses, music features and sound, no pictures.

    Files that are damaged, and pickles that ask for a program, are left out with the reason; the others go on.

    Args:
        folder: videos/*.mp4 beside a folder of pose files of the same names, such as videos_dwpose/ (MusePose .npy, Animate-X .pkl; OpenPose,
            ComfyUI or DisCo .json, or folders of them; our .npy); or AIST++'s annotations/ with keypoints2d/, the songs in --music; or EDGE's
            or FineDance's folder, whose SMPL motions are refused, with 2D pose files of the songs' names in --poses.
            For instance: xdancer import dataset aist_plusplus_final --music aist_wavs --cameras 1,5 --out data/aist
        out: folder of the splits train, val and test, and of import.json, which says what was left out and why.
        layout: where the folders do not tell: videos, aist (wants keypoints2d/), edge (wavs_sliced/), finedance (music_wav/, label_json/).
        poses: folder of the pose files, called like the videos or the songs.
        music: folder of AIST's songs (mBR0.wav …), of one sound per dance, or of the AIST videos.
        cameras: of AIST++, such as 1,5 or all; 1 stands in front of the dancer.
        official_splits: of AIST++ for music to dance: its training list and its test list. Its validation shares the test's songs and is left
            out; validation takes songs from training (--val).
        groups: CSV with the columns video,song for the layout videos; splits never share a song. Without it each file name is a song.
        pose_fps: of pose files that have another rate than their videos, or none.
        features: music features, separated by commas: librosa, beat_phase, musicnn, jukebox; none leaves the music out, for stage 1 alone.
        val: share of the songs for validation (at least one from two songs on).
        test: share of the songs for testing (at least one from three songs on).
        width: of the window around the dancer, as `xdancer prepare` chooses it; only its aspect matters.
        height: of the window.
        min_seconds: shorter clips are left out.
        max_seconds: longer dances are cut into equal clips.
        licence: terms of the source, kept in the manifests.

    Raises:
        XDancerError: no known layout, no dance that can be used, or splits that lie in OUT already.
    """
    from xdancer.importers.dances import ImportPlan, import_dances
    from xdancer.importers.layouts import recognise
    from xdancer.prepare.settings import PrepareSettings
    from xdancer.progress import Steps

    names = () if features.strip() == "none" else tuple(name.strip() for name in features.split(",") if name.strip())
    settings = PrepareSettings(
        width=width, height=height, min_seconds=min_seconds, max_seconds=max_seconds, features=names or ("librosa",)
    )  # fmt: skip
    kind = recognise(folder) if layout == "auto" else layout
    given = {
        "poses": poses is not None, "groups": groups is not None, "pose_fps": pose_fps is not None, "music": music is not None,
        "cameras": cameras != "1", "official_splits": official_splits,
    }  # fmt: skip
    for flag in (flag for flag, said in given.items() if said and kind not in FLAGS[flag]):
        layouts = " and ".join(filter(None, (", ".join(FLAGS[flag][:-1]), FLAGS[flag][-1])))
        raise XDancerError(f"--{flag.replace('_', '-')}: belongs to the layout {layouts}, {folder} is {kind}. Leave it out.")
    splits: dict[str, str] = {}
    if kind == "aist":
        dances, left_out, splits = _aist(folder, music, cameras, official=official_splits, silent=not names)
    else:
        dances, left_out = _paired(folder, kind, poses, groups, pose_fps)
    plan = ImportPlan(licence, names, settings, val, 0.0 if splits else test, splits)
    print(f"import: {folder} ({kind}) → {out}, {len(dances)} dances, no detector", flush=True)
    with Steps() as steps:
        report = import_dances(dances, out, plan, layout=kind, left_out=left_out, progress=steps)
    for line in report.lines():
        print(line)
    print(f"What was left out, guessed and chosen: {out / 'import.json'}. Next: xdancer shards verify {out}")
    return report


def _aist(
    folder: Path, music: Path | None, cameras: str, *, official: bool, silent: bool
) -> "tuple[list[Dance], dict[str, str], dict[str, str]]":  # fmt: skip
    from xdancer.importers.aist import CAMERAS, aist_dances, annotations, official_splits
    from xdancer.importers.layouts import sounds_in

    words = [str(number) for number in range(1, CAMERAS + 1)] if cameras == "all" else cameras.replace("c", "").split(",")
    if not all(word.strip().isdecimal() and 1 <= int(word) <= CAMERAS for word in words):
        raise XDancerError(f"--cameras {cameras}: numbers from 1 to {CAMERAS}, separated by commas, or all.")
    if music is None and not silent:
        raise XDancerError(
            f"{folder}: AIST++ holds no music. Give the folder of AIST's songs (mBR0.wav …) with --music, or --features none for stage 1."
        )
    place = annotations(folder) or folder
    sounds = {} if music is None or silent else sounds_in(music)
    dances, left_out = aist_dances(place, sounds, tuple(sorted({int(word) for word in words})))
    if not official:
        return dances, left_out, {}
    kept, others, splits = official_splits(place, dances)
    return kept, left_out | others, splits


def _paired(
    folder: Path, kind: Literal["auto", "videos", "aist", "edge", "finedance"], poses: Path | None, groups: Path | None, pose_fps: float | None
) -> "tuple[list[Dance], dict[str, str]]":  # fmt: skip
    from xdancer.importers.layouts import edge_sounds, read_labels, smpl_only, sound_dances, sounds_in, video_dances

    if pose_fps is not None and not 1 <= pose_fps <= 1000:
        raise XDancerError(f"--pose-fps {pose_fps:g}: must lie in 1 … 1000.")
    if kind == "videos":
        return video_dances(folder, poses=poses, groups=groups, pose_fps=pose_fps)
    if poses is None:
        raise smpl_only(folder, kind)
    labels = read_labels(folder) if (folder / "label_json").is_dir() else {}
    places = edge_sounds(folder) if kind == "edge" else [path for path in [folder / "music_wav"] if path.is_dir()]
    if not places:
        raise XDancerError(f"{folder}: no {'wavs_sliced' if kind == 'edge' else 'music_wav'}/ with the songs. Give the folder of the data set.")
    return sound_dances(sounds_in(*places), poses, pose_fps=pose_fps, labels=labels)


def labels(folder: Path, *, out: Path, videos: Path | None = None) -> None:
    """Write the songs in FineDance's label_json/ as a CSV for `xdancer prepare VIDEOS --groups CSV`, so that splits share no song.

    Args:
        folder: of FineDance, with label_json/001.json …
        out: the CSV file, with the columns video,song,style.
        videos: folder of the videos, called 001.mp4 …: only their rows are written, as --groups wants them.

    Raises:
        XDancerError: no labels, or none of them belongs to a video.
    """
    from xdancer.importers.layouts import write_groups

    rows = write_groups(folder, out, videos=videos)
    print(f"{out}: {rows} rows. Next: xdancer prepare {videos or 'VIDEOS'} --groups {out} --out data")


IMPORT = {"dataset": dataset, "labels": labels, "mocap": mocap}
