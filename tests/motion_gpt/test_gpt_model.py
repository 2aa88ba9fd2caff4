"""The motion GPT: paper sizes, causality by gradient, alignment of the music, absent tokens."""

from dataclasses import replace

import pytest
import torch

from xdancer.motion_gpt.model import ABSENT, MotionGPT, MotionGPTConfig


@pytest.mark.parametrize(
    ("sizes", "blocks"), [({}, 302_309_376), ({"layers": 12, "heads": 12, "width": 768}, 85_054_464)], ids=["medium", "small"]
)
def test_paper_sizes_on_the_meta_device(sizes: dict[str, int], blocks: int) -> None:
    with torch.device("meta"):
        gpt = MotionGPT(MotionGPTConfig(**sizes))
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in gpt.named_children()}
    counts["blocks"] = sum(p.numel() for p in gpt.transformer.h.parameters())
    print({**counts, "total": sum(p.numel() for p in gpt.parameters())})
    assert counts["blocks"] == blocks
    assert gpt.layout.window == 2224
    assert gpt.head.shape == (5, 512, gpt.config.width)  # 512 logits per token, never 2560


@torch.no_grad()
@pytest.mark.parametrize("width", [64, 512])
def test_a_fresh_model_sees_the_slot_and_the_position_beside_the_token(width: int) -> None:
    """Each has about the share of a token and its music in what the first block reads; a much weaker one is not found in training."""
    torch.manual_seed(0)
    gpt = MotionGPT(MotionGPTConfig(layers=1, heads=2, width=width, frames=8, overlap_frames=2, music_features={"librosa": 35}))
    tokens = gpt.tokens.weight[torch.randint(2560, (500,))] * width**0.5
    fused = gpt.fuse(torch.cat([tokens, gpt.frame_music(torch.randn(500, 35))], dim=-1))
    assert gpt.positions is not None
    for table in (gpt.kinds.weight, gpt.positions.weight):
        assert 0.8 <= float(table.std() / fused.std()) <= 1.25


def test_logits_have_one_row_per_token_of_the_segment(tiny_gpt: MotionGPT, make_segment) -> None:
    assert tiny_gpt(make_segment(tiny_gpt)).shape == (2, 4, 3, 2, 11)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("position", [0, 3, 4, 15, *range(21, 27), 38])  # prefix, context, the first token, every slot of a frame, the last
def test_no_token_sees_the_future(tiny_gpt: MotionGPT, make_segment, position: int, training: bool) -> None:
    layout = tiny_gpt.train(training).layout
    embedding = tiny_gpt.embed(make_segment(tiny_gpt), layout.window - 1).detach().requires_grad_()
    features = tiny_gpt.transformer(embedding)
    (features[:, position] * torch.randn_like(features[:, position])).sum().backward()
    assert embedding.grad is not None
    assert embedding.grad[:, position + 1 :].eq(0).all()
    seen = embedding.grad[:, : position + 1].ne(0).flatten(2).any(-1)
    assert seen.float().mean() > 0.5 if training else seen.all()  # dropout hides some


def test_no_embedding_holds_a_later_token(tiny_gpt: MotionGPT, make_segment) -> None:
    """Changing one motion token changes no logits of tokens up to and including it, whatever its part and slot."""
    segment = make_segment(tiny_gpt)
    before = tiny_gpt(segment).flatten(1, 3)
    for token in (0, *range(6, 12), 22):
        motion = segment.motion.clone().flatten(1)
        motion[:, token] = (motion[:, token] + 1) % 11
        after = tiny_gpt(replace(segment, motion=motion.view_as(segment.motion))).flatten(1, 3)
        assert torch.equal(before[:, : token + 1], after[:, : token + 1])
        assert not torch.allclose(before[:, token + 1 :], after[:, token + 1 :])


@pytest.mark.parametrize("frame", range(4))
def test_each_token_gets_the_music_of_its_own_frame(make_gpt, make_segment, frame: int) -> None:
    """Without prefix and attention to the past, the logits of a frame follow that frame's music (and look-ahead) and no other row."""
    gpt = make_gpt(global_music=False)
    segment = make_segment(gpt)
    music = segment.music.clone().requires_grad_()
    embedding = gpt.embed(replace(segment, music=music), gpt.layout.window - 1)
    logits_positions = embedding[:, gpt.layout.first_prediction :].unflatten(1, (4, 6))
    logits_positions[:, frame].sum().backward()
    assert music.grad is not None
    assert music.grad.ne(0).flatten(2).any(-1).tolist() == [[row == frame for row in range(4)]] * 2


