"""VQ-VAE training step at batch 2048 (paper's stage 1): ours against the same network as five separate encoders in a loop with
vector-quantize-pytorch's codebooks. One JSON line per number of threads.

    python benchmarks/vqvae_step.py [--batch 2048] [--runs 7] [--threads 1 2]

Both sides hold the same weights and codes (the first losses are compared), use AdamW as torch has it, and run in turn.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from xdancer.types import PoseBatch
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

TARGET = 2.0


class ReferenceBlock(nn.Module):
    """Residual convolution, channels first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(width, width, 3, padding=1), nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class ReferenceDense(nn.Module):
    """Residual two-layer perceptron."""

    def __init__(self, width: int, inside: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, inside), nn.Linear(inside, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(F.gelu(x))))


class ReferenceEncoder(nn.Module):
    """One part's encoder."""

    def __init__(self, config: VQVAEConfig, keypoints: int) -> None:
        super().__init__()
        channels, width, outputs = config.encoder_channels, config.encoder_width, config.part_slots * config.code_width
        self.slots = config.part_slots
        self.enter = nn.Conv1d(3, channels, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(channels, keypoints))
        self.blocks = nn.Sequential(*(ReferenceBlock(channels) for _ in range(config.encoder_convolutions)))
        self.flat = nn.Linear(channels * keypoints, width)
        self.dense = nn.Sequential(*(ReferenceDense(width, config.encoder_bottleneck) for _ in range(config.encoder_depth)))
        self.leave, self.linear = nn.Linear(width, outputs), nn.Linear(keypoints * 3, outputs)

    def forward(self, points: Tensor) -> Tensor:
        x = self.blocks(self.enter(points.transpose(1, 2)) + self.place)
        x = self.leave(F.gelu(self.dense(self.flat(F.relu(x).flatten(1)))))
        return (x + self.linear(points.flatten(1))).unflatten(1, (self.slots, -1))


class Reference(nn.Module):
    """The network of `VQVAE` with a module per part for everything."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleList(ReferenceEncoder(config, len(points)) for points in config.part_keypoints)
        self.codebooks = nn.ModuleList(
            VectorQuantize(
                dim=config.code_width, codebook_size=config.codes, decay=config.ema_decay, commitment_weight=config.beta,
                threshold_ema_dead_code=2,
            )
            for _ in config.part_keypoints
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(config.parts * config.part_slots * config.code_width, config.decoder_width),
            *(ReferenceDense(config.decoder_width, config.decoder_width) for _ in range(config.decoder_depth)),
        )
        self.heads = nn.ModuleList(nn.Linear(config.decoder_width, len(points) * 3) for points in config.part_keypoints)

    def loss(self, pose: PoseBatch) -> tuple[Tensor, Tensor]:
        """Reconstruction loss as ours, and the codebooks' commitment (a mean square, as the library has it)."""
        points = torch.cat([pose.keypoints, pose.confidence[..., None]], dim=-1).flatten(0, 1)
        codes, commitments = [], []
        for encoder, codebook, keypoints in zip(self.encoders, self.codebooks, self.config.part_keypoints, strict=True):
            quantized, _, commitment = codebook(encoder(points[:, list(keypoints)]))
            codes.append(quantized)
            commitments.append(commitment)
        hidden = self.decoder(torch.stack(codes, dim=1).flatten(1))
        total = torch.zeros(())
        for head, keypoints in zip(self.heads, self.config.part_keypoints, strict=True):
            part, target = head(hidden).unflatten(1, (-1, 3)), points[:, list(keypoints)]
            weight = self.config.invisible_weight + (1 - self.config.invisible_weight) * target[..., 2:]
            place = (part[..., :2] - target[..., :2]) * weight.sqrt()
            confidence = (part[..., 2:].sigmoid() - target[..., 2:]) * self.config.confidence_weight**0.5
            total = total + (torch.cat([place, confidence], dim=-1).flatten(1).square().sum(-1) + 1e-12).sqrt().mean()
        return total, torch.stack(commitments).sum()

    @torch.no_grad()
    def copy(self, model: VQVAE) -> None:
        """Take over our weights and codes."""
        ours = model.encoder
        for part, (encoder, codebook, keypoints) in enumerate(zip(self.encoders, self.codebooks, self.config.part_keypoints, strict=True)):
            convolve = ours.convolutions[part]
            pairs = [(encoder.enter, convolve.enter), (encoder.linear, ours.linear[part])]
            for theirs, block in zip(encoder.blocks, convolve.blocks, strict=True):
                pairs += [(theirs.first, block.first), (theirs.second, block.second)]
            for theirs, source in pairs:
                theirs.weight.copy_(source.weight.reshape(theirs.weight.shape))
                theirs.bias.copy_(source.bias)
            encoder.place.copy_(convolve.place.T)
            flat = convolve.leave.weight.unflatten(1, (len(keypoints), -1)).transpose(1, 2)  # they flatten channels first
            encoder.flat.weight.copy_(flat.flatten(1))
            encoder.flat.bias.copy_(convolve.leave.bias)
            dense = [(encoder.leave, ours.leave)]
            for theirs, block in zip(encoder.dense, ours.blocks, strict=True):
                dense += [(theirs.first, block.first), (theirs.second, block.second)]
            for theirs, source in dense:
                theirs.weight.copy_(source.weight[part].T)
                theirs.bias.copy_(source.bias[part, 0])
            codebook._codebook.embed.copy_(model.codebook.vectors[part][None])
            codebook._codebook.embed_avg.copy_(model.codebook.sums[part][None])
            codebook._codebook.cluster_size.copy_(model.codebook.counts[part][None])
            rows = [3 * keypoint + channel for keypoint in keypoints for channel in range(3)]
            self.heads[part].weight.copy_(model.heads.weight[rows])
            self.heads[part].bias.copy_(model.heads.bias[rows])
        self.decoder.load_state_dict(model.decoder.state_dict())


