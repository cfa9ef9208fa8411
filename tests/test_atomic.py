"""A reader finds the old content or the new, whatever stops the writer: a full disk, a read-only folder, a kill."""

import contextlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from biggan.atomic import discard, new_folder, read_json, recover, sha256, verify, write_bytes, write_json
from biggan.errors import DiskFailed, ModelError
from biggan.training.monitor import Monitor
from biggan.training.runlock import RunLock
from biggan.training.state import save_state

BIG = 300_000  # bytes, three times what `full_disk` lets a file have


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Files end at 100 kB: the write past it fails as on a full disk, with an `OSError`, for root too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder with a file in it that this process may not write to; root becomes nobody meanwhile."""
    folder = Path(tempfile.mkdtemp())
    (folder / "old").write_text("old")
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    yield folder
    if os.getuid() == 0:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def replace_folder(place: Path, size: int) -> None:
    with new_folder(place) as folder:
        (folder / "small").write_bytes(b"new")
        (folder / "sub").mkdir()
        (folder / "sub" / "big").write_bytes(bytes(size))


def replace_tensors(place: Path, size: int) -> None:
    with new_folder(place) as folder:
        save_file({"t": torch.zeros(size, dtype=torch.uint8)}, folder / "t.safetensors")


WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda folder: write_bytes(folder / "a", bytes(BIG)),
    "json": lambda folder: write_json(folder / "a", [0] * BIG),
    "folder": lambda folder: replace_folder(folder / "b", BIG),
    "tensors": lambda folder: replace_tensors(folder / "b", BIG),
    "state": lambda folder: save_state(folder, 1, {"G": {"t": torch.zeros(BIG)}}, {}),
    "monitor": lambda folder: Monitor(folder).note("x" * BIG),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, writer: str) -> None:
    write_bytes(tmp_path / "a", b"old")
    replace_folder(tmp_path / "b", 10)
    save_state(tmp_path, 1, {"G": {"t": torch.ones(3)}}, {})
    before = tree(tmp_path)
    with full_disk(), pytest.raises(DiskFailed) as failed:
        WRITERS[writer](tmp_path)
    (tmp_path / "log.txt").unlink(missing_ok=True)  # appended to, not replaced
    assert tree(tmp_path) == before
    message = str(failed.value)
    assert message.startswith(f"Could not write {tmp_path}")
    assert "File too large" in message
    assert message.endswith("; make room or allow writing there, or choose another --out.")
    assert failed.value.exit_code == 74


@pytest.mark.parametrize("writer", [*WRITERS, "lock"])
def test_a_read_only_folder_is_one_sentence_and_loses_nothing(read_only: Path, writer: str) -> None:
    before = tree(read_only)
    with pytest.raises(DiskFailed, match=rf"^Could not write {read_only}/\S+: Permission denied; make room or allow"):
        (WRITERS | {"lock": lambda folder: RunLock(folder).__enter__()})[writer](read_only)
    assert tree(read_only) == before


@pytest.mark.parametrize("writer", [*WRITERS, "lock"])
def test_a_file_where_a_folder_should_be_is_one_sentence(tmp_path: Path, writer: str) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(DiskFailed, match=r"^Could not write .*: (Not a directory|File exists); "):
        (WRITERS | {"lock": lambda folder: RunLock(folder).__enter__()})[writer](tmp_path / "file")
    assert tree(tmp_path) == {"file": b"old"}


def test_a_new_folder_replaces_all_of_the_old_and_verifies(tmp_path: Path) -> None:
    with new_folder(tmp_path / "b") as folder:
        (folder / "gone").write_text("old")
    replace_folder(tmp_path / "b", 10)
    verify(tmp_path / "b")
    assert set(tree(tmp_path)) == {"b", "b/small", "b/sub", "b/sub/big", "b/manifest.json"}
    discard(tmp_path / "b")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("reason", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_folder_leaves_the_old(tmp_path: Path, reason: type[BaseException]) -> None:
    replace_folder(tmp_path / "b", 10)
    before = tree(tmp_path)
    with pytest.raises(reason), new_folder(tmp_path / "b") as folder:  # noqa: PT012
        (folder / "small").write_bytes(b"half")
        raise reason
    assert tree(tmp_path) == before


KILLED = """
import sys
from pathlib import Path
from biggan.atomic import new_folder, write_bytes
root = Path(sys.argv[1])
print("ready", flush=True)
for i in range(10**6):
    write_bytes(root / "a", b"%09d" % i * 1000)
    with new_folder(root / "b") as folder:
        (folder / "c").write_bytes(b"%09d" % i * 1000)
"""


def test_sigkill_at_any_moment_leaves_whole_content(tmp_path: Path) -> None:
    draw = random.Random(0)
    write_bytes(tmp_path / "a", b"000000000" * 1000)
    replace_folder(tmp_path / "b", 10)
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    for _ in range(8):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(0.1 + 0.1 * draw.random())
            writer.kill()
        recover(tmp_path)
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]
        content = (tmp_path / "a").read_bytes()
        assert content == content[:9] * 1000
        verify(tmp_path / "b")


def test_recovery_leaves_what_is_not_ours(tmp_path: Path) -> None:
    for name in (".hidden", "a.1.tmp", ".tmp", ".b.x.old", "c.old"):
        (tmp_path / name).write_text("x")
    before = tree(tmp_path)
    recover(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"1" * 10_000, b"nope", b"[" + b"0," * 2**23 + b"0]"],
    ids=["empty", "cut", "not text", "deep", "long number", "word", "huge"],
)
def test_what_is_not_json_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"^/\S*x\.json .*; give an undamaged folder\.$"):
        read_json(tmp_path / "x.json")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # would wait forever
    (tmp_path / "zero").symlink_to("/dev/zero")  # would never end
    for name in ("folder", "pipe", "zero", "missing"):
        with pytest.raises(ModelError, match="is missing"):
            read_json(tmp_path / name)


ESCAPES = ["../secret", "sub/../../secret", "{root}/secret", "link", "..\x00", "x" * 5000, "", ".", "loop"]


@pytest.mark.parametrize("name", ESCAPES, ids=range(len(ESCAPES)))
def test_a_manifest_cannot_point_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "link").symlink_to("../secret")
    (folder / "loop").symlink_to("loop")
    name = name.format(root=tmp_path)
    (folder / "manifest.json").write_text(json.dumps({name: sha256(tmp_path / "secret")}))
    with pytest.raises(ModelError, match=r"is damaged: .* is not as it was written; give an undamaged folder"):
        verify(folder)
