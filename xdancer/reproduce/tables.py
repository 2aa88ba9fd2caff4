"""What is compared: each table is a base config and rows that change something, as flags of `train.py fit`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from xdancer.embedded.styles import DANCE_STYLES
from xdancer.errors import XDancerError

Flags = Mapping[str, object]
STYLES = tuple(DANCE_STYLES)
MODEL, DATA = "model.init_args.config.", "data.init_args."


@dataclass(frozen=True)
class Table:
    """A question, and the runs that answer it."""

    question: str
    config: str
    """Below configs/: a run at study size."""
    rows: Mapping[str, Flags]
    """Row → what it changes."""
    reference: str
    """The row that the others are compared with, seed by seed."""
    slots: int | None
    """Tokens per part of the tokenizer that stage 2 is trained on; None where no tokenizer is trained before the rows."""
    measured: Literal["dances", "tokenizer", "videos"] = "dances"
    """What a row is: a motion GPT, a tokenizer, or a renderer."""
    clips: int = 24
    """Held-out clips that are danced to, each with its own song."""
    frames: int = 180
    """Length of each dance."""
    steps: int | None = None
    """Of each training; the config's own number by default."""
    shared: Flags = field(default_factory=dict)
    """What all rows change in the config."""
    free_dances: float = 0.0
    """Of the data set (`EmbeddedConfig.free_dances`)."""
    paired: tuple[str, ...] = ("cross-entropy", "F1", "kernel")
    """Columns whose difference from the reference row is given with an interval."""
    columns: Mapping[str, str] = field(default_factory=lambda: DANCES)
    """Column → figure; definitions in `metrics.motion_table`, `reproduce.measure` and `reproduce.control`."""


DANCES = {
    "cross-entropy": "gpt/cross_entropy",
    "music gain": "gpt/music_gain",
    "F1": "gpt/beat_f1",
    "null": "gpt/beat_f1_null",
    "speed": "gpt/speed_ratio",
    "frozen": "gpt/frozen_share",
    "jerk": "gpt/jerk_ratio",
    "broken": "gpt/broken_share",
    "kernel": "gpt/kernel_kinetic32",
    "border": "gpt/border_ratio",
}
CONTROL = {
    "asked style found": "gpt/style_asked_found",
    "guided": "gpt/style_asked_found_guided",
    "own style found": "gpt/style_own_found",
    "true clips": "gpt/style_true_found",
    "chance": "gpt/style_chance",
    "energy ρ": "gpt/energy_correlation",
    "guided energy ρ": "gpt/energy_correlation_guided",
    "density ρ": "gpt/density_correlation",
    "guided density ρ": "gpt/density_correlation_guided",
    "guided, broken": "gpt/style_broken_share_guided",
}

RECONSTRUCTION = {
    "full %": "vqvae/full_percent",
    "body %": "vqvae/body_percent",
    "head %": "vqvae/head_percent",
    "hands %": "vqvae/hands_percent",
    "aligned %": "vqvae/hands_aligned_percent",
    "full px": "vqvae/full_px",
    "head px": "vqvae/head_px",
    "hands px": "vqvae/hands_px",
    "least perplexity": "vqvae/min_perplexity",
    "codes used": "vqvae/used_codes_share",
    "parameters": "vqvae/parameters",
}

PICTURES = {
    "person": "video/person_psnr",
    "copy": "video/person_psnr_copy",
    "mean": "video/person_psnr_mean",
    "grey": "video/person_psnr_grey",
    "background": "video/background_psnr",
    "LPIPS": "video/lpips",
    "LPIPS, copy": "video/lpips_copy",
    "found": "video/detected_share",
    "PCK": "video/pck_all_frames",
    "PCK, copy": "video/pck_copy",
    "own clothes": "video/clothes_top1",
    "chance": "video/clothes_chance",
    "million parameters": "video/million_parameters",
}


def both(**changes: object) -> dict[str, object]:
    """Flags: look-ahead and previous frames, and what else a row changes in the model."""
    inputs: dict[str, object] = {f"{MODEL}music_lookahead_frames": 8, f"{DATA}lookahead_frames": 8, f"{MODEL}previous_frames": 2}
    return inputs | {f"{MODEL}{name}": value for name, value in changes.items()}


_INPUTS: dict[str, Flags] = {
    "paper": {},
    "look-ahead": {f"{MODEL}music_lookahead_frames": 8, f"{DATA}lookahead_frames": 8},
    "previous frames": {f"{MODEL}previous_frames": 2},
    "both": both(),
}
_PHASE = {
    f"{MODEL}music_features": '{"librosa": 35, "beat_phase": 4}',
    f"{DATA}features": '["librosa", "beat_phase"]',
}

