"""`xdancer export`: checkpoints → one model folder."""

from pathlib import Path

from xdancer.errors import XDancerError


def export(
    *,
    vqvae: Path = Path("runs/vqvae/last.ckpt"),
    gpt: Path = Path("runs/gpt/last.ckpt"),
    video: Path = Path("runs/video_temporal/last.ckpt"),
    out: Path,
    motion_only: bool = False,
    half: bool = False,
    sampling: dict[str, float] | None = None,
) -> None:
    """Turn the checkpoints of the three stages into a model folder for `xdancer generate --model`.

    Args:
        vqvae: checkpoint of stage 1, or `shipped`.
        gpt: checkpoint of stage 2, trained on the tokens of that stage 1, or `shipped`.
        video: checkpoint of stage 3, likewise, or `shipped`; phase (b) or, for a renderer without temporal modules, phase (a).
        out: folder to write: safetensors and config.json per stage, model_index.json with the fingerprints.
        motion_only: stages 1 and 2 without a renderer, for `xdancer generate --preview`.
        half: store 16-bit floats: half the size, weights rounded.
        sampling: what `generate` takes where no flag says otherwise, as in {temperature: 1.2, top_p: 1.0, smoothing: 1.0}.

    Raises:
        CheckpointError: a checkpoint is missing, damaged or of another stage.
        StageMismatchError: the stages were trained on different tokenizers.
    """
    from xdancer.commands.inputs import SAMPLING, make_sampling
    from xdancer.pipelines.dance import DancePipeline
    from xdancer.pipelines.motion import MotionPipeline

    if sampling is not None and not set(sampling) <= set(SAMPLING):
        raise XDancerError(f"--sampling {sampling}: only {', '.join(SAMPLING)} can be recommended.")
    drawn = SAMPLING | (sampling or {})
    make_sampling(temperature=drawn["temperature"], top_p=drawn["top_p"], smoothing=drawn["smoothing"])
    sources = {"vqvae": str(vqvae), "motion_gpt": str(gpt)}
    if motion_only:
        pipeline = MotionPipeline.from_checkpoints(vqvae, gpt)
    else:
        pipeline, sources = DancePipeline.from_checkpoints(vqvae, gpt, video), sources | {"video_diffusion": str(video)}
    notes = {"sources": sources} | ({} if sampling is None else {"sampling": sampling})
    pipeline.save_pretrained(out, notes=notes, half=half)
    total = sum(value.numel() for model in pipeline.models.values() for value in model.parameters())
    use = "--preview --music … --out preview.mp4" if motion_only else "--image … --music … --out dance.mp4"
    print(f"{out}: {total / 1e6:.1f} million parameters. Use it: xdancer generate --model {out} {use}")
