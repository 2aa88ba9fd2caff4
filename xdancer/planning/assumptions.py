"""What calculations assume of a cluster and of a data set; without torch, so that the command line can show it at once."""

from dataclasses import dataclass

from xdancer.errors import XDancerError


@dataclass(frozen=True)
class Cluster:
    """Speeds; the defaults are the nominal ones of nodes with eight H100 SXM.

    Args:
        peak_tflops: 10^12 operations a second of one GPU: H100, dense bfloat16 (A100: 312).
        utilisation: share of the peak that training reaches.
        least_ms: milliseconds that a step takes however small it is: launches, optimiser, Python. Assumed, not measured.
        node_gpus: GPUs of a node.
        node_gbytes: 10^9 bytes a second from a GPU to another of its node: NVLink 4, one direction.
        network_gbytes: 10^9 bytes a second from a node to another: one port of 400 Gb/s InfiniBand.
        overlap: share of the computing that hides the all-reduce: 0 hides nothing; DDP sends during the backward pass, two thirds of it.
    """

    peak_tflops: float = 989.0
    utilisation: float = 0.4
    least_ms: float = 10.0
    node_gpus: int = 8
    node_gbytes: float = 450.0
    network_gbytes: float = 50.0
    overlap: float = 0.0

    def __post_init__(self) -> None:
        positive = (self.peak_tflops, self.utilisation, self.node_gpus, self.node_gbytes, self.network_gbytes)
        if min(positive) <= 0 or self.least_ms < 0 or not 0 <= self.overlap <= 1:
            raise XDancerError(f"{self}: speeds, utilisation and GPUs of a node are above 0, least_ms is not below 0, overlap lies in [0, 1].")


@dataclass(frozen=True)
class Clips:
    """A data set; the rates are those of two real clips of 512 × 896, 16.7 s together.

    Args:
        number: clips.
        seconds: of a clip.
        video_mbits: 10^6 bits a second of video.mp4 (H.264, CRF 20).
        mask_mbits: of mask.mp4.
        audio_mbits: of audio.m4a (AAC, one channel).
        meta_bytes: of meta.json.
    """

    number: int = 100_000
    seconds: float = 10.0
    video_mbits: float = 1.61
    mask_mbits: float = 0.74
    audio_mbits: float = 0.099
    meta_bytes: int = 600

    def __post_init__(self) -> None:
        if self.number < 1 or self.seconds <= 0 or min(self.video_mbits, self.mask_mbits, self.audio_mbits, self.meta_bytes) < 0:
            raise XDancerError(f"{self}: at least one clip of more than no seconds, and no rate below 0.")

    def member(self, mbits: float) -> int:
        """Bytes of a clip's member of that rate."""
        return round(mbits * 1e6 / 8 * self.seconds)

    @property
    def frames(self) -> int:
        """Of one clip, at 30 a second."""
        return round(self.seconds * 30)
