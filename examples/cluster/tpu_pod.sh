#!/usr/bin/env bash
# A TPU pod slice, for example v5litepod-16: four hosts of four chips.
#   TPU=name ZONE=zone DATA=/mnt/disk/shards WORK=/mnt/disk/runs/a examples/cluster/tpu_pod.sh
#
# What it relies on: the same command on every host (--worker=all); on a TPU VM jax finds
# the other hosts by itself. The checkout is in ~/lvmmed_jax on every host, with
#   pip install -r requirements.txt "jax[tpu]"
# DATA and WORK lie on a disk that every host sees (Filestore, or a bucket mounted as one).
set -euo pipefail

# 192 graphs of 16 images in a batch: 12 on each of the 16 chips
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="
  cd lvmmed_jax && python run.py pretrain lvmmed_resnet50 --distributed \
    --data '$DATA' --workdir '$WORK' --data.num_workers=32"
# A slice that is taken away sends SIGTERM: the run saves; the same command goes on.
