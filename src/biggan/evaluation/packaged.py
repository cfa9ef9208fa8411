"""Files of weights that ship inside packages of the Python index, found without running the packages' code.

Not here: what is in them (`features.py`, `editing/sentences.py`).
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from biggan.errors import ConfigError, ModelError


def packaged(package: str, file: str, sha256: str, extra: str) -> bytes:
    """The content of a file of an installed package, which is not imported.

    Args:
        package: Name of the top-level package as it is imported.
        file: The file's path within it.
        sha256: What the file's SHA-256 has to be, in hexadecimal.
        extra: Our extra that installs the package, for the message.

    Raises:
        ConfigError: The package is not installed.
        ModelError: The file is missing or another one.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f'This needs the package {package}; run pip install "torch-biggan[{extra}]".')
    place = Path(spec.submodule_search_locations[0]) / file
    try:
        content = place.read_bytes()
    except OSError as error:
        raise ModelError(f"{place} cannot be read ({error.strerror}); reinstall the package {package}.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{place} is not the file that was expected (its SHA-256 differs); reinstall {package}.")
    return content