NO_DECODER: Flags = {f"{MODEL}{name}": 0 for name in ("motion_input", "heatmap_weight", "heatmap_steps")} | {f"{MODEL}motion_decoder": False}
_NO_HELP: Flags = {f"{MODEL}{name}": False for name in ("portrait_input", "gate", "portrait_colours")}

TABLES: dict[str, Table] = {
    "inputs": Table(
        question="Which inputs make beat synchrony learnable?",
        config="studies/motion.yaml",
        steps=1600,
        shared={"model.init_args.optimizer.init_args.lr": 2.0e-3},
        rows=_INPUTS
        | {
            "both + beat phase": both() | _PHASE,
            "both + relative positions": both(relative_positions=True),
            "both + parallel slots": both(parallel_slots=True),
            "parallel slots, relative positions": both(parallel_slots=True, relative_positions=True),
            "parallel slots, relative positions, beat phase": both(parallel_slots=True, relative_positions=True) | _PHASE,
        },
        reference="both",
        slots=2,
    ),
    "ablations": Table(
        question="What do the parts of stage 2 add (the paper's table 3, with the inputs that learn)?",
        config="studies/motion.yaml",
        rows={
            "both": both(),
            "no global music": both(global_music=False),
            "no motion context": both(context_frames=0) | {f"{DATA}context_frames": 0},
            "small": both(layers=2, width=64),
        },
        reference="both",
        slots=2,
    ),
    "control": Table(
        question="Does a dance become what it is asked to be, where the song does not tell it?",
        config="studies/motion.yaml",
        steps=800,
        shared={"model.init_args.optimizer.init_args.lr": 2.0e-3},
        free_dances=1.0,
        rows={
            "both + parallel slots": both(parallel_slots=True),
            "style and figures": both(parallel_slots=True, styles=json.dumps(STYLES), motion_figures=True)
            | {f"{DATA}styles": json.dumps(STYLES)},
        },
        reference="both + parallel slots",
        slots=2,
        columns={name: DANCES[name] for name in ("cross-entropy", "F1", "broken", "kernel")} | CONTROL,
    ),
    "tokenizer": Table(
        question="Five parts or one, learned codebooks or a grid, with the same 30 tokens a frame (the paper's table 4)?",
        config="studies/vqvae.yaml",
        rows={
            "five parts": {},
            "single part": {f"{MODEL}single_part": True, f"{MODEL}encoder_width": 256},  # as much computation as the five encoders together
            "five parts, FSQ": {f"{MODEL}fsq_levels": "[8, 8, 8]", f"{MODEL}code_width": 3, f"{MODEL}beta": 0.0},
            "five parts, coordinates not weighted": {f"{MODEL}confidence_weighted": False},
        },
        reference="five parts",
        slots=None,
        measured="tokenizer",
        frames=240,
        paired=("full %", "body %", "hands %"),
        columns=RECONSTRUCTION,
    ),
    "renderer": Table(
        question="What do motion decoder and ReferenceNet add, at the same number of steps?",
        config="studies/video.yaml",
        rows={
            "motion decoder": {},
            "pose guider": NO_DECODER | {f"{MODEL}pose_guider": True},
            "pose guider, true poses": NO_DECODER | {f"{MODEL}pose_guider": True, f"{MODEL}guided_by": "pose"},
            "no motion": NO_DECODER,
            "no ReferenceNet": {f"{MODEL}reference_net": False},
            "ReferenceNet alone": _NO_HELP,
            "nothing of the portrait": _NO_HELP | {f"{MODEL}reference_net": False},
        },
        reference="motion decoder",
        slots=None,
        measured="videos",
        clips=20,
        frames=16,
        paired=("person", "LPIPS", "PCK"),
        columns=PICTURES,
    ),
    "window": Table(
        question="The same inputs with the paper's 6 slots and segments of 64 frames, slots drawn together, relative positions",
        config="studies/motion_window.yaml",
        rows={"no further inputs" if name == "paper" else name: flags for name, flags in _INPUTS.items()},
        reference="both",
        slots=6,
    ),
}


def chosen(table: Table, rows: list[str] | None) -> Table:
    """The table with only some of its rows, the reference row always among them.

    Raises:
        XDancerError: a row that the table does not have.
    """
    if rows is None:
        return table
    unknown = [row for row in rows if row not in table.rows]
    if unknown:
        raise XDancerError(f"--rows {unknown[0]!r}: no such row. Choose among {', '.join(map(repr, table.rows))}.")
    return replace(table, rows={name: flags for name, flags in table.rows.items() if name in rows or name == table.reference})
