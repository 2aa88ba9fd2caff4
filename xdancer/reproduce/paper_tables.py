"""The paper's result tables as data: rows, what each trains, columns under our own names, published values, and every ordering claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from xdancer.errors import XDancerError
from xdancer.reproduce.tables import DATA, MODEL, NO_DECODER, Flags, both

Measured = Literal["tokenizer", "motion", "generated", "self_driven", "not built yet"]
Published = Mapping[str, tuple[float, ...]]
"""Column → the paper's values, in the order that the column's `stands_for` names them."""

MOTION_CLIPS, MOTION_FRAMES = 24, 180
"""Held-out clips that are danced to, each to its own song, and the length of each dance."""
VIDEO_CLIPS, VIDEO_FRAMES = 20, 80
"""Held-out people that are rendered, and the length of each video: more than one segment of stage 2, five windows of the video features."""
SUBSET = 0.125
"""Share of the training clips that the rows *subset* learn from; the paper does not say its own."""


@dataclass(frozen=True)
class Training:
    """One network that rows need; equal trainings of all tables are done once."""

    config: str
    """Below configs/."""
    flags: Flags = field(default_factory=dict)
    """What it changes there."""
    tokenizer: str | None = None
    """The training whose tokens it learns; of the same seed."""
    subset: bool = False
    """Whether it learns from `SUBSET` of the training clips."""


@dataclass(frozen=True)
class Column:
    """A figure under our own name, and the paper's column that it stands for."""

    figure: str
    higher_is_better: bool
    stands_for: str = ""
    """The paper's columns, in the order of the published values; empty where the paper has none."""
    digits: int = 3


@dataclass(frozen=True)
class PaperRow:
    """One row: what is measured, of which trainings or of which null."""

    measured: Measured
    trained: tuple[str, ...] = ()
    """Names in `TRAININGS` that the measurement reads."""
    null: str = ""
    """What stands in place of a model."""
    paper: Published = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """An ordering: `first` is above (or below) `second` in a column."""

    first: str
    order: Literal["above", "below"]
    second: str
    column: str
    source: Literal["paper", "ours"] = "paper"
    """Whose claim it is; ours are those that a table needs to mean anything, such as *above the null*."""

    def __str__(self) -> str:
        return f"{self.first} {self.order} {self.second} in {self.column}"


