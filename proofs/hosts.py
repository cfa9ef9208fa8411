"""Three hosts train together; two of them, one after another, lose the network and get it back; compares bytes.

The hosts are network namespaces, so it needs root; without, it says so and does nothing.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import _report
from _network import CARD, NETWORK, Network, NoNamespaces
from kill import TRAIN, fingerprint, leftovers

HOSTS, MEETING_PLACE, PORT, RESTARTS = 3, 3, 29400, 100
LENGTH = ["--batch-size", "12", "--total-images", "192", "--save-images", "48", "--sheet-images", "192"]
LENGTH += ["--report-images", "24", "--hang-minutes", "1"]
WHOLE = (sys.executable, "-m", "biggan", "info", "--done")

# A host's own supervisor, as Slurm's or Kubernetes' would: what the run folder holds decides, not the exit code.
SUPERVISE = """
out=$1; shift
until "$@"; do
    echo "torchrun ended with $?"
    "$PYTHON" -m biggan info "$out" --done > /dev/null 2>&1 && exit 0
done
exit 0  # a loop's own code is that of the last try before
"""

# Pulls a host's cable at the bridge's end once so many reports were written, and puts it back after some seconds.
CUT = """
reports() { { wc -l < "$STATS"; } 2> /dev/null || echo 0; }
until [ "$(reports)" -ge "$AFTER" ]; do sleep 0.2; done
ip -n "$BRIDGE" link set "$PORT" down
sleep "$FOR"
ip -n "$BRIDGE" link set "$PORT" up
"""

# Host, after how many reports, seconds. After an odd number the cut is not within a save, which has ten times as long
# before it counts as hung.
CUTS = ((1, 1, 5), (1, 3, 100), (2, 5, 100))


class Job:
    """A training job on all hosts."""

    def __init__(self, network: Network, out: Path) -> None:
        self.network, self.out = network, out

    def output(self, number: int) -> Path:
        """What a host printed."""
        return self.out.with_suffix(f".{number}.out")

    def said(self, text: str) -> int:
        """How often the hosts printed a text."""
        return sum(self.output(number).read_text(errors="replace").count(text) for number in self.network.numbers)

    def went_on(self) -> int:
        """How often the run went on from a saved state."""
        return (self.out / "log.txt").read_text().count("Going on from")

    def start(self, number: int) -> subprocess.Popen[bytes]:
        """Starts a host's supervisor with its torchrun."""
        torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={HOSTS}", "--nproc-per-node=1"]
        torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint={NETWORK}{MEETING_PLACE}:{PORT}"]
        # A namespace has no name of its own by which torchrun could tell that it is the meeting place.
        torchrun += [f"--rdzv-conf=is_host={int(number == MEETING_PLACE)}", "--rdzv-id=proof"]
        torchrun += [f"--local-addr={NETWORK}{number}", f"--max-restarts={RESTARTS}"]
        train = ["-m", "biggan", "train", *TRAIN, *LENGTH, "--out", str(self.out)]
        told = {"GLOO_SOCKET_IFNAME": CARD, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "LOGLEVEL": "INFO"}
        # Else torchrun gives restarted processes the addresses of those before (docs/clusters.md).
        told |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "PYTHON": sys.executable}
        supervisor = [*self.network.inside(number), "sh", "-c", SUPERVISE, "host", str(self.out), *torchrun, *train]
        with self.output(number).open("ab") as output:
            return subprocess.Popen(
                supervisor, stdout=output, stderr=output, env={**os.environ, **told}, start_new_session=True
            )

    def cut(self, host: int, after: int, seconds: int) -> subprocess.Popen[bytes]:
        """Starts what waits for its moment and takes a host's network away."""
        told = {"STATS": str(self.out / "stats.jsonl"), "BRIDGE": self.network.bridge, "PORT": f"port{host}"}
        told |= {"AFTER": str(after), "FOR": str(seconds)}
        inside = ["ip", "netns", "exec", self.network.bridge]  # so that it ends with the network
        return subprocess.Popen([*inside, "sh", "-c", CUT], env={**os.environ, **told}, start_new_session=True)

    def run(self, cuts: tuple[tuple[int, int, int], ...] = ()) -> None:
        """Works to the end of the job, with some cuts on the way."""
        running = [self.start(number) for number in self.network.numbers] + [self.cut(*cut) for cut in cuts]
        while any(process.poll() is None for process in running):
            time.sleep(0.5)
        codes = [process.returncode for process in running]
        if any(codes) or subprocess.run([*WHOLE, str(self.out)], capture_output=True).returncode:
            last = "".join(self.output(number).read_text(errors="replace")[-3000:] for number in self.network.numbers)
            raise SystemExit(f"The job ended with {codes}: {last}")


def prove(network: Network, folder: Path) -> bool:
    """Runs both jobs, compares and reports."""
    whole, job = Job(network, folder / "undisturbed"), Job(network, folder / "cut")
    whole.run()
    print("The undisturbed job is done.", flush=True)
    job.run(CUTS)
    equal = fingerprint(job.out) == fingerprint(whole.out) and not leftovers(job.out)
    came_back = job.said("new nodes from group_rank")
    _report.write(
        "hosts",
        "A host of three loses the network and returns; the job ends with the same bytes",
        f"On each of three hosts (network namespaces joined by a bridge) `torchrun --nnodes {HOSTS} --nproc-per-node 1 "
        f"--rdzv-backend c10d --max-restarts {RESTARTS} -m biggan train {' '.join(TRAIN + LENGTH)}` worked on a run "
        f"folder that all see; host {MEETING_PLACE} kept the rendezvous. The cable was pulled of host 1, whose process "
        "is process 0 and writes, for a moment and later for long, and then of host 2. Where torchrun itself ended, a "
        "loop on its host started it again, as Slurm or Kubernetes would; all else is torchrun's and ours. Compared "
        "are the bytes of the model's tensor files and of all kept states, and the figures of every step, with an "
        "undisturbed job's.",
        {
            "cuts": "; ".join(f"host {host} for {seconds} s" for host, _, seconds in CUTS),
            "processes that hung and were ended by --hang-minutes, with stacks": job.said("Timeout (0:"),
            "restarts by torchrun, as its process had ended": job.said("will restart worker group") - came_back,
            "restarts by torchrun, as another host came back": came_back,
            "torchruns that ended badly and were started again by the loops": job.said("torchrun ended"),
            "times that the run went on from a saved state": job.went_on(),
            "the same of the undisturbed job": whole.went_on(),
            "equal to the undisturbed job in every byte, with nothing left over": "yes" if equal else "NO",
        },
    )
    return equal


def main() -> None:
    """Makes the hosts, proves, removes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the runs and what the hosts printed")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, _leave)
    folder = Path(tempfile.mkdtemp(prefix="biggan-hosts-"))
    try:
        with Network(HOSTS) as network:
            equal = prove(network, folder)
    except NoNamespaces as reason:
        print(f"proofs/hosts.py was left out, as hosts in network namespaces cannot be made here: {reason}.")
        return
    finally:
        if keep:
            print(f"What the hosts did is in {folder}.")
        else:
            shutil.rmtree(folder)
    sys.exit(not equal)


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