def measure(threads: int, batch: int, runs: int) -> dict[str, object]:
    """Median seconds of a training step of either side."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = VQVAE().train()
    pose = PoseBatch(torch.randn(batch, 1, 60, 2) * 0.5, torch.rand(batch, 1, 60))
    with torch.no_grad():
        model(pose)  # places the codes
    reference = Reference(model.config).train()
    reference.copy(model)
    optimizers = [torch.optim.AdamW(network.parameters(), lr=2e-4) for network in (model, reference)]

    def ours() -> float:
        optimizers[0].zero_grad()
        loss = vqvae_loss(model(pose), target=pose, config=model.config)
        loss.total.backward()
        optimizers[0].step()
        return float(loss.reconstruction.detach())

    def theirs() -> float:
        optimizers[1].zero_grad()
        reconstruction, commitment = reference.loss(pose)
        (reconstruction + commitment).backward()
        optimizers[1].step()
        return float(reconstruction.detach())

    first = ours(), theirs()
    if abs(first[0] - first[1]) > 1e-4 * first[0]:
        raise SystemExit(f"The two networks differ: first losses {first}.")
    times: dict[str, list[float]] = {"ours": [], "reference": []}
    for _ in range(runs):
        for name, step in (("ours", ours), ("reference", theirs)):
            begin = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begin)
    own, other = (statistics.median(values) for values in times.values())
    return {
        "what": f"VQ-VAE training step, batch {batch}, {threads} thread(s)", "ours": round(own, 4), "reference": round(other, 4),
        "ratio": round(other / own, 3), "target": TARGET, "unit": "s", "runs": runs, "poses_per_second": round(batch / own),
        "reference_is": "five encoders in a loop, vector-quantize-pytorch codebooks", "first_losses": [round(value, 6) for value in first],
    }  # fmt: skip


def main() -> None:
    """Print one line per number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    for threads in arguments.threads:
        print(json.dumps(measure(threads, arguments.batch, arguments.runs)), flush=True)


if __name__ == "__main__":
    main()
