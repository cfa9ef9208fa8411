"""What a torch file says, found without loading it: its frame checked, its pickle read by stand-ins (`pickled.py`).

The frame is a zip, whose entries carry a CRC-32 each, or the stream that PyTorch wrote before 1.6, which carries sizes
alone. Not here: the tensors (`checkpoint.py`).
"""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from biggan.errors import ModelError
from biggan.interop.pickled import Asks, Reader, Storage

ZIP, TAR = b"PK\x03\x04", b"ustar"
STREAM = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # the pickled number that it begins with
MOST_PICKLED = 2**20  # bytes; that of BigGAN-deep at 512 px has 0.1 MB
UNDAMAGED = "get an undamaged copy"


def damaged(path: Path, reason: str) -> ModelError:
    """The error of a file that is not as it was written."""
    return ModelError(f"{path} is damaged: {reason}; {UNDAMAGED}.")


def first_line(error: Exception) -> str:
    """The beginning of what another library's error says."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def survey(path: Path, file: BinaryIO, *, record: bool = False, whole: bool = True) -> Any:
    """What a torch file says, after checking its frame; tensors are `pickled.View`s.

    Args:
        path: Of the file, for messages.
        file: The file, at its start.
        record: Admit what records hold (`pickled.Reader`).
        whole: Compare all of a zip with its checksums.

    Raises:
        ModelError: As `read_torch`.
    """
    start = file.read(512)
    file.seek(0)
    try:
        if start.startswith(ZIP):
            return _survey_zip(file, path.stat().st_size, record, whole)
        if start.startswith(STREAM):
            return _survey_stream(file, path.stat().st_size, record)
    except Asks as asks:
        what = str(asks)[:80]
        raise ModelError(f"{path} asks to run {what!r}, which is never done; give a file of tensors alone.") from asks
    except Exception as error:  # a damaged zip can fail in any way
        raise damaged(path, first_line(error)) from error
    if start[257:262] == TAR:
        raise ModelError(f"{path} is a tar of PyTorch 0.1, which cannot be read safely; save it again with PyTorch.")
    raise ModelError(f"{path} is {'empty' if not start else 'not a torch file'}; give a .pth file as PyTorch writes.")


def _survey_zip(file: BinaryIO, size: int, record: bool, whole: bool) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        alike = {name.lower() for name in entries}  # torch's reader does not tell case
        _require(len(alike) == len(archive.infolist()), "it has two entries of one name")
        root = archive.infolist()[0].filename.partition("/")[0] if entries else ""
        _require(all(name.startswith(f"{root}/") for name in entries), "its entries are not in one folder")
        stored = all(e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size for e in entries.values())
        _require(stored and sum(e.file_size for e in entries.values()) <= size, "its entries claim more than it has")
        _require(f"{root}/constants.pkl" not in entries, "it is a TorchScript program, not tensors")
        pickled = entries.get(f"{root}/data.pkl")
        _require(pickled is not None, "it is a zip without data.pkl")
        assert pickled is not None
        _require(pickled.file_size <= MOST_PICKLED, "its pickle is larger than any checkpoint's")
        reader = Reader(BytesIO(archive.read(pickled)), record)
        value = reader.read_value()
        for storage in reader.storages.values():
            entry = entries.get(f"{root}/data/{storage.key}")
            _require(entry is not None and entry.file_size == storage.nbytes, _sized(storage))
        changed = archive.testzip() if whole else None
        _require(changed is None, f"{str(changed)[:80]!r} differs from its checksum")
    return value


def _survey_stream(file: BinaryIO, size: int, record: bool) -> Any:
    """The older format: five pickles (a number, a version, the machine, the value, keys), then the storages."""
    start = BytesIO(file.read(MOST_PICKLED))
    for _ in range(3):
        Reader(start, record).read_value()
    reader = Reader(start, record)
    value, keys = reader.read_value(), Reader(start, record).read_value()
    _require(isinstance(keys, list) and all(isinstance(key, str) for key in keys), "it lists no storages")
    _require(sorted(keys) == sorted(reader.storages), "the storages that it lists are not those of its tensors")
    place = start.tell()
    for key in keys:
        storage = reader.storages[key]
        file.seek(place)
        _require(int.from_bytes(file.read(8), "little") == storage.numel, _sized(storage))
        place += 8 + storage.nbytes
    _require(place == size, f"it should have {place} bytes and has {size}")
    return value


def _sized(storage: Storage) -> str:
    return f"storage {storage.key[:40]!r} has other than the {storage.numel} numbers that its tensors claim"


def _require(ok: bool, reason: str) -> None:
    if not ok:
        raise pickle.UnpicklingError(reason)
