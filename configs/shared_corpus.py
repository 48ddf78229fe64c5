"""The quickstart's encoder on five public data sets: does matching teach it anything?

    python run.py pretrain shared_corpus --data $WORK/shards/train \\
        --held-out $WORK/shards/val --workdir runs/shared_corpus

RESULTS.md says how the shards are made, what was measured, and which settings were
tried before these.
"""

import dataclasses

from configs import quickstart
from lvmmed_jax import config
