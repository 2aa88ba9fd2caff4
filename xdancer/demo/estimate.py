"""How long a schedule still takes: the phases played through with expected seconds in place of processes."""

from collections.abc import Collection, Mapping, Sequence

from xdancer.demo.phase import Phase


def time_left(
    phases: Sequence[Phase], *, finished: Collection[str], running: Collection[str], seconds: Mapping[str, float], cores: int
) -> float:
    """Seconds until the last phase ends.

    Args:
        phases: all, in their order of preference.
        finished: names of those that are done.
        running: names of those that run now.
        seconds: what each phase still needs, by name.
        cores: sum of `threads` that may run at a time.
    """
    done, active, total = set(finished), {phase.name: seconds[phase.name] for phase in phases if phase.name in running}, 0.0
    threads = {phase.name: phase.threads for phase in phases}
    while True:
        for phase in phases:
            free = cores - sum(threads[name] for name in active)
            waiting = phase.name not in done and phase.name not in active and set(phase.needs) <= done
            if waiting and (phase.threads <= free or not active):
                active[phase.name] = seconds[phase.name]
        if not active:
            return total
        step = min(active.values())
        total += step
        done |= {name for name, left in active.items() if left <= step}
        active = {name: left - step for name, left in active.items() if left > step}
