"""BigGAN made real: train, draw and share class-conditional image generators on the machine you have.

```python
import biggan

pipe = biggan.load("fashion-mnist")  # a run, a model folder, or a bundled name
pipe(["Sneaker", "Ankle boot"], num_images=4, truncation=0.5, seed=7).images
biggan.train("my-images", "runs/mine", biggan.preset("cpu-small"))
```

Names are imported when first used, so that `import biggan` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biggan.assess import evaluate
    from biggan.config import Augment, Config, Data, Model, Optim, Train
    from biggan.errors import BigGANError
    from biggan.opening import load
    from biggan.presets import preset
    from biggan.reporting.report import report
    from biggan.sampling.pipeline import Pipeline
    from biggan.workflow import plan, train

__version__ = "0.1.0"

_HOMES = {
    "Augment": "config",
    "BigGANError": "errors",
    "Config": "config",
    "Data": "config",
    "Model": "config",
    "Optim": "config",
    "Pipeline": "sampling.pipeline",
    "Train": "config",
    "evaluate": "assess",
    "load": "opening",
    "plan": "workflow",
    "preset": "presets",
    "report": "reporting.report",
    "train": "workflow",
}

__all__ = [
    "Augment",
    "BigGANError",
    "Config",
    "Data",
    "Model",
    "Optim",
    "Pipeline",
    "Train",
    "evaluate",
    "load",
    "plan",
    "preset",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"biggan.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'biggan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
