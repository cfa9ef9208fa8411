"""A range of a source -> one uint8 file of squares at training size, by several threads.

A source is packed in ranges, each into a file of its own (a shard), whose borders are a function of the source and
the settings alone. So it does not matter who makes which, or when. What is not here: which processes make them
(`workers.py`), what they are together (`remarks.py`), where they lie (`making.py`).
"""

import hashlib
import io
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from biggan.config import Data
from biggan.data.decode import Decoded, Square, Unreadable, decode, square
from biggan.data.records import Source, clean

CHUNK = 2**20  # bytes of squares that one task of a thread makes
SQUEEZE = 2**20  # pixels that are rewritten at once
SHARD_IMAGES = 4096  # of the source; also what a killed process loses at most
SHARD_BYTES = 2**30
MOST_SHARDS = 512  # each is an open file, of which a process may often have 1,024

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

Squares = list[Decoded | str]
"""Squares, or the reasons why there are none."""

Out = io.BufferedRandom | io.BytesIO


@dataclass(slots=True, kw_only=True)
class Part:
    """What came of a range of a source."""

    start: int
    stop: int
    channels: int
    """Of the squares: 1 where the data were to decide and every square is grey."""
    cropped: int = 0
    enlarged: int = 0
    skipped: list[tuple[int, str]] = field(default_factory=list)
    """Index and reason of each image without a square."""
    sha256: str = ""
    """Of the file of squares."""

    @property
    def kept(self) -> int:
        """Number of squares."""
        return self.stop - self.start - len(self.skipped)


def ranges(num_images: int, resolution: int, data: Data) -> list[range]:
    """The ranges of a source that become one shard each.

    A shard holds 4,096 images, fewer where these would be more than 1 GiB, and more where there would be more than
    512 shards.
    """
    each = min(SHARD_IMAGES, SHARD_BYTES // (resolution**2 * (data.channels or 3)))
    each = max(each, -(-num_images // MOST_SHARDS))
    return [range(start, min(start + each, num_images)) for start in range(0, num_images, each)]


def pack(
    source: Source, indices: range, resolution: int, data: Data, out: Out, threads: int, done: Callable[[int], None]
) -> Part:
    """Writes the squares of a range, in order, to an empty file open for reading and writing.

    Args:
        source: The images.
        indices: Which of them.
        resolution: Height and width in pixels.
        data: How images become squares.
        out: The file.
        threads: How many decode at once.
        done: Called with the number of images done since the last call.

    Raises:
        ConfigError: The background is not a colour.
    """
    want = square(resolution, data)
    part = Part(start=indices.start, stop=indices.stop, channels=want.channels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is skipped or does not matter
        all_grey = _write(source, want, part, out, threads, done) and data.channels is None
    if all_grey:
        _squeeze(out, resolution * resolution * part.kept)
        part.channels = 1
    out.seek(0)
    part.sha256 = hashlib.file_digest(out, "sha256").hexdigest()
    return part


def _write(source: Source, want: Square, part: Part, out: Out, threads: int, done: Callable[[int], None]) -> bool:
    """Writes the squares; whether all of them are grey."""
    each = max(1, min(64, CHUNK // (want.resolution**2 * want.channels)))
    chunks = (range(i, min(i + each, part.stop)) for i in range(part.start, part.stop, each))
    all_grey = True
    for indices, results in _in_order(source, want, chunks, threads):
        for i, result in zip(indices, results, strict=True):
            if isinstance(result, str):
                part.skipped.append((i, result))
                continue
            out.write(result.pixels.tobytes())
            part.cropped += result.cropped
            part.enlarged += result.enlarged
            all_grey = all_grey and bool((result.pixels == result.pixels[..., :1]).all())
        done(len(indices))
    return all_grey


def _decode_all(source: Source, want: Square, indices: range) -> Squares:
    return [decode_one(source, want, i) for i in indices]


def decode_one(source: Source, want: Square, i: int) -> Decoded | str:
    """The square of one image, or the reason why there is none."""
    try:
        return decode(source.read(i), want)
    except Unreadable as error:
        return str(error)
    except Exception as error:  # a file that has gone, or any of the ways in which a zip member can be damaged
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return clean(reason or type(error).__name__)


def _in_order(source: Source, want: Square, chunks: Iterable[range], threads: int) -> Iterator[tuple[range, Squares]]:
    """Each chunk with its squares, in order, with a few under way at any time."""
    waiting: deque[tuple[range, Future[Squares]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_decode_all, source, want, chunk)))
            if len(waiting) > 2 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _squeeze(out: Out, pixels: int) -> None:
    """Leaves the first of three equal channels, in place."""
    for start in range(0, pixels, SQUEEZE):
        out.seek(3 * start)
        block = out.read(3 * min(SQUEEZE, pixels - start))
        out.seek(start)
        out.write(block[::3])
    out.truncate(pixels)