@dataclass(frozen=True)
class Block:
    """Rows with the same columns."""

    title: str
    columns: Mapping[str, Column]
    rows: Mapping[str, PaperRow]
    reference: str
    """The row that the others are compared with, seed by seed."""
    claims: tuple[Claim, ...]
    note: str = ""
    """What a reader has to know of the columns."""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper."""

    title: str
    blocks: tuple[Block, ...]


_TOKENS = "five-part tokenizer"
_GUIDER: Flags = {**NO_DECODER, f"{MODEL}pose_guider": True}
_MOTION, _RENDERER = "studies/motion_window.yaml", "studies/video.yaml"

TRAININGS: dict[str, Training] = {
    _TOKENS: Training("studies/vqvae.yaml"),
    "single-part tokenizer": Training(
        "studies/vqvae.yaml", {f"{MODEL}single_part": True, f"{MODEL}encoder_width": 256}
    ),  # as much computation as the five encoders together
    "motion GPT": Training(_MOTION, both(), _TOKENS),
    "motion GPT without global music": Training(_MOTION, both(global_music=False), _TOKENS),
    "motion GPT without context": Training(_MOTION, both(context_frames=0) | {f"{DATA}context_frames": 0}, _TOKENS),
    "motion GPT of a subset": Training(_MOTION, both(), _TOKENS, subset=True),
    "small motion GPT of a subset": Training(_MOTION, both(layers=2, width=64), _TOKENS, subset=True),
    "motion decoder": Training(_RENDERER, {}, _TOKENS),
    "motion decoder on single-part tokens": Training(_RENDERER, {}, "single-part tokenizer"),
    "pose guider": Training(_RENDERER, _GUIDER, _TOKENS),
    "pose guider of true poses": Training(_RENDERER, {**_GUIDER, f"{MODEL}guided_by": "pose"}, _TOKENS),
}

DISTANCE, KINETIC, DIVERSITY, BAILANDO, BEAT = "drawn-pose distance", "kinetic distance", "diversity", "bailando60", "beat F1"
BRAKES = "brake_sync"
VIDEO, IDENTITY, CLOTHES, PSNR, PERSON, LPIPS = "video distance", "id_sim", "own clothes", "PSNR", "person PSNR", "LPIPS"

_MOTION_COLUMNS = {
    DISTANCE: Column("motion/kernel_drawn_alex16", False, "motion FVD in-house · AIST"),
    KINETIC: Column("motion/kernel_kinetic32", False),
    DIVERSITY: Column("gpt/div_kinetic", True, "DIV in-house · AIST", 2),
    BAILANDO: Column("gpt/bas_bailando60", True, "BAS in-house · AIST"),
    BEAT: Column("gpt/beat_f1", True),
    BRAKES: Column("gpt/brake_sync_percentile", True),
}
_ABLATION_COLUMNS = {
    name: Column(column.figure, column.higher_is_better, column.stands_for.removesuffix(" · AIST"), column.digits)
    for name, column in _MOTION_COLUMNS.items()
}


def _motion(*distance_div_bas: float) -> Published:
    """Values of FVD, DIV and BAS in-house, then the same on AIST where there are any."""
    return {name: distance_div_bas[number::3] for number, name in enumerate((DISTANCE, DIVERSITY, BAILANDO))}


_MOTION_NOTE = (
    "Both distances are kernel distances to true training dances: the drawn-pose distance of the bundled video features (alex16) of drawn "
    "skeletons, which hardly sees a dance stand still, and the kinetic one of speeds and accelerations. bailando60 is the beat score "
    "that published tables use, at which random motion does as well as dances do in them; beat F1 is ours (protocol seconds), and so is "
    "brake_sync: where joints brake, against the same music shifted to every other lag (mean percentile, .5 by chance)."
)

_TABLE_1 = Block(
    title="Motion to held-out songs",
    note=_MOTION_NOTE,
    columns=_MOTION_COLUMNS,
    reference="X-Dancer",
    rows={
        "ground truth": PaperRow("motion", null="ground_truth", paper=_motion(129.75, 29.67, 0.22, 509.58, 34.10, 0.24)),
        "Hallo": PaperRow("not built yet", paper=_motion(249.12, 28.98, 0.20, 548.81, 28.66, 0.16)),
        "Bailando": PaperRow("not built yet", paper=_motion(534.02, 24.05, 0.19, 621.22, 22.34, 0.19)),
        "EDGE": PaperRow("not built yet", paper=_motion(303.36, 27.29, 0.24, 639.46, 24.87, 0.26)),
        "X-Dancer": PaperRow("motion", ("motion GPT",), paper=_motion(238.22, 28.08, 0.21, 531.52, 25.61, 0.23)),
        "null: frozen pose": PaperRow("motion", null="frozen"),
        "null: smooth random motion": PaperRow("motion", null="smooth"),
        "null: real motion, another song": PaperRow("motion", null="other_song"),
    },
    claims=(
        Claim("ground truth", "below", "X-Dancer", DISTANCE),
        Claim("X-Dancer", "below", "Hallo", DISTANCE),
        Claim("X-Dancer", "below", "Bailando", DISTANCE),
        Claim("X-Dancer", "below", "EDGE", DISTANCE),
        Claim("ground truth", "above", "X-Dancer", DIVERSITY),
        Claim("Hallo", "above", "X-Dancer", DIVERSITY),
        Claim("X-Dancer", "above", "EDGE", DIVERSITY),
        Claim("X-Dancer", "above", "Bailando", DIVERSITY),
        Claim("ground truth", "above", "X-Dancer", BAILANDO),
        Claim("EDGE", "above", "X-Dancer", BAILANDO),
        Claim("X-Dancer", "above", "Hallo", BAILANDO),
        Claim("X-Dancer", "above", "Bailando", BAILANDO),
        Claim("X-Dancer", "below", "null: frozen pose", DISTANCE, "ours"),
        Claim("X-Dancer", "below", "null: smooth random motion", DISTANCE, "ours"),
        Claim("X-Dancer", "below", "null: frozen pose", KINETIC, "ours"),
        Claim("X-Dancer", "above", "null: smooth random motion", BAILANDO, "ours"),
        Claim("X-Dancer", "above", "null: smooth random motion", BEAT, "ours"),
        Claim("X-Dancer", "above", "null: real motion, another song", BEAT, "ours"),
        Claim("ground truth", "above", "null: real motion, another song", BEAT, "ours"),
        Claim("ground truth", "above", "X-Dancer", BEAT, "ours"),
        Claim("X-Dancer", "above", "null: smooth random motion", BRAKES, "ours"),
        Claim("X-Dancer", "above", "null: real motion, another song", BRAKES, "ours"),
        Claim("ground truth", "above", "null: real motion, another song", BRAKES, "ours"),
        Claim("ground truth", "above", "X-Dancer", BRAKES, "ours"),
    ),
)

_TABLE_2 = Block(
    title="Held-out portraits that dance to held-out songs",
    note="One distance stands for both of the paper's: kernel distance of the bundled video features (alex16). id_sim needs eyes that lie at "
    "least 6 pixels apart; where no picture shows such a face it is not measured, and own clothes (share of people whose clothes are nearest "
    "to those of their own portrait among up to 16) says whether it is still the same person.",
    columns={
        VIDEO: Column("video/kernel_alex16@xdancer16", False, "video FVD · FID-VID"),
        IDENTITY: Column("video/id_sim", True, "ID-SIM"),
        CLOTHES: Column("video/clothes_top1", True, digits=2),
    },
    reference="X-Dancer",
    rows={
        "Hallo": PaperRow("not built yet", paper={VIDEO: (609.08, 76.99), IDENTITY: (0.4870,)}),
        "EDGE + PG": PaperRow("not built yet", paper={VIDEO: (613.81, 93.73), IDENTITY: (0.3034,)}),
        "our motion + PG": PaperRow("generated", ("motion GPT", "pose guider"), paper={VIDEO: (735.05, 72.71), IDENTITY: (0.4894,)}),
        "X-Dancer": PaperRow("generated", ("motion GPT", "motion decoder"), paper={VIDEO: (507.06, 61.94), IDENTITY: (0.5317,)}),
        "null: copy the portrait": PaperRow("generated", null="copy"),
        "null: mean frame": PaperRow("generated", null="mean"),
        "null: grey person": PaperRow("generated", null="grey"),
    },
    claims=(
        Claim("X-Dancer", "below", "our motion + PG", VIDEO),
        Claim("X-Dancer", "below", "Hallo", VIDEO),
        Claim("X-Dancer", "below", "EDGE + PG", VIDEO),
        Claim("X-Dancer", "above", "our motion + PG", IDENTITY),
        Claim("X-Dancer", "above", "Hallo", IDENTITY),
        Claim("X-Dancer", "above", "EDGE + PG", IDENTITY),
        Claim("our motion + PG", "above", "EDGE + PG", IDENTITY),
        Claim("X-Dancer", "below", "null: copy the portrait", VIDEO, "ours"),
        Claim("X-Dancer", "below", "null: mean frame", VIDEO, "ours"),
        Claim("X-Dancer", "above", "null: mean frame", CLOTHES, "ours"),
        Claim("X-Dancer", "above", "our motion + PG", CLOTHES, "ours"),
    ),
)

_OTHERS = ("no global music", "no motion context", "subset, medium", "subset, small")
_TABLE_3 = Block(
    title="What the parts of stage 2 add",
    note=_MOTION_NOTE,
    columns=_ABLATION_COLUMNS,
    reference="full",
    rows={
        "no global music": PaperRow("motion", ("motion GPT without global music",), paper=_motion(265.73, 27.04, 0.2142)),
        "no motion context": PaperRow("motion", ("motion GPT without context",), paper=_motion(247.54, 26.42, 0.2154)),
        "subset, medium": PaperRow("motion", ("motion GPT of a subset",), paper=_motion(402.63, 24.40, 0.2112)),
        "subset, small": PaperRow("motion", ("small motion GPT of a subset",), paper=_motion(332.93, 24.58, 0.2046)),
        "full": PaperRow("motion", ("motion GPT",), paper=_motion(238.22, 28.08, 0.2182)),
    },
    claims=(
        *(Claim("full", "below", other, DISTANCE) for other in _OTHERS),
        *(Claim("full", "above", other, DIVERSITY) for other in _OTHERS),
        *(Claim("full", "above", other, BAILANDO) for other in _OTHERS),
        Claim("no motion context", "below", "no global music", DISTANCE),
        Claim("subset, small", "below", "subset, medium", DISTANCE),
        Claim("subset, medium", "above", "subset, small", BAILANDO),
        *(Claim("full", "below", other, KINETIC, "ours") for other in _OTHERS),
        *(Claim("full", "above", other, column, "ours") for column in (BEAT, BRAKES) for other in _OTHERS),
    ),
)

_POSE_COLUMNS = {f"{part} error": Column(f"vqvae/{part}_percent", False, f"Pose L1 {part}", 2) for part in ("full", "head", "hands")}
_POSES = Block(
    title="Poses through their tokens: error in % of the body height",
    columns=_POSE_COLUMNS,
    reference="multi-part",
    rows={
        "single part": PaperRow(
            "tokenizer", ("single-part tokenizer",), paper=dict(zip(_POSE_COLUMNS, ((0.83,), (0.64,), (0.52,)), strict=True))
        ),
        "multi-part": PaperRow("tokenizer", (_TOKENS,), paper=dict(zip(_POSE_COLUMNS, ((0.50,), (0.40,), (0.42,)), strict=True))),
    },
    claims=tuple(Claim("multi-part", "below", "single part", column) for column in _POSE_COLUMNS),
)


def _driven(trained: str, psnr: float, lpips: float, distance: float) -> PaperRow:
    return PaperRow("self_driven", (trained,), paper={PSNR: (psnr,), LPIPS: (lpips,), VIDEO: (distance,)})


_SELF_DRIVEN = Block(
    title="Held-out people in their own later poses",
    columns={
        PSNR: Column("video/psnr", True, "PSNR", 2),
        PERSON: Column("video/person_psnr", True, digits=2),
        LPIPS: Column("video/lpips", False, "LPIPS"),
        VIDEO: Column("video/kernel_alex16@xdancer16", False, "FVD"),
    },
    reference="multi-part + MD",
    rows={
        "true pose + PG": _driven("pose guider of true poses", 19.465, 0.197, 294.52),
        "single part + MD": _driven("motion decoder on single-part tokens", 17.079, 0.258, 350.73),
        "multi-part + PG": _driven("pose guider", 18.836, 0.207, 384.16),
        "multi-part + MD": _driven("motion decoder", 19.148, 0.207, 295.87),
    },
    claims=(
        Claim("multi-part + MD", "above", "multi-part + PG", PSNR),
        Claim("multi-part + MD", "below", "multi-part + PG", VIDEO),
        Claim("multi-part + MD", "above", "single part + MD", PSNR),
        Claim("multi-part + MD", "below", "single part + MD", LPIPS),
        Claim("multi-part + MD", "below", "single part + MD", VIDEO),
        Claim("true pose + PG", "above", "multi-part + MD", PSNR),
        Claim("true pose + PG", "below", "multi-part + MD", LPIPS),
        Claim("true pose + PG", "below", "multi-part + MD", VIDEO),
        Claim("true pose + PG", "above", "multi-part + PG", PSNR),
        Claim("multi-part + PG", "above", "single part + MD", PSNR),
        Claim("single part + MD", "below", "multi-part + PG", VIDEO),
        Claim("multi-part + MD", "above", "multi-part + PG", PERSON, "ours"),
        Claim("multi-part + MD", "above", "single part + MD", PERSON, "ours"),
    ),
)

PAPER_TABLES: dict[int, PaperTable] = {
    1: PaperTable("Table 1: motion", (_TABLE_1,)),
    2: PaperTable("Table 2: video", (_TABLE_2,)),
    3: PaperTable("Table 3: motion ablation", (_TABLE_3,)),
    4: PaperTable("Table 4: tokens and motion decoder", (_POSES, _SELF_DRIVEN)),
}


def find_table(number: int) -> PaperTable:
    """A table by its number in the paper.

    Raises:
        XDancerError: there is none.
    """
    if number not in PAPER_TABLES:
        names = "; ".join(f"{known}: {table.title.partition(': ')[2]}" for known, table in PAPER_TABLES.items())
        raise XDancerError(f"--table {number}: the paper's result tables are 1 to 4 ({names}).")
    return PAPER_TABLES[number]
