"""A model by path or name: one of ours, a published checkpoint, or one that ships with the package."""

from pathlib import Path

from biggan.errors import ModelError, nearest
from biggan.interop import hub, recognise
from biggan.models.bundle import CONFIG, MODEL, Bundle, load_bundle
from biggan.sampling.pipeline import Pipeline

BUNDLED = Path(__file__).parent / "models" / "bundled"


def load(path_or_name: str | Path) -> Pipeline:
    """Loads a model to draw from, on the CPU (`Pipeline.to` moves it).

    Args:
        path_or_name: The folder of a run or a model, a published checkpoint (see `interop/recognise.py`), the name of a
            model that ships with the package, or `biggan-deep-128`, `-256` or `-512`.

    Raises:
        ModelError: No such path or name, or no undamaged model is there.
    """
    return Pipeline(open_model(path_or_name))


def open_model(path_or_name: str | Path) -> Bundle:
    """The model that `load` draws from; arguments and errors as there."""
    given = str(path_or_name)
    return recognise.read(given).bundle if recognise.is_foreign(given) else load_bundle(find_model(given))


def bundled_models() -> list[str]:
    """Names of the models that ship with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{MODEL}"))


def find_model(path_or_name: str | Path) -> Path:
    """The folder of a model of ours, by path or bundled name; a folder that holds a model goes first.

    Raises:
        ModelError: No such folder or name, or the folder holds no model.
    """
    path, bundled = Path(path_or_name), bundled_models()
    needed = (
        f"a model is a folder with {CONFIG} and {MODEL}, as `biggan train --out` makes it, or a published checkpoint"
    )
    if (path / CONFIG).is_file() and (path / MODEL).is_file():
        return path
    if str(path_or_name) in bundled:
        return BUNDLED / str(path_or_name)
    if (path / "run.json").is_file():
        raise ModelError(f"The run {path} has not written its model yet ({MODEL}); let its command go on.")
    if path.exists():
        raise ModelError(f"{path} holds no model; {needed}.")
    names = [*bundled, *hub.NAMES]
    offer = nearest(str(path_or_name), names) or f"; {needed}{''.join(f', or {name}' for name in names)}."
    raise ModelError(f"There is no model {str(path_or_name)!r}{offer}")
