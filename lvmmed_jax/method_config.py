"""Settings of the pre-training methods beside graph matching; a run reads its own.

The defaults are those of each method's official code or paper, at its full size;
`configs/methods.py` has values for a laptop. Projectors are an MLP of `hidden` channels
to an embedding of `width`; shares of a run stand for the epochs of the source.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class SimCLR:
    """Chen et al. 2020."""

    temperature: float = 0.1
    hidden: int = 2048
    width: int = 128


@dataclasses.dataclass(frozen=True)
class MoCo:
    """train.method=moco_v2: Chen et al. 2020 (arXiv 2003.04297)."""

    temperature: float = 0.2
    hidden: int = 2048
    width: int = 128
    queue_size: int = 65_536  # embeddings
    decay: float = 0.999  # of the teacher


@dataclasses.dataclass(frozen=True)
class MoCoV3:
    """Chen et al. 2021 (arXiv 2104.02057), its ViT recipe."""

    temperature: float = 0.2
    hidden: int = 4096  # of projector and predictor
    width: int = 256
    decay: float = 0.99  # of the teacher at first; rises to 1 as a cosine


@dataclasses.dataclass(frozen=True)
class BarlowTwins:
    """Zbontar et al. 2021."""

    redundancy: float = 0.0051  # lambda, weight of what is off the diagonal
    hidden: int = 8192  # twice
    width: int = 8192


@dataclasses.dataclass(frozen=True)
class VICReg:
    """Bardes et al. 2022 (arXiv 2105.04906); VICRegL's global loss too."""

    invariance: float = 25.0  # lambda
    variance: float = 25.0  # mu
    covariance: float = 1.0  # nu
    hidden: int = 8192  # twice
    width: int = 8192


@dataclasses.dataclass(frozen=True)
class VICRegL:
    """Bardes et al. 2022 (arXiv 2210.01571); weights of the terms are `vicreg`'s."""

    alpha: float = 0.75  # weight of the global loss against the local
    local_width: int = 512  # of the three layers over cells
    num_matches: int = 20  # cells of a large view that are matched, or all
    num_small_matches: int = 4  # of a small one


@dataclasses.dataclass(frozen=True)
class SwAV:
    """Caron et al. 2020, the 400-epoch recipe."""

    temperature: float = 0.1
    epsilon: float = 0.05  # of Sinkhorn's iterations
    num_iterations: int = 3
    num_prototypes: int = 3000
    hidden: int = 2048
    width: int = 128
    queue_size: int = 3840  # embeddings of each large view
    queue_from: float = 15 / 400  # share of the run after which it is used
    frozen: float = 1 / 400  # share of the run in which prototypes stay


@dataclasses.dataclass(frozen=True)
class DeepCluster:
    """train.method=deepcluster_v2: Caron et al. 2020, appendix; of SwAV's code."""

    temperature: float = 0.1
    num_heads: int = 3  # clusterings
    num_prototypes: int = 3000  # of each
    num_iterations: int = 10  # of k-means
    hidden: int = 2048
    width: int = 128
    bank_size: int = 1_310_720  # images whose embeddings are kept; the paper's 1.3 M
    cluster_every: float = 1 / 400  # share of the run between two clusterings


@dataclasses.dataclass(frozen=True)
class DINO:
    """Caron et al. 2021."""

    temperature: float = 0.1
    teacher_temperature: float = 0.04
    centre_decay: float = 0.9
    decay: float = 0.996  # of the teacher at first; rises to 1 as a cosine
    num_prototypes: int = 65_536
    hidden: int = 2048  # twice
    width: int = 256
    norm: bool = False  # BatchNorm in the head: the official use_bn_in_head
    frozen: float = 1 / 100  # share of the run in which the last layer stays


@dataclasses.dataclass(frozen=True)
class MAE:
    """He et al. 2022; for plain ViTs."""

    masked: float = 0.75  # share of the patches that the encoder does not see
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    normalise: bool = True  # the pixels of a patch that are to be told


@dataclasses.dataclass(frozen=True)
class Supervised:
    """The plain reference: cross-entropy on labels of the pre-training images."""

    num_classes: int = 2  # as the manifest of the shards says


AT_LEAST_ONE = {
    "barlow_twins.hidden",
    "barlow_twins.width",
    "deepcluster.bank_size",
    "deepcluster.hidden",
    "deepcluster.num_heads",
    "deepcluster.num_iterations",
    "deepcluster.num_prototypes",
    "deepcluster.width",
    "dino.hidden",
    "dino.num_prototypes",
    "dino.width",
    "mae.decoder_depth",
    "mae.decoder_heads",
    "mae.decoder_width",
    "moco.hidden",
    "moco.queue_size",
    "moco.width",
    "moco_v3.hidden",
    "moco_v3.width",
    "simclr.hidden",
    "simclr.width",
    "supervised.num_classes",
    "swav.hidden",
    "swav.num_iterations",
    "swav.num_prototypes",
    "swav.queue_size",
    "swav.width",
    "vicreg.hidden",
    "vicreg.width",
    "vicregl.local_width",
    "vicregl.num_matches",
    "vicregl.num_small_matches",
}
SHARES = {
    "deepcluster.cluster_every",
    "dino.centre_decay",
    "dino.decay",
    "dino.frozen",
    "mae.masked",
    "moco.decay",
    "moco_v3.decay",
    "swav.frozen",
    "swav.queue_from",
    "vicregl.alpha",
}
POSITIVE = {
    "deepcluster.cluster_every",
    "deepcluster.temperature",
    "dino.teacher_temperature",
    "dino.temperature",
    "mae.masked",
    "moco.temperature",
    "moco_v3.temperature",
    "simclr.temperature",
    "swav.epsilon",
    "swav.temperature",
}
NOT_NEGATIVE = {
    "barlow_twins.redundancy",
    "vicreg.covariance",
    "vicreg.invariance",
    "vicreg.variance",
}
