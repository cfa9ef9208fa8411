"""Where the published BigGAN-deep generators are: in our cache, in that of pytorch-pretrained-biggan, or to be fetched.

A cached model is opened without any request. What is fetched must have the SHA-256 that stands here: of the file at
128 px as the Hub says it, at 256 px as a user of the bucket published it. None is known at 512 px, so that model is not
fetched. Not here: reading the files (`huggingface/`).
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from importlib import import_module
from pathlib import Path
from urllib.request import urlopen

from biggan import atomic
from biggan.errors import ConfigError, ModelError
from biggan.interop.huggingface.config import PUBLISHED, published
from biggan.interop.huggingface.reading import CONFIG, WEIGHTS, Files, find_files

NAMES = {f"biggan-deep-{resolution}": resolution for resolution in PUBLISHED}
"""Names of the published models -> their resolutions."""

BUCKET = "https://s3.amazonaws.com/models.huggingface.co/biggan/"
CHUNK, TIMEOUT = 2**20, 30  # bytes, seconds


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights can be had."""

    sha256: str
    repository: str = ""
    """On the Hugging Face Hub; empty for the bucket in which they were first published."""
    revision: str = ""


ORIGINS = {
    "biggan-deep-128": Origin(
        "b86146a8cfcde4cda135adba4b2806f78b3abe2dac9d0fd090cc3ab318604ad9",
        "osanseviero/BigGAN-deep-128",
        "af0640a119a2486b24eed0985d6d54e734890bff",
    ),
    "biggan-deep-256": Origin("5900ef4065047e3aa0d1b66197b7f2664dceb59b27080e414ad57e203c485bc5"),
}


def cache_folder() -> Path:
    """Where what is fetched is kept, a folder a model: `BIGGAN_CACHE`, or `~/.cache/biggan`."""
    return Path(os.environ.get("BIGGAN_CACHE") or Path.home() / ".cache" / "biggan")


def find(name: str, cache_dir: str | Path | None = None) -> Files:
    """The files of a published model, fetched if no cache has them.

    Args:
        name: One of `NAMES`.
        cache_dir: A cache of either kind; None for ours (`cache_folder`) and then the package's
            (`PYTORCH_PRETRAINED_BIGGAN_CACHE`, or `~/.pytorch_pretrained_biggan`).

    Raises:
        ModelError: They are in no cache, and cannot be fetched or are not what they should be.
        ConfigError: They are to be fetched, and the extra `hub` is not installed.
        DiskFailed: They were fetched and cannot be written.
    """
    ours = cache_folder() if cache_dir is None else Path(cache_dir)
    usual = os.environ.get("PYTORCH_PRETRAINED_BIGGAN_CACHE") or Path.home() / ".pytorch_pretrained_biggan"
    cached = find_files(ours / name) or _cached_by_package(name, Path(usual if cache_dir is None else cache_dir))
    return cached or _fetched(name, ours / name)


def _cached_by_package(name: str, cache: Path) -> Files | None:
    """The files in the package's own cache, if it has them whole."""
    found = [_newest(cache, f"{BUCKET}{name}-{file}") for file in (CONFIG, WEIGHTS)]
    return Files(found[0], found[1]) if found[0] and found[1] else None


def _newest(cache: Path, url: str) -> Path | None:
    """The last file from an address, named by the SHA-256 of it and of a tag, and noted in a file once it is whole."""
    name = hashlib.sha256(url.encode()).hexdigest()
    noted = [path.with_suffix("") for path in cache.glob(f"{name}*.json") if path.with_suffix("").is_file()]
    return max(noted, key=lambda path: path.stat().st_mtime, default=None)


def _fetched(name: str, folder: Path) -> Files:
    """Fetches a model into a folder of our cache."""
    by_hand = f"put its {CONFIG} and {WEIGHTS} into {folder}"
    origin = ORIGINS.get(name)
    if origin is None:
        files = f"{BUCKET}{name}-{CONFIG} and {BUCKET}{name}-{WEIGHTS}"
        raise ModelError(f"{name} is in no cache, and is not fetched as its checksum is unknown; {by_hand} ({files}).")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "yes", "true"):
        raise ModelError(f"{name} is in no cache, and HF_HUB_OFFLINE forbids fetching it; unset it, or {by_hand}.")
    with atomic.new_folder(folder) as place:
        if origin.repository:
            _from_hub(name, origin, place)
        else:
            _from_bucket(name, place / WEIGHTS)
        if atomic.sha256(place / WEIGHTS) != origin.sha256:
            raise ModelError(f"What was fetched for {name} is not what was published (by its SHA-256); {by_hand}.")
        (place / CONFIG).write_text(published(NAMES[name]).to_json_string())
    return Files(folder / CONFIG, folder / WEIGHTS)


def _from_hub(name: str, origin: Origin, place: Path) -> None:
    """Fetches weights from the Hugging Face Hub into a folder."""
    try:
        client = import_module("huggingface_hub")
    except ImportError as error:
        needed = 'run pip install "torch-biggan[hub]"'
        raise ConfigError(f"{name} is fetched from the Hugging Face Hub, for which {needed}.") from error
    try:
        client.hf_hub_download(origin.repository, WEIGHTS, revision=origin.revision, local_dir=place)
    except Exception as error:  # its own, and those of its HTTP client
        raise _unreachable(name, error) from error
    atomic.remove(place / ".cache")


def _from_bucket(name: str, place: Path) -> None:
    """Fetches weights from where they were first published."""
    with place.open("wb") as file:
        for chunk in _chunks(name, f"{BUCKET}{name}-{WEIGHTS}"):
            file.write(chunk)


def _chunks(name: str, url: str) -> Iterator[bytes]:
    try:
        with urlopen(url, timeout=TIMEOUT) as answer:
            while chunk := answer.read(CHUNK):
                yield chunk
    except (OSError, HTTPException) as error:
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return ModelError(f"{name} is in no cache and could not be fetched ({reason}); try again with a network.")
