"""`xdancer demo`: from nothing to a dance video and a report."""

from pathlib import Path

from xdancer.device import DeviceName, Precision


def demo(
    *, out: Path = Path("xdancer_demo"), seed: int = 0, minutes: float | None = None, shipped: bool = False,
    device: DeviceName = "auto", precision: Precision = "fp32",
) -> Path:  # fmt: skip
    """Train all stages from random weights on the embedded data set, let an unseen portrait dance to an unseen song, and report.

    With --shipped nothing is trained: the model in the package dances, and is measured on a few held-out clips, in two minutes.

    Interrupted and started again with the same flags it continues where it stopped.

    Args:
        out: folder of everything the demo writes; report.html in it is the place to look.
        seed: of data, training and sampling; same seed and minutes, same result.
        minutes: scales the numbers of training steps; 15, the default, is measured on two cores, more is better.
        shipped: show the model in the package instead of training one.
        device: auto, cpu, cuda or mps; the small models gain little from a GPU.
        precision: fp32 or bf16.

    Raises:
        XDancerError: the folder holds something else or a demo with other flags, or a phase failed.
    """
    from rich.console import Console

    from xdancer.demo.budget import DEFAULT_MINUTES, Budget
    from xdancer.demo.display import Display, clock
    from xdancer.demo.folders import Folders
    from xdancer.demo.lock import hold
    from xdancer.demo.plan import make_phases
    from xdancer.demo.scheduler import run_phases
    from xdancer.demo.state import open_state
    from xdancer.device import select_device
    from xdancer.errors import XDancerError
    from xdancer.workers import terminated_like_interrupted

    if shipped and minutes is not None:
        raise XDancerError(f"--minutes {minutes:g}: --shipped trains nothing. Leave one of the two out.")
    budget, console = Budget.shipped() if shipped else Budget.of(DEFAULT_MINUTES if minutes is None else minutes), Console()
    place = select_device(device)
    length = {"shipped": True} if shipped else {"minutes": budget.minutes}
    state = open_state(out.absolute(), {"seed": seed, **length, "device": str(place), "precision": precision})
    folders = Folders(out.absolute(), shipped)
    phases = make_phases(folders, budget, seed=seed, device=device, precision=precision)
    work = "the model in the package" if shipped else f"{budget.minutes:g} minutes"
    console.print(f"xdancer demo: {out}, seed {seed}, {work}, device {place}, precision {precision}", soft_wrap=True)
    with hold(folders.root / ".lock") as lock, terminated_like_interrupted(), Display(phases, state, console) as display:
        run_phases(phases, state, folders.logs, watch=display.watch, keep_open=lock)
    from xdancer.demo.story import tell  # late: what it imports would fill memory while the phases run

    tell(folders, state, phases)
    console.print(f"{out / 'report.html'}: open it in a browser. {out / 'dance.mp4'}: the dance. {clock(state.wall)} in all.", soft_wrap=True)
    return out / "report.html"
