"""Processor, memory, accelerators, disks, and the cluster's commands."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from xdancer.doctor.finding import Finding, gigabytes

LITTLE_DISK = 10e9
"""Bytes below which a run's checkpoints may not fit."""
NO_DISK = 100e6
LITTLE_SHARED = 256e6
"""Bytes of /dev/shm below which processes of a run may not find each other."""


def check_machine() -> Iterator[Finding]:
    """Cores, memory, shared memory."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("machine", "processor", "ok", f"{usable} of {os.cpu_count()} cores usable, {platform.machine()}, {platform.system()}")
    total = _memory()
    if total is not None:
        little = total < 8e9
        advice = "training of the paper's sizes wants more; xdancer plan says how much" if little else ""
        yield Finding("machine", "memory", "note" if little else "ok", gigabytes(total), advice)
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        little = free < LITTLE_SHARED
        advice = "several GPUs may need more: docker run --shm-size 8g" if little else ""
        yield Finding("machine", "/dev/shm", "note" if little else "ok", f"{gigabytes(free)} free", advice)


def _memory() -> int | None:
    """Bytes that this process may use: the machine's, or its control group's where that is less."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            total = min(total, int((Path("/sys/fs/cgroup") / name).read_text()))
        except (OSError, ValueError):
            continue
    return total


def check_disks() -> Iterator[Finding]:
    """Room where runs, data and fetched shards go."""
    from xdancer.data.remote import cache_folder

    for name, place in {"runs": Path("runs"), "data": Path("data"), "cache": cache_folder()}.items():
        there = place.absolute()
        while not there.exists():
            there = there.parent
        free = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            yield Finding("disk", name, "broken", f"{place}: {there} cannot be written to", "Change its permissions, or the folder.")
        elif free < NO_DISK:
            yield Finding("disk", name, "broken", f"{place}: {gigabytes(free)} free", "Free space.")
        else:
            little = free < LITTLE_DISK
            yield Finding(
                "disk", name, "note" if little else "ok", f"{place}: {gigabytes(free)} free", "Little for checkpoints." if little else ""
            )


def check_slurm() -> Iterator[Finding]:
    """The commands that submit jobs."""
    found = shutil.which("sbatch")
    if found is None:
        yield Finding("cluster", "SLURM", "note", "no sbatch here", "Only needed on a cluster: run the doctor on its login node.")
        return
    try:
        done = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, timeout=5, check=False)
        version, reason = (done.stdout.strip() if done.returncode == 0 else ""), done.stderr.strip()
    except (OSError, subprocess.SubprocessError) as error:
        version, reason = "", str(error)
    if version:
        yield Finding("cluster", "SLURM", "ok", f"{version}, {found}")
    else:
        reason = (reason.splitlines() or ["no answer"])[0][:200]
        yield Finding("cluster", "SLURM", "note", f"{found} is there, but sinfo says: {reason}", "Jobs cannot be submitted from here.")


def check_devices() -> Iterator[Finding]:
    """What torch computes on, and how its processes talk."""
    try:
        import torch
    except Exception as error:  # a damaged installation fails in many ways
        yield Finding("devices", "torch", "broken", f"cannot be imported ({type(error).__name__}: {error})"[:300], "Install torch again.")
        return
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
            yield Finding("devices", f"GPU {number}", "ok", f"{card.name}, {gigabytes(card.total_memory)}, {kind}")
    elif torch.backends.mps.is_available():
        yield Finding("devices", "GPU", "ok", "Apple MPS")
    else:
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
        shows = shutil.which("nvidia-smi") is not None
        advice = "nvidia-smi is there: install a CUDA build of torch, or a newer driver." if shows else "Stages of the paper's size want a GPU."
        yield Finding("devices", "GPU", "note", f"none ({built})", advice)
    distributed = torch.distributed
    nccl, gloo = (distributed.is_available() and check() for check in (distributed.is_nccl_available, distributed.is_gloo_available))
    wanted = torch.cuda.is_available() and torch.cuda.device_count() > 1
    state = "ok" if nccl else "broken" if wanted and torch.version.cuda else "note"
    advice = "" if nccl else "Several GPUs need it: install a CUDA build of torch." if wanted else "Only needed for several GPUs."
    yield Finding("devices", "NCCL", state, "available" if nccl else "not in this torch", advice)
    yield Finding("devices", "gloo", "ok" if gloo else "note", "available" if gloo else "not in this torch", "" if gloo else "No DDP on CPUs.")
