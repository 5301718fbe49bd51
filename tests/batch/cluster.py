"""A real Slurm of two virtual nodes on this machine, with fake GPUs, without systemd: started, and stopped by its pids.

Debian's `slurm-wlm` and `munge` must be installed, and the user be root, because the daemons want their own files and
the GPUs are device nodes. Nothing of it lies outside one folder, and every port is a free one of the loopback.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
NODES = ("n1", "n2")
PATIENCE = 300.0  # seconds until something that must happen has not: far more than it takes, where cores are shared
_GPUS = 2  # of a node

_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credential has run out: two minutes by default, and six seconds at least.
AuthInfo=socket={root}/munge.sock,cred_expire=6
CredType=cred/munge
SlurmctldPort={port}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=60
OverTimeLimit=0
SlurmctldTimeout=60
SlurmdTimeout=30
InactiveLimit=0
MinJobAge=600
MaxArraySize=5
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=20 PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=ALL MaxTime=INFINITE DefaultTime=20 PriorityTier=10 PreemptMode=OFF
"""


def lacking() -> str | None:
    """Why there can be no cluster here; None when there can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"{missing[0]} is not installed (Debian: slurm-wlm and munge)"
    return None if os.geteuid() == 0 else "the daemons of a throw-away Slurm need root"


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `environment` is what its commands need."""

    root: Path
    environment: dict[str, str]

    def call(self, *words: object, check: bool = True) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            [str(word) for word in words], env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_again(self, node: str) -> None:
        """Start the daemon of a node that was killed."""
        (self.root / f"slurmd-{node}.pid").unlink(missing_ok=True)
        self.call("slurmd", "-N", node, "-f", self.root / "slurm.conf")
        until(lambda: self.call("sinfo", "-h", "-N", "-n", node, "-p", "low", "-o", "%T").strip() in ("idle", "mixed"))

    def states(self) -> dict[str, str]:
        """The state of each job, or element of an array, that the cluster knows."""
        lines = self.call("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").split("\n")
        return dict(line.split() for line in lines if line.strip())


@contextmanager
def slurm(root: Path) -> Iterator[Cluster]:
    """A cluster within the context, whose files are in `root`; afterwards none of its processes is left."""
    port, *ports = _free_ports(1 + len(NODES))
    _configure(root, port, ports)
    environment = {**os.environ, "SLURM_CONF": str(root / "slurm.conf"), "PATH": _path()}
    cluster = Cluster(root, environment)
    with ExitStack() as stack:
        _start(stack, environment, root / "munged.pid", *_munged(root))
        _start(stack, environment, root / "slurmctld.pid", "slurmctld", "-c", "-f", root / "slurm.conf")
        for node in NODES:
            command = ("slurmd", "-N", node, "-f", root / "slurm.conf")
            _start(stack, environment, root / f"slurmd-{node}.pid", *command)
        until(lambda: cluster.call("sinfo", "-h", "-N", "-p", "low", "-o", "%T", check=False).split() == ["idle"] * 2)
        try:
            yield cluster
        finally:
            cluster.call("scancel", "--user=root", check=False)
            with suppress(TimeoutError):
                until(lambda: not cluster.call("squeue", "-h", check=False).strip(), 90)


def _configure(root: Path, port: int, ports: list[int]) -> None:
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (root / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={own} CPUs=2 RealMemory=4000 Gres=gpu:{_GPUS}"
        for node, own in zip(NODES, ports, strict=True)
    ]
    devices = []
    for node in NODES:
        for gpu in range(_GPUS):
            os.mknod(root / f"{node}-gpu{gpu}", 0o20666, os.makedev(1, 3))  # as /dev/null
        devices.append(f"NodeName={node} Name=gpu File={root}/{node}-gpu[0-{_GPUS - 1}]")
    head, partitions = _CONFIG.format(root=root, host=host, port=port).split("PartitionName=low", 1)
    (root / "slurm.conf").write_text("\n".join([head, *nodes, f"PartitionName=low{partitions}"]))
    (root / "gres.conf").write_text("\n".join(devices) + "\n")
    (root / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\n")


def _munged(root: Path) -> tuple[object, ...]:
    key = root / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    names = {"key-file": key, "socket": root / "munge.sock", "pid-file": root / "munged.pid"}
    names |= {"log-file": root / "munged.log", "seed-file": root / "munge.seed"}
    return ("munged", "--force", "--num-threads=1", *(f"--{name}={path}" for name, path in names.items()))


def _start(stack: ExitStack, environment: dict[str, str], pid: Path, *command: object) -> None:
    """Start a daemon, which goes into the background and writes its pid."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    until(lambda: pid.exists() and bool(pid.read_text().strip()))
    stack.callback(lambda: _end(int(pid.read_text())))  # it may have been started again meanwhile


def _end(pid: int) -> None:
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError, TimeoutError):
            os.kill(pid, number)
            until(lambda: not Path(f"/proc/{pid}").exists(), patience)
            return


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def until(true: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait until something is true. Raises TimeoutError."""
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)
