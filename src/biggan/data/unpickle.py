"""Reading CIFAR's pickled Python files without running what a pickle can ask to run.

Only plain containers, numbers, text and arrays come out. The three numpy names that such files mention are answered
by stand-ins made for each load, which keep what the file says and check it; nothing of numpy is called, and any
other name ends the reading. The unpickler is the one written in Python: the one in C reserves memory for whatever
slot number a file claims. What is not here: what the contents mean (`arrays.py`).
"""

import io
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"u1": "u1", "|u1": "u1", "i8": "<i8", "<i8": "<i8", "i4": "<i4", "<i4": "<i4"}
ADMITTED = frozenset(
    (module, name)
    for module, name in (
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    )
)


def load(content: bytes) -> Any:
    """The plain value in a pickle; arrays are numpy's, texts of Python 2 are bytes.

    Raises:
        pickle.UnpicklingError: The pickle names anything but arrays, or is damaged; nothing in it was run.
    """

    class DType:
        """Stands in for numpy.dtype: remembers the name."""

        def __init__(self, code: Any, *_: Any) -> None:
            self.code = code.decode("ascii") if isinstance(code, bytes) else code

        def __setstate__(self, state: Any) -> None:
            if state[1] == ">":
                raise pickle.UnpicklingError("it has big-endian numbers")

    class Array:
        """Stands in for numpy.ndarray: its state becomes an array when its bytes fit its shape."""

        def __setstate__(self, state: Any) -> None:
            _, shape, dtype, fortran, data = state
            array = np.frombuffer(data, DTYPES[dtype.code])
            self.value = array.reshape(shape, order="F" if fortran else "C")

    stand_ins = {"_reconstruct": lambda *_: Array(), "ndarray": Array, "dtype": DType}

    class Restricted(pickle._Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in ADMITTED:
                raise pickle.UnpicklingError(f"it names {module}.{name}")
            return stand_ins[name]

    try:
        value = Restricted(io.BytesIO(content), encoding="bytes").load()
        if isinstance(value, dict):
            return {key: _array(item, Array) for key, item in value.items()}
        return _array(value, Array)
    except Exception as error:  # a damaged pickle can fail in any way
        raise pickle.UnpicklingError(str(error) or type(error).__name__) from error


def _array(item: Any, stand_in: type) -> NDArray[Any] | Any:
    return item.value if isinstance(item, stand_in) else item  # type: ignore[attr-defined]
