"""Which of an encoder's feature maps are asked for."""


def check(stages: tuple[int, ...], num_stages: int, first: int = 1) -> tuple[int, ...]:
    """The stages asked for; none: the last one.

    Raises:
      ValueError: a stage that the encoder does not have.
    """
    wrong = [stage for stage in stages if not first <= stage <= num_stages]
    if wrong:
        raise ValueError(f"stage {wrong[0]} must be from {first} to {num_stages}")
    return tuple(stages) or (num_stages,)
