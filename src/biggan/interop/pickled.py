"""What the pickle inside a torch file says, found without running what a pickle can ask to run.

Containers, numbers and texts come out as they are, a tensor as where it lies (`View`), an activation module as its name
(`Activation`), a numpy scalar as a number. Every name that the pickle mentions is answered by a stand-in made here, and
any other name ends the reading; nothing of torch is called with what the file says. Not here: the file around the
pickle (`torchfile.py`).
"""

import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
SCALARS = {"f8": "<f8", "f4": "<f4", "i8": "<i8", "i4": "<i4"}
MOST_DIMENSIONS = 16
MOST_BITS = 80  # of a whole number: what the older format begins with


class Asks(pickle.UnpicklingError):
    """The pickle names something that is not read; the message is the name."""


class Storage(NamedTuple):
    """A stretch of numbers of the file."""

    key: str
    dtype: torch.dtype
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


class View(NamedTuple):
    """A tensor: which part of a storage, in which order."""

    storage: Storage
    shape: tuple[int, ...]


class Activation:
    """An activation module, of which the name alone is kept."""

    name: ClassVar[str]

    def __setstate__(self, state: object) -> None:
        """Lets its settings go."""


def _require(ok: bool, reason: str) -> None:
    if not ok:
        raise pickle.UnpicklingError(reason)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _view(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> View:
    """A tensor of a storage, if all its elements lie in it and no two are the same.

    Raises:
        pickle.UnpicklingError: They do not; or these are no storage and sizes.
    """
    ok = isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)
    ok = ok and len(size) == len(stride) <= MOST_DIMENSIONS and all(map(_is_count, (offset, *size, *stride)))
    _require(ok, "a tensor's sizes are not numbers")
    if 0 not in size:
        last = 0  # place of the last element, counted from the first
        for step, length in sorted((step, length) for step, length in zip(stride, size, strict=True) if length > 1):
            _require(step > last, "elements of a tensor overlap")
            last += step * (length - 1)
        _require(offset + last < storage.numel, "a tensor claims more numbers than its storage has")
    return View(storage, size)


class _Dict(dict[Any, Any]):
    """Stands in for an ordered dictionary, without the attributes that a file may give one."""

    def __setstate__(self, state: object) -> None:
        """Lets a state dict's metadata go."""


def _dict(*items: Any) -> _Dict:
    _require(items in ((), ([],)), "an ordered dictionary is not described as torch does")
    return _Dict()


