"""The paper's sources: what they are, how they lie, what may be trained on."""
