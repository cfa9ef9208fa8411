#!/bin/bash
# Trains on several machines under Slurm until the run is done, however often the job is pre-empted or runs out of time:
#   sbatch examples/jobs/slurm.sh
# RUN must be on a file system that all machines share; DATA may be a copy on each (the processes compare them).
#SBATCH --job-name=biggan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
#SBATCH --signal=B:USR1@180
# --requeue: back into the queue after pre-emption or the loss of a machine.
# --signal: three minutes before the time is up this script, not the processes, receives USR1.
set -euo pipefail

DATA=${DATA:-/data/imagenet128.pack}
RUN=${RUN:-/shared/runs/imagenet128}
PROCESSES=${PROCESSES:-gpu}          # on each machine: one for each GPU, or a number
read -r -a FLAGS <<< "${FLAGS:---preset biggan128}"

# How long torchrun waits for processes that save after SIGTERM; its default of 30 seconds is short for a large model.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=150
# Else torchrun may give restarted processes the addresses of those before (docs/clusters.md).
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

asked=no
ask() {  # every torchrun hands SIGTERM to its processes, which save and exit with 75
    asked=yes
    scancel --signal=TERM "$SLURM_JOB_ID"
}
trap ask USR1 TERM

newest_state() { { find "$RUN/states" -maxdepth 1 -name '[0-9]*' 2> /dev/null || true; } | sort | tail -n 1; }

before=$(newest_state)
read -r first < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# Where a torchrun ends badly the step ends (--kill-on-bad-exit), rather than wait for it; then the job begins again.
srun --kill-on-bad-exit=1 torchrun \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "$PROCESSES" --max-restarts 10 \
    --rdzv-backend c10d --rdzv-endpoint "$first:29400" --rdzv-id "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" \
    -m biggan train --data "$DATA" --out "$RUN" "${FLAGS[@]}" &
step=$!
while kill -0 "$step" 2> /dev/null; do  # a signal ends `wait`, not the step
    wait "$step" || true
done

# The run folder says whether the run is done; torchrun's exit code does not.
if biggan info "$RUN" --done; then
    echo "The run is done."
elif [ "$asked" = yes ] || [ "$(newest_state)" != "$before" ]; then
    echo "The run is not done; the job goes back into the queue."
    scontrol requeue "$SLURM_JOB_ID"
else
    echo "The run ended without progress; see above." >&2
    exit 1
fi