def test_context_positions_carry_their_own_frames_music(tiny_gpt: MotionGPT, make_segment) -> None:
    segment = make_segment(tiny_gpt)
    music = segment.context_music.clone().requires_grad_()
    lead = tiny_gpt.layout.music_length
    embedding = tiny_gpt.embed(replace(segment, context_music=music), tiny_gpt.layout.window - 1)
    embedding[:, lead : lead + 6].sum().backward()
    assert music.grad is not None
    assert music.grad.ne(0).flatten(2).any(-1).tolist() == [[True, False]] * 2


def test_stacked_music_holds_the_look_ahead(make_gpt, make_music) -> None:
    gpt, music = make_gpt(), make_music(6)
    stacked = gpt.stack_music(music).unflatten(-1, (3, 7))
    for ahead in range(3):
        merged = torch.cat([music["librosa"], music["drums"]], dim=-1)[:, ahead : ahead + 4]
        assert torch.allclose(stacked[:, :, ahead], merged)


def test_music_is_normalised_by_the_training_data(make_gpt, make_music) -> None:
    gpt = make_gpt(music_lookahead_frames=0)
    music = {name: 100 + 7 * value for name, value in make_music(500, batch=1).items()}
    gpt.fit_music({name: value[0] for name, value in music.items()})
    stacked = gpt.stack_music(music)
    assert stacked.mean((0, 1)).abs().max() < 0.05
    assert (stacked.std((0, 1)) - 1).abs().max() < 0.05
    assert "music_mean" in gpt.state_dict()


def test_missing_or_wrong_music_is_named(tiny_gpt: MotionGPT) -> None:
    with pytest.raises(ValueError, match="'drums' of width 2"):
        tiny_gpt.stack_music({"librosa": torch.zeros(1, 6, 5)})


def test_absent_tokens_and_music_have_embeddings_of_their_own(tiny_gpt: MotionGPT, make_segment) -> None:
    segment = make_segment(tiny_gpt)
    logits = tiny_gpt(segment)
    without_context = tiny_gpt(replace(segment, context=torch.full_like(segment.context, ABSENT)))
    without_music = tiny_gpt(replace(segment, has_music=torch.tensor([True, False])))
    assert not torch.allclose(logits, without_context)
    assert torch.equal(logits[0], without_music[0])
    assert not torch.allclose(logits[1], without_music[1])
    other_music = replace(segment, has_music=torch.tensor([True, False]), music=segment.music + 1, context_music=segment.context_music - 1)
    assert torch.equal(without_music[1], tiny_gpt(other_music)[1])


def test_gradient_checkpointing_changes_nothing_but_memory(make_gpt, make_segment) -> None:
    plain, saving = (make_gpt(dropout=0.0, gradient_checkpointing=flag).train() for flag in (False, True))
    segment = make_segment(plain)
    for gpt in (plain, saving):
        gpt(segment).square().sum().backward()
    for ours, theirs in zip(plain.parameters(), saving.parameters(), strict=True):
        assert ours.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_impossible_config_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap_frames 64"):
        MotionGPTConfig(overlap_frames=64)


def test_parallel_slots_take_one_position_a_part_and_stay_causal(make_gpt, make_segment) -> None:
    """All slots of a part are drawn from what came before the part, and none of them sees another."""
    gpt = make_gpt(parallel_slots=True)
    assert gpt.layout.window == 4 + 2 * 3 + 4 * 3
    segment = make_segment(gpt)
    before = gpt(segment)
    assert before.shape == (2, 4, 3, 2, 11)
    motion = segment.motion.clone()
    motion[:, 1, 1, 0] = (motion[:, 1, 1, 0] + 1) % 11  # frame 1, part 1, slot 0
    after = gpt(replace(segment, motion=motion)).flatten(1, 2)
    assert torch.equal(before.flatten(1, 2)[:, :5], after[:, :5])  # up to and with its own part, its other slot included
    assert not torch.allclose(before.flatten(1, 2)[:, 5], after[:, 5])
