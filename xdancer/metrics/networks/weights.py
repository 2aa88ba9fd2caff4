"""What every outside network needs: which bytes it is, weights that fit it one by one, windows that fit its input."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from xdancer.errors import CheckpointError

DIGEST_LENGTH = 12
"""Hexadecimal digits of a digest: 48 bits tell files apart and fit into a table."""
VALUE_RANGE = (-1.0, 1.0)
"""What every network here is called with; each turns it into its own range."""
UNUSED = ".num_batches_tracked"
"""Counters of PyTorch's batch norms, which evaluation never reads: they may be absent."""


def digest_of(paths: Sequence[Path]) -> str:
    """The first digits of the SHA-256 of the files' bytes, one after the other; of one file, as `sha256sum` prints it. Names do not count."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                total.update(piece)
    return total.hexdigest()[:DIGEST_LENGTH]


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], *, source: Path, kind: str, left_out: Sequence[str] = ()) -> None:
    """Fill a network with weights of exactly its names and shapes.

    Args:
        network: is changed.
        state: weights by name.
        source: where they come from, for messages.
        kind: what the network is, for messages.
        left_out: beginnings of names that may lie in the file and are not used.

    Raises:
        CheckpointError: a weight is missing, unknown or of another shape; the message names them.
    """
    wanted = network.state_dict()
    found = {name: value for name, value in state.items() if not name.startswith(tuple(left_out)) or name in wanted}
    missing = [name for name in wanted if name not in found and not name.endswith(UNUSED)]
    unknown = [name for name in found if name not in wanted]
    shapes = [
        f"{name} is {tuple(found[name].shape)}, needed {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise CheckpointError(f"{source} does not hold the weights of {kind}: {'; '.join(problems)}. Give the file that was published for it.")
    network.load_state_dict({name: found.get(name, value) for name, value in wanted.items()})


def check_windows(windows: Float[Tensor, "batch frame 3 height width"], *, name: str, window: int, size: int) -> None:
    """Refuse windows that a network was not made for; a resize here would change the protocol unseen.

    Raises:
        ValueError: another number of frames or another size.
    """
    frames, _, height, width = windows.shape[1:]
    if (frames, height, width) != (window, size, size):
        raise ValueError(f"{name} reads windows of {window} frames of {size}×{size}, got {frames} of {height}×{width}.")
