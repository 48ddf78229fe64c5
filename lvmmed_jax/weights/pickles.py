"""What a pickle would call, found without running it."""

import pathlib
import pickletools
import zipfile

_NUM_PICKLES = 5  # of torch's form before 1.6: magic, protocol, system, weights, keys
# what files of weights are made of; torch decides what it calls, this only names it
_USUAL = ("torch.", "collections.", "numpy.")


def unusual_names(path: pathlib.Path) -> list[str]:
    """The functions and classes that a torch file names beside those of weights.

    Args:
      path: a torch file, of the form with or without a zip archive.

    Returns:
      Names like "os.system", sorted; empty where it cannot be told.
    """
    try:
        names = {name for data in _pickles(path) for name in _names(data)}
    except Exception:  # pickletools has one type of error a damage
        return []
    return sorted(name for name in names if not name.startswith(_USUAL))


def _pickles(path: pathlib.Path) -> list[bytes]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return _one_after_another(file)
    with zipfile.ZipFile(path) as archive:
        return [
            archive.read(name)
            for name in archive.namelist()
            if name.endswith("data.pkl")
        ]


def _one_after_another(file) -> list[bytes]:
    found = []
    for _ in range(_NUM_PICKLES):
        begin = file.tell()
        try:
            for _operation in pickletools.genops(file):
                pass
        except ValueError:  # raw numbers follow
            break
        end = file.tell()
        file.seek(begin)
        found.append(file.read(end - begin))
    return found


def _names(data: bytes) -> set[str]:
    """Of the opcodes that look a name up; STACK_GLOBAL takes the last two strings."""
    found, strings = set(), []
    for operation, argument, _ in pickletools.genops(data):
        if operation.name in ("GLOBAL", "INST"):
            found.add(argument.replace(" ", "."))
        elif operation.name == "STACK_GLOBAL" and len(strings) >= 2:
            found.add(".".join(strings[-2:]))
        elif isinstance(argument, str):
            strings.append(argument)
    return found
