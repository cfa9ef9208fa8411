"""Imports point one way: a part of the package imports only from its own place in the order, or from before it."""

import ast
from pathlib import Path

import pytest

import biggan

ORDER = [
    "errors",
    "atomic",
    "config",
    "config_json",
    "presets",
    "distributed",
    "latents",
    "data",
    "models",
    "training",
    "sampling",
    "evaluation",
    "editing",
    "interop",
    "opening",
    "overseer",
    "run_model",
    "run_record",
    "beginning",
    "sitting",
    "rescue",
    "budgeting",
    "workflow",
    "adoption",
    "assess",
    "reporting",
    "cli",
    "__main__",
]
ROOT = Path(biggan.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def imported_parts(path: Path, package: list[str]) -> set[str]:
    """First names below `biggan` that a file of `package` imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("biggan.")} & {*ORDER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    part, *below = path.relative_to(ROOT).parts
    found = imported_parts(path, ["biggan", part, *below][: 1 + len(below)])
    later = {name for name in found if ORDER.index(name) > ORDER.index(part.removesuffix(".py"))}
    assert later == set()


def test_every_part_has_a_place() -> None:
    parts = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES}
    assert parts == set(ORDER)


@pytest.mark.parametrize(
    "line", ["import biggan.cli.main", "from biggan.cli import main", "from biggan import cli", "from .. import cli"]
)
def test_an_import_in_any_form_is_seen(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.py").write_text(f"def f():\n    {line}\n")
    assert imported_parts(tmp_path / "x.py", ["biggan", "models"]) == {"cli"}


def test_public_names_are_there_and_sorted() -> None:
    assert biggan.__all__ == sorted(biggan.__all__)
    assert all(getattr(biggan, name) is not None for name in biggan.__all__)
