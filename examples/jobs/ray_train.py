"""Trains on the machines of a Ray cluster: `python ray_train.py --data DATA --out RUN --workers 16 --gpu`.

Needs `pip install "ray[train]"`. The run folder must be on a file system that all machines share. Ray starts a process
for each worker and joins them; when one dies it starts all anew, which go on from the newest saved state.
"""

import argparse

from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer, get_device

import biggan
from biggan.config import Config
from biggan.sitting import Watch

WEEK = (
    7 * 24 * 60 * 60
)  # a process that hangs is noticed by `hang_minutes`, not by a time limit on what all do together


def work(given: dict[str, object]) -> None:
    """One worker's part; all call it alike."""
    config = given["config"]
    assert isinstance(config, Config)
    watch = Watch(say=print) if get_context().get_world_rank() == 0 else None
    biggan.train(str(given["data"]), str(given["out"]), config, device=str(get_device()), watch=watch)


def main() -> None:
    """Reads the command and hands the job to Ray."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="a path that all machines see, or fashion-mnist")
    parser.add_argument("--out", required=True, help="the run folder, as a full path")
    parser.add_argument("--preset", default="cpu-small")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="a GPU for each worker")
    asked = parser.parse_args()
    TorchTrainer(
        work,
        train_loop_config={"data": asked.data, "out": asked.out, "config": biggan.preset(asked.preset)},
        # CPU tensors travel too, and NCCL alone does not take them.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if asked.gpu else "gloo", timeout_s=WEEK),
        scaling_config=ScalingConfig(num_workers=asked.workers, use_gpu=asked.gpu),
        run_config=RunConfig(name="biggan", failure_config=FailureConfig(max_failures=-1)),
    ).fit()


if __name__ == "__main__":
    main()
