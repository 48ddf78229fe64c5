#!/usr/bin/env bash
# Two nodes of eight GPUs: sbatch --export=ALL,DATA=/shared/shards,WORK=/shared/runs/a examples/cluster/slurm.sh
#
# What it relies on: one process a GPU; jax reads SLURM_JOB_ID, SLURM_STEP_NODELIST,
# SLURM_NTASKS, SLURM_PROCID and SLURM_LOCALID, and process i of a node takes its GPU i:
# so GPUs are asked for by node (--gpus-per-task would hide seven of them from it).
# DATA and WORK lie on a disk that every node sees.
#SBATCH --job-name=lvmmed
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
set -uo pipefail

# 192 graphs of 16 images in a batch: 12 on each of the 16 GPUs
srun --kill-on-bad-exit=1 python run.py pretrain lvmmed_resnet50 --distributed \
  --data "$DATA" --workdir "$WORK" --data.num_workers=8
code=$?

# SIGTERM three minutes before the end: every process has saved the same step
if [ "$code" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
