"""The model card of a saved model: Markdown with the front matter that the Hugging Face Hub reads."""

import json
from typing import Any

from biggan.config import Model

CARD = """\
---
license: {license}
library_name: biggan
pipeline_tag: unconditional-image-generation
tags:
- biggan
- gan
- image-generation
{datasets}---

# {title}

A {kind} {architecture} that draws square images of {resolution} px with {image_channels} channel(s).
{samples}
## Drawing from it

```
biggan sample FOLDER --seeds 0-15 --out pictures
```

```python
import biggan

pipe = biggan.load("FOLDER")
images = pipe({call}, num_images=4, seed=0).images
```

{classes}
## Training

{training}

## Limits

It draws what its training images look like, faults and biases included, and nothing else; single pictures can be
malformed. It was not measured for any use beyond looking. The licence above is of the weights; the training images
have their own.
"""


def model_card(config: Model, class_names: list[str], training: dict[str, Any], with_samples: bool) -> str:
    """The text of a model's `README.md`.

    Args:
        config: The networks.
        class_names: A name a class.
        training: The training summary, shown as a table; `data` and `license` also go into the front matter.
        with_samples: Whether `samples.png` lies beside it.
    """
    data = training.get("data")
    return CARD.format(
        license=json.dumps(str(training.get("license", "other"))),
        datasets=f"datasets:\n- {json.dumps(str(data))}\n" if data else "",
        title=f"BigGAN of {_plain(data)}" if data else "A BigGAN",
        kind="class-conditional" if class_names else "unconditional",
        architecture=config.architecture,
        resolution=config.resolution,
        image_channels=config.image_channels,
        samples="\n![Samples](samples.png)\n" if with_samples else "",
        call=json.dumps(class_names[:2], ensure_ascii=False) if class_names else "None",
        classes=_classes(class_names),
        training=_table(training) or "Not recorded.",
    )


def _classes(names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(_plain(name) for name in names[:100])
    return f"{len(names)} classes: {shown}{', …' if len(names) > 100 else ''}.\n"


def _table(training: dict[str, Any]) -> str:
    rows = [f"| {_plain(name)} | {_plain(value)} |" for name, value in training.items()]
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else ""


def _plain(value: object) -> str:
    """Text that no Markdown or HTML in it can shape."""
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(f"&#{ord(letter)};" if letter in "<>&|`*_[]\\" else letter for letter in " ".join(text.split()))
