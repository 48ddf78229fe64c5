"""The user's salt, which keys every hash of an identity."""

import hashlib
import hmac
import os
import pathlib
import secrets
import tempfile

_NUM_BYTES = 32


def default_path() -> pathlib.Path:
    """$XDG_CONFIG_HOME/lvmmed/salt, or ~/.config/lvmmed/salt."""
    config = os.environ.get("XDG_CONFIG_HOME") or pathlib.Path.home() / ".config"
    return pathlib.Path(config) / "lvmmed" / "salt"


def load(path: pathlib.Path) -> bytes:
    """The salt of a file (64 hex digits), which is made with mode 0600 if absent.

    Raises:
      ValueError: the file holds something else.
      OSError: it cannot be read or made.
    """
    try:
        text = path.read_text().strip()
    except UnicodeDecodeError:
        text = ""
    except FileNotFoundError:
        return _make(path)
    try:
        salt = bytes.fromhex(text)
    except ValueError:
        salt = b""
    if len(salt) != _NUM_BYTES:
        raise ValueError(
            f"{path}: not a salt file ({2 * _NUM_BYTES} hex digits); name another with "
            "--salt-file, or move it away to have a new one made"
        )
    return salt


def keyed_hash(salt: bytes, identity: str) -> str:
    """32 hex digits of HMAC-SHA256: equal for equal identities, readable by nobody."""
    # a file name need not be UTF-8
    data = identity.encode("utf-8", "surrogateescape")
    return hmac.new(salt, data, hashlib.sha256).hexdigest()[:32]


def fingerprint(salt: bytes) -> str:
    """16 hex digits that tell two salts apart and give neither away."""
    return keyed_hash(salt, "lvmmed salt fingerprint")[:16]


def _make(path):
    """Whole at once, so that of two processes both get the salt of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    salt = secrets.token_bytes(_NUM_BYTES)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # mode 0600
        file.write(salt.hex() + "\n")
        file.flush()
        try:
            os.link(file.name, path)
        except FileExistsError:
            return load(path)
    return salt
