"""The commands, one module each with a `main(argv)`; this table is their index."""

COMMANDS = {
    "quickstart": "prepare, pretrain, evaluate and report on packaged medical images",
    "catalogue": "the paper's 55 sources: what they are, how they lie, what is taken",
    "prepare": "turn files into records in ArrayRecord shards with a manifest",
    "inspect": "what is in a folder of shards: counts, grey levels, a contact sheet",
    "tfds": "write shards as a data set of TensorFlow Datasets, for other programs",
    "leakage": "find test images that are among the pre-training images",
    "pretrain": "pre-train an encoder by graph matching; run it again to resume",
    "finetune": "train an encoder with a head on labelled images; resumes likewise",
    "evaluate": "k-NN and linear probes of a frozen encoder, beside a random one",
    "predict": "masks or classes of pictures, by a fine-tuned network",
    "embed": "features of any images to a file; nearest images and maps as a page",
    "convert": "weights in and out: torch, timm, transformers, SAM, safetensors",
    "export": "an encoder as ONNX or as a folder for a model hub, with a model card",
    "study": "a grid of pre-training runs, each measured; run it again to go on",
    "report": "write one self-contained HTML page about a run, runs or a study",
    "doctor": "what this machine can do: devices, versions, decoders, speed, traps",
}
