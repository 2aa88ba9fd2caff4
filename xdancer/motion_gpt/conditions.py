"""What a dance may be asked to be beside its music: a style by name, how much it moves, how often it stops (beyond the paper).

Each is optional, dropped in training like the music, and absent by default. Figures are taken from the poses that the tokens decode to, so that
training from tokens and from poses sees the same ones.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.skeleton import BODY, HEIGHT_PATHS, VISIBLE
from xdancer.types import FPS, PoseBatch

FIGURES = ("energy", "density")
"""`energy`: mean speed of the visible body keypoints, body heights a second. `density`: motion beats (minima of that speed) a second."""
STYLE_STD = 0.5
"""Spread of fresh style embeddings: as large as the music that they are added to."""
BEAT_SIGMA = 2.5
"""Smoothing of the speed before its minima are counted, frames (1/12 s, as in the beat metrics)."""


class Conditions(nn.Module):
    """Style and figures of a segment as one embedding that is added to every token.

    Args:
        styles: how many styles have a name; one more row stands for none.
        figures: whether `FIGURES` can be asked for.
        width: of the embedding.
    """

    def __init__(self, *, styles: int, figures: bool, width: int) -> None:
        super().__init__()
        self.width = width
        self.style = nn.Embedding(styles + 1, width) if styles else None
        inputs = 2 * len(FIGURES)
        self.figures = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width)) if figures else None
        if self.style is not None:
            nn.init.normal_(self.style.weight, std=STYLE_STD)

    def forward(
        self, style: Int[Tensor, " batch"] | None, figures: Float[Tensor, "batch figure"] | None, *, batch: int
    ) -> Float[Tensor, "batch width"]:  # fmt: skip
        """The embedding; absent styles are negative or None, absent figures NaN or None."""
        total = next(self.parameters()).new_zeros(batch, self.width)
        if self.style is not None:
            last = self.style.num_embeddings - 1
            rows = self.style.weight.new_full((batch,), last, dtype=torch.long) if style is None else torch.where(style < 0, last, style)
            total = total + self.style(rows)
        if self.figures is not None:
            weight = next(self.figures.parameters())
            values = weight.new_full((batch, len(FIGURES)), torch.nan) if figures is None else figures.to(weight.dtype)
            known = values.isfinite()
            total = total + self.figures(torch.cat([values.nan_to_num(0.0), known.to(weight.dtype)], dim=-1))
        return total


def dropped(
    style: Int[Tensor, " batch"] | None, figures: Float[Tensor, "batch figure"] | None, probability: float
) -> tuple[Int[Tensor, " batch"] | None, Float[Tensor, "batch figure"] | None]:  # fmt: skip
    """Style and each figure, lost with a probability of its own draw."""
    if style is not None:
        style = style.masked_fill(torch.rand(style.shape, device=style.device) < probability, -1)
    if figures is not None:
        figures = figures.masked_fill(torch.rand(figures.shape, device=figures.device) < probability, torch.nan)
    return style, figures


def absent_like(wish: Tensor) -> Tensor:
    """No style, or no figures, for as many dances."""
    return torch.full_like(wish, torch.nan if wish.is_floating_point() else -1)


def motion_figures(pose: PoseBatch) -> Float[Tensor, "batch figure"]:
    """`FIGURES` of poses at 30 frames per second; NaN where fewer than half of the frames show a body."""
    places, confidence = pose.keypoints[:, :, BODY].float(), pose.confidence[:, :, BODY]
    seen = confidence >= VISIBLE
    both = seen[:, 1:] & seen[:, :-1]
    steps = (places[:, 1:] - places[:, :-1]).norm(dim=-1) * both
    speed = steps.sum(-1) / both.sum(-1).clamp_min(1) * FPS / _body_height(places, seen)[:, None]  # (batch, frame)
    enough = both.any(-1).float().mean(1) >= 0.5
    beats = _minima(_smoothed(speed)).sum(1) / (places.shape[1] / FPS)
    return torch.stack([speed.mean(1), beats], dim=1).masked_fill(~enough[:, None], torch.nan)


def _body_height(places: Tensor, seen: Tensor) -> Float[Tensor, " batch"]:
    """Median over the frames of the path nose–neck–hip–knee–ankle, mean of the visible sides; 1 where none is visible."""
    lengths, whole = [], []
    for path in HEIGHT_PATHS:
        points = places[:, :, list(path)]
        lengths.append((points[:, :, 1:] - points[:, :, :-1]).norm(dim=-1).sum(-1))
        whole.append(seen[:, :, list(path)].all(-1))
    length, visible = torch.stack(lengths, -1), torch.stack(whole, -1)
    mean = (length * visible).sum(-1) / visible.sum(-1).clamp_min(1)
    height = mean.masked_fill(~visible.any(-1), torch.nan).nanmedian(1).values
    return height.nan_to_num(1.0).clamp_min(1e-3)


def _smoothed(speed: Float[Tensor, "batch frame"]) -> Float[Tensor, "batch frame"]:
    radius = round(3 * BEAT_SIGMA)
    offsets = torch.arange(-radius, radius + 1, device=speed.device, dtype=speed.dtype)
    weights = torch.exp(-0.5 * (offsets / BEAT_SIGMA) ** 2)
    padded = F.pad(speed[:, None], (radius, radius), mode="replicate")
    return F.conv1d(padded, (weights / weights.sum())[None, None])[:, 0]


def _minima(speed: Float[Tensor, "batch frame"]) -> Tensor:
    middle = speed[:, 1:-1]
    return (middle < speed[:, :-2]) & (middle < speed[:, 2:])
