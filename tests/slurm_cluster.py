"""A SLURM of two nodes on this machine: Debian's packages, no systemd, no cgroups; all its files in one folder."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
NODES = ("zoo1", "zoo2")
HOSTS = Path("/etc/hosts")

CONFIGURATION = """
ClusterName=zoo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=100000
JobRequeue=1
ReturnToService=2
KillWait=60
MinJobAge=600
SlurmdTimeout=60
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=120
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Why no cluster can be started here; None where it can."""
    absent = [name for name in PROGRAMS if _program(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm and munge)"
    if os.geteuid():
        return "only root can start slurmd and name the nodes in /etc/hosts"
    return None


class SlurmCluster:
    """Starts the daemons; ``stop`` ends them and leaves /etc/hosts as it was.

    Args:
        folder: for all files, absolute.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.hosts = HOSTS.read_bytes()
        self.daemons: list[subprocess.Popen[bytes]] = []
        ports = _free_ports(1 + len(NODES))
        host = socket.gethostname().partition(".")[0]
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=1000 State=UNKNOWN"
            for node, port in zip(NODES, ports[1:], strict=True)
        ]
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (folder / name).mkdir(parents=True)
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(host=host, controller_port=ports[0], folder=folder, nodes="\n".join(nodes))
        )

    def start(self) -> None:
        """Start munged, slurmctld and the node daemons, and wait until the nodes are idle."""
        # The first node's name is where the ranks meet.
        HOSTS.write_bytes(self.hosts.rstrip(b"\n") + b"\n" + b"".join(f"127.0.0.1 {n}\n".encode() for n in NODES))
        munge = self.folder / "munge"
        munge.mkdir(mode=0o755)
        key = munge / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        self._daemon("munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files)
        self.wait(lambda: (munge / "socket").exists(), 10, "munged")
        self._daemon("slurmctld", "-D")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node)
        self.wait(lambda: self.output("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2", 30, "idle nodes")

    def stop(self) -> None:
        """End the jobs and the daemons."""
        try:
            subprocess.run(["scancel", "--user=root"], env=self.environment, capture_output=True, timeout=20)
            deadline = time.monotonic() + 30
            while self.output("squeue", "-h").strip() and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            for daemon in reversed(self.daemons):
                daemon.terminate()
                try:
                    daemon.wait(10)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
            HOSTS.write_bytes(self.hosts)

    def output(self, *command: str) -> str:
        """Run a command of SLURM; returns what it prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)
        return done.stdout

    def job(self, number: int) -> dict[str, str]:
        """What ``scontrol`` says of a job."""
        text = self.output("scontrol", "show", "job", str(number))
        return dict(part.split("=", 1) for part in text.split() if "=" in part)

    def wait(self, condition, seconds: float, what: str) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: it does not in time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {what} within {seconds} s")
            time.sleep(0.1)

    def _daemon(self, name: str, *arguments: str) -> None:
        program = _program(name)
        assert program is not None
        with (self.folder / f"{name}.out").open("ab") as log:
            self.daemons.append(
                subprocess.Popen([program, *arguments], env=self.environment, stdout=log, stderr=subprocess.STDOUT)
            )


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
