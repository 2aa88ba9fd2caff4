"""Decoding position by position gives what the whole window gives: logits, greedy tokens, after runs of known tokens, in every variant."""

from collections.abc import Callable

import pytest
import torch

from xdancer.motion_gpt.decoding import WIDE, Decoder
from xdancer.motion_gpt.model import MotionGPT, Segment
from xdancer.motion_gpt.sampling import SamplingConfig, with_guidance_branches

VARIANTS = [
    {}, {"previous_frames": 0}, {"global_music": False}, {"context_frames": 0}, {"context_frames": 0, "global_music": False},
    {"relative_positions": True}, {"parallel_slots": True}, {"styles": ("waack",), "motion_figures": True}, {"width": WIDE},
]  # fmt: skip
BATCHES = [1, 2, 3]
"""Up to two rows and more take different ways through the matrices."""

MakeGPT = Callable[..., MotionGPT]


def rows(segment: Segment, batch: int) -> Segment:
    index = torch.arange(2 - batch, 2) % 2
    return Segment(**{name: value if value is None else value[index] for name, value in vars(segment).items()})


def teacher_forced(gpt: MotionGPT, segment: Segment) -> torch.Tensor:
    """Logits (batch, position, group, code) of the segment's positions."""
    with torch.no_grad():
        return gpt(segment).reshape(len(segment.motion), gpt.layout.motion_length, gpt.config.group, -1)


def decoded(gpt: MotionGPT, segment: Segment, steps: list[int], *, half: bool | None = None) -> torch.Tensor:
    """Logits at some of the segment's positions, everything before each read at once."""
    decoder = Decoder(gpt, half=half)
    decoder.begin(segment)
    return torch.stack([decoder.logits(gpt.layout.motion_start + step) for step in steps], dim=1)


@pytest.mark.parametrize("change", VARIANTS)
@pytest.mark.parametrize("batch", BATCHES)
def test_logits_equal_teacher_forced_ones(make_gpt: MakeGPT, make_segment, change: dict, batch: int) -> None:
    gpt = make_gpt(**change)
    segment = rows(make_segment(gpt), batch)
    steps = list(range(gpt.layout.motion_length))
    torch.testing.assert_close(decoded(gpt, segment, steps), teacher_forced(gpt, segment), rtol=0, atol=1e-4)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
def test_a_run_of_known_tokens_is_read_in_one_step(make_gpt: MakeGPT, make_segment, relative: bool, batch: int) -> None:
    gpt = make_gpt(relative_positions=relative)
    segment, steps = rows(make_segment(gpt), batch), [3, 4, 11, 12, 20]
    torch.testing.assert_close(decoded(gpt, segment, steps), teacher_forced(gpt, segment)[:, steps], rtol=0, atol=1e-4)


def test_the_guidance_branch_is_the_second_half_of_the_rows(tiny_gpt: MotionGPT, make_segment) -> None:
    segment, weights = with_guidance_branches(make_segment(tiny_gpt), SamplingConfig(guidance=3.0, wish_guidance=3.0))
    assert weights == [2.0]  # nothing is asked for, nothing to guide by
    logits = decoded(tiny_gpt, segment, list(range(24)))
    torch.testing.assert_close(logits, teacher_forced(tiny_gpt, segment), rtol=0, atol=1e-4)
    assert not torch.allclose(*logits.chunk(2), atol=1e-2)


def test_a_decoder_serves_one_window_after_another_of_any_batch(tiny_gpt: MotionGPT, make_segment) -> None:
    decoder, stop = Decoder(tiny_gpt), tiny_gpt.layout.motion_start + 5
    for batch in (2, 2, 1, 3):
        segment = rows(make_segment(tiny_gpt), batch)
        before = decoder.cache.data_ptr()
        reused = decoder.cache.shape[2] == batch
        decoder.begin(segment)
        torch.testing.assert_close(decoder.logits(stop), teacher_forced(tiny_gpt, segment)[:, 5], rtol=0, atol=1e-4)
        assert not reused or decoder.cache.data_ptr() == before


def test_what_is_written_into_the_row_is_read_next(tiny_gpt: MotionGPT, make_segment) -> None:
    segment, layout = make_segment(tiny_gpt), tiny_gpt.layout
    decoder = Decoder(tiny_gpt)
    decoder.begin(Segment(**{**vars(segment), "motion": torch.zeros_like(segment.motion)}))
    expected, ids = teacher_forced(tiny_gpt, segment), segment.motion.flatten(1)
    for step in range(layout.motion_length):
        torch.testing.assert_close(decoder.logits(layout.motion_start + step), expected[:, step], rtol=0, atol=1e-4)
        decoder.row[:, layout.segment_column + step, 0] = ids[:, step] + layout.part(layout.motion_start + step) * tiny_gpt.config.codes


@pytest.mark.parametrize("batch", BATCHES)
def test_half_weights_change_little(make_gpt: MakeGPT, make_segment, batch: int) -> None:
    gpt = make_gpt(width=WIDE)
    segment, steps = rows(make_segment(gpt), batch), list(range(24))
    exact, half = (decoded(gpt, segment, steps, half=value) for value in (False, True))
    tolerance = 2e-3 if "fbgemm" in torch.backends.quantized.supported_engines else 2e-2  # 11 or 8 bits of the weights
    assert 0 < (half - exact).abs().max() < tolerance * exact.abs().max()


def test_autocast_means_half_weights_and_nothing_else(make_gpt: MakeGPT, make_segment) -> None:
    gpt = make_gpt(width=WIDE)
    segment, steps = make_segment(gpt), [0, 1, 7]
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = decoded(gpt, segment, steps)
    assert torch.equal(under_autocast, decoded(gpt, segment, steps, half=True))


def test_a_step_leaves_torchs_threads_as_they_were(tiny_gpt: MotionGPT, make_segment) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        decoded(tiny_gpt, make_segment(tiny_gpt), [0, 1, 2])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
