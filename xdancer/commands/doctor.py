"""`xdancer doctor`: is everything there, and what is missing."""


def doctor(*, dirs: list[str] | None = None, deep: bool = False, json: bool = False) -> None:
    """Check packages, GPU, FFmpeg, weights, shards, disks and SLURM; exit code 1 if something needed is broken.

    Args:
        dirs: splits, folders of splits or addresses of splits, given as plain words; data and data/demo by default, where they exist.
        deep: check every byte of the shards, as `xdancer shards verify` does.
        json: print JSON for scripts instead of a table.
    """
    from rich.console import Console

    from xdancer.doctor.examination import as_json, examine, healthy, show

    findings = list(examine(dirs or (), deep=deep))
    if json:
        print(as_json(findings))
    else:
        show(findings, Console(soft_wrap=False))
    if not healthy(findings):
        raise SystemExit(1)