class _DType:
    """Stands in for numpy.dtype: remembers the name."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or code not in SCALARS:  # what is no text is not shown: it may be without end
            raise Asks(f"numpy.dtype({code[:20]})" if isinstance(code, str) else "numpy.dtype")
        self.code = SCALARS[code]

    def __setstate__(self, state: Any) -> None:
        _require(state[1] == "<", "it has big-endian numbers")


def _scalar(dtype: Any, content: Any) -> Any:
    return np.frombuffer(content, dtype.code, 1)[0].item()


def _encode(text: Any, encoding: Any) -> bytes:
    _require(type(text) is str and encoding == "latin1", "a text is not encoded as torch does")
    return bytes(text, "latin1")


StandIns = dict[tuple[str, str], Callable[..., Any]]
OF_TENSORS: StandIns = {
    ("collections", "OrderedDict"): _dict,
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): lambda view, *_: view,
}
OF_RECORDS: StandIns = {
    **OF_TENSORS,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encode,
    # in a module's settings, which are let go: what it has today, and had in PyTorch 1.0
    ("__builtin__", "set"): lambda *_: None,
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"): lambda *_: None,
}
ACTIVATIONS = "torch.nn.modules.activation"
# Not among them: what reserves memory for a length that a file claims, and what hashes any object.
LEFT_OUT = (pickle.BYTEARRAY8, pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.DICT)
OF_WHOLE_NUMBERS = (pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4)  # of any length


class Reader(pickle._Unpickler):
    """Reads one pickle of a torch file.

    It is made of the unpickler that is written in Python, as the one in C reserves memory for whatever slot number a
    file claims.

    Args:
        file: The pickle, in memory, so that no length that it claims reserves more.
        record: Admit activation modules and numpy scalars too, which BigGAN-PyTorch's `state_dict.pth` has.

    Attributes:
        storages: Of the tensors, by key.
    """

    dispatch: ClassVar[dict[int, Any]]
    proto: int
    read: Callable[[int], bytes]
    stack: list[Any]

    def __init__(self, file: BytesIO, record: bool) -> None:
        super().__init__(file, encoding="utf-8")
        self.record = record
        self.storages: dict[str, Storage] = {}

    def read_value(self) -> Any:
        """The value.

        Raises:
            Asks: It names something else.
            pickle.UnpicklingError: It is damaged, or a tensor's sizes do not fit.
        """
        try:
            value = self.load()
        except pickle.UnpicklingError:
            raise
        except Exception as error:  # a damaged pickle can fail in any way
            raise pickle.UnpicklingError(f"it breaks off or is no pickle ({type(error).__name__})") from error
        _require(self.proto == 2, f"it is pickled by protocol {self.proto}, and torch writes 2")
        return value

    def find_class(self, module: str, name: str) -> Any:
        stand_ins = OF_RECORDS if self.record else OF_TENSORS
        if (module, name) in stand_ins:
            return stand_ins[module, name]
        if module in ("torch", "torch.cuda") and name in DTYPES:
            return DTYPES[name]
        if self.record and module == ACTIVATIONS:
            return type("Activation", (Activation,), {"name": name})
        _require(self.read(1) != b"", "it breaks off in a name")  # which is then not the one that it was to be
        raise Asks(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """A storage by its description; the older format describes a module's class too, with its source."""
        words, fits = "a storage is not described as torch does", isinstance(pid, tuple) and len(pid) in (4, 5, 6)
        _require(fits, words)
        kind, dtype, key, *_ = pid
        if kind == "module" and isinstance(dtype, type) and issubclass(dtype, Activation):
            return dtype
        _require(len(pid) > 4 and kind == "storage" and isinstance(dtype, torch.dtype) and isinstance(key, str), words)
        _require(_is_count(pid[4]) and pid[5:] in ((), (None,)), words)
        storage = Storage(key, dtype, pid[4])
        _require(self.storages.setdefault(key, storage) == storage, "a storage is described in two ways")
        return storage

    def put(self, items: list[Any]) -> None:
        """Puts keys and values, in turn, into the dictionary on the stack."""
        target = self.stack[-1]
        _require(isinstance(target, dict) and len(items) % 2 == 0, "what should be a dictionary is none")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # the hash of tuples within tuples, a hundred thousand deep, would end the process
            _require(isinstance(key, str | int), "a dictionary has a key that is neither text nor number")
            target[key] = value


def _put_one(reader: Any) -> None:
    value, key = reader.stack.pop(), reader.stack.pop()
    reader.put([key, value])


def _build(reader: Any) -> None:
    """Gives a state to a stand-in that expects one; the opcode would set attributes of any other, functions too."""
    state, target = reader.stack.pop(), reader.stack[-1]
    _require(isinstance(target, _Dict | _DType | Activation), "it gives a state to what has none")
    target.__setstate__(state)


def _bounded(read: Callable[[Any], None]) -> Callable[[Any], None]:
    """Of an opcode of a whole number: one that no float can hold, or that is too long to be shown, is refused."""

    def read_number(reader: Any) -> None:
        read(reader)
        _require(reader.stack[-1].bit_length() <= MOST_BITS, f"a whole number has more than {MOST_BITS} bits")

    return read_number


Reader.dispatch = {
    **{code: read for code, read in pickle._Unpickler.dispatch.items() if bytes([code]) not in LEFT_OUT},
    **{code[0]: _bounded(pickle._Unpickler.dispatch[code[0]]) for code in OF_WHOLE_NUMBERS},
    pickle.BUILD[0]: _build,
    pickle.SETITEM[0]: _put_one,
    pickle.SETITEMS[0]: lambda reader: reader.put(reader.pop_mark()),
}
