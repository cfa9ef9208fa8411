"""An unpacked module's files, read through TensorFlow.

A module's graph is a program and is never run: of it only constants are read. Not here: what becomes of the arrays
(`variables.py`), and downloading.
"""

import itertools
import math
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from biggan.errors import ConfigError, ModelError
from biggan.interop.imported import Imported, Overrides
from biggan.interop.tfhub.variables import UNDAMAGED, Array, from_variables

GRAPHS, VARIABLES = ("saved_model.pb", "tfhub_module.pb"), Path("variables") / "variables"
MOST_NUMBERS = 2**20  # in a constant; the largest table has 51 x 2048
MOST_ROWS, MOST_PASSES = 64, 4


def holds(path: Path) -> bool:
    """Whether a path is an unpacked TF-Hub module, by the files in it; TensorFlow is not needed."""
    index = path / VARIABLES.with_suffix(".index")
    return index.is_file() and any((path / name).is_file() for name in GRAPHS)


def load(path: Path, overrides: Overrides) -> Imported:
    """A module's folder as ours; see `read` and `from_variables`, whose errors it raises."""
    return from_variables(path, *read(path), overrides)


def read(path: Path) -> tuple[dict[str, Array], list[Array]]:
    """An unpacked module's variables, and its tables of statistics by truncation (see `from_variables`).

    The tables are constants of the graph by the names `stack_1`, `stack_3`, `stack_6`, `stack_8`, `stack_11`, …;
    where that is not so there are none.

    Raises:
        ConfigError: TensorFlow is not installed.
        ModelError: A file is missing or damaged.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its remarks on the processor are no answer to the user
    try:
        tf = import_module("tensorflow")
        saved = import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
        damaged = (tf.errors.OpError, import_module("google.protobuf.message").DecodeError, OSError, ValueError)
    except ImportError as error:
        raise ConfigError('TF-Hub modules need TensorFlow; run pip install "torch-biggan[tensorflow]".') from error
    try:
        reader = tf.train.load_checkpoint(str(path / VARIABLES))
        variables = {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}
        if (path / GRAPHS[0]).is_file():
            saved.ParseFromString((path / GRAPHS[0]).read_bytes())
        nodes = {node.name: node for graph in saved.meta_graphs[:1] for node in graph.graph_def.node}
        return variables, _constants(tf, nodes)
    except damaged as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(f"{path} cannot be read ({reason}); {UNDAMAGED}.") from error


def _constants(tf: Any, nodes: Mapping[str, Any]) -> list[Array]:
    """The tables of statistics among a graph's nodes."""
    tables: list[Array] = []
    for number in itertools.chain.from_iterable((5 * k + 1, 5 * k + 3) for k in itertools.count()):
        name = f"stack_{number}"
        if name not in nodes:
            break
        table = _table(tf, nodes, name)
        if table is None or table.ndim != 2 or table.dtype.kind != "f":
            return []
        tables.append(table)
    return tables


def _table(tf: Any, nodes: Mapping[str, Any], name: str) -> Array | None:
    """What a node is if it is constant, or stacks constants."""
    node = _source(nodes, name)
    if node is None or node.op != "Pack":
        return _constant(tf, node)
    rows = [_constant(tf, _source(nodes, part)) for part in node.input[:MOST_ROWS] if not part.startswith("^")]
    same = [row for row in rows if row is not None and row.shape == getattr(rows[0], "shape", None)]
    return np.stack(same) if same and len(same) == len(rows) else None


def _source(nodes: Mapping[str, Any], name: str) -> Any:
    """The node of a name, or what it passes on; None where there is none."""
    node = nodes.get(name.partition(":")[0])
    for _ in range(MOST_PASSES):
        if node is None or node.op != "Identity":
            break
        node = nodes.get(node.input[0].partition(":")[0]) if node.input else None
    return node


def _constant(tf: Any, node: Any) -> Array | None:
    if node is None or node.op != "Const":
        return None
    value = node.attr["value"].tensor
    size = math.prod(dimension.size for dimension in value.tensor_shape.dim)
    return np.asarray(tf.make_ndarray(value)) if 0 < size <= MOST_NUMBERS else None
