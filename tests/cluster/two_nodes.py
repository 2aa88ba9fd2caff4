"""A SLURM of two nodes on this machine, from Debian's packages slurm-wlm and munge: start it, wait for its jobs, stop it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
CONFIG = """\
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5,socket={folder}/munge/socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
ReturnToService=2
KillWait=30
MinJobAge=3600
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=1000
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=1000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=n0,n1 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=n0,n1 MaxTime=INFINITE State=UP PriorityTier=2
"""


def missing() -> str | None:
    """Why there can be no cluster here."""
    absent = [name for name in DAEMONS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"needs SLURM (Debian: apt-get install slurm-wlm munge); missing {', '.join(absent)}"
    return None if os.geteuid() == 0 else "needs root, as whom SLURM's daemons start"


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A running cluster; the environment in which its commands find it."""
    for name in ("munge", "state", "spooln0", "spooln1"):
        (folder / name).mkdir(parents=True)
    (folder / "munge/key").write_bytes(os.urandom(128))
    (folder / "munge/key").chmod(0o400)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, host=socket.gethostname(), ports=_free_ports(3)))
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(config), "MASTER_ADDR": "127.0.0.1"}
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    flags = [f"--{name}={folder}/munge/{file}" for name, file in files.items()]
    commands = [
        ["munged", "--foreground", "--force", *flags],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-N", "n0"],
        ["slurmd", "-D", "-N", "n1"],
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (folder / f"{command[0]}-{len(started)}.out").open("wb") as log:
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
            if command[0] == "munged":
                _wait(lambda: (folder / "munge/socket").exists(), 20, "munged makes no socket")
        _wait(lambda: _states(environment) == ["idle", "idle"], 60, "the nodes do not come up")
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def run(environment: dict[str, str], *command: str, folder: Path | None = None, text: str | None = None) -> str:
    """The output of a command of the cluster."""
    done = subprocess.run(command, env=environment, cwd=folder, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


def facts(environment: dict[str, str], job: str) -> dict[str, str]:
    """What SLURM says of a job."""
    words = run(environment, "scontrol", "show", "job", job, "--oneliner").split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def wait_for(environment: dict[str, str], job: str, *states: str, seconds: float = 240) -> dict[str, str]:
    """Wait until a job is in one of these states."""
    found: dict[str, str] = {}

    def there() -> bool:
        found.update(facts(environment, job))
        return found["JobState"] in states

    _wait(there, seconds, f"job {job} does not become {' or '.join(states)}", lambda: str(found))
    return found


def _states(environment: dict[str, str]) -> list[str]:
    done = subprocess.run(["sinfo", "--partition=main", "--Node", "--noheader", "--format=%t"], env=environment, capture_output=True, text=True)
    return done.stdout.split()


def _wait(done, seconds: float, what: str, more=lambda: "") -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what} within {seconds:g} s {more()}"
        time.sleep(0.3)
