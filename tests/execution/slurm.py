"""A SLURM of this machine alone, on loopback, in a folder: controller, one node, and what they trust each other by."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from .support import PATIENCE, soon

_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "munged", "mungekey")
_SETTINGS = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} RealMemory=64000
PartitionName=tests Nodes={host} Default=YES
"""


def missing():
    """Why there can be none here, or None."""
    absent = [each for each in _PROGRAMS if shutil.which(each, path=_path()) is None]
    if absent:
        return f"SLURM is not installed ({absent[0]} is missing)"
    if os.getuid() != 0:
        return "SLURM's daemons are started as root"
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        return "this host's name is not known to itself"
    return None


@contextmanager
def slurm(folder, processors=2):
    """The environment in which its commands find it, while the block runs."""
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o755)
    host = socket.gethostname().partition(".")[0]
    settings = folder / "slurm.conf"
    ports = {"controller": free_port(), "node": free_port()}
    settings.write_text(_SETTINGS.format(host=host, folder=folder, processors=processors, **ports))
    environment = {**os.environ, "SLURM_CONF": str(settings), "PATH": _path()}
    started = []

    def start(*command):
        with (folder / f"{Path(command[0]).name}.out").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    munge = folder / "munge"
    subprocess.run(["mungekey", "-c", "-k", munge / "key"], check=True, env=environment)
    try:
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        start("munged", "--foreground", "--force", *(f"--{name}={munge / file}" for name, file in files.items()))
        assert soon((munge / "socket").exists), (munge / "log").read_text()
        start("slurmctld", "-D", "-i")
        start("slurmd", "-D", "-N", host)
        assert soon(lambda: b"idle" in said("sinfo", "-h", "-o", "%t", env=environment)), "the node does not come up"
        yield environment
    finally:
        said("scancel", "--user", "root", env=environment)
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def jobs_left(environment):
    return said("squeue", "-h", env=environment).splitlines()


def wait_for_jobs(environment, seconds=600):
    deadline = time.monotonic() + seconds
    while jobs_left(environment):
        assert time.monotonic() < deadline, said("squeue", env=environment).decode()
        time.sleep(0.5)


def said(*command, env):
    return subprocess.run(command, capture_output=True, env=env).stdout


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _path():
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
