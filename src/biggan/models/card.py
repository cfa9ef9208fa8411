"""The model card of a saved model: Markdown with the front matter that the Hugging Face Hub reads."""

import json
import re
from collections.abc import Sequence
from typing import Any

from biggan.config import Model
from biggan.models.measured import METRICS, Record, compared_with, latest, told

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
{measured}
## Limits

It draws what its training images look like{start}, faults and biases included, and nothing else; single pictures can be
malformed. It was not measured for any use beyond looking. The licence above is of the weights; the training images
have their own.
"""

ARCHITECTURES = {"biggan": "BigGAN", "biggan-deep": "BigGAN-deep"}
"""Settings -> names as they are written."""


def model_card(
    config: Model,
    class_names: list[str],
    training: dict[str, Any],
    with_samples: bool,
    measured: Sequence[Record] = (),
) -> str:
    """The text of a model's `README.md`.

    Args:
        config: The networks.
        class_names: A name a class.
        training: The training summary, shown as a table; `data` and `license` also go into the front matter.
        with_samples: Whether `samples.png` lies beside it.
        measured: Records of what was measured of these weights.
    """
    data = training.get("data")
    return CARD.format(
        license=json.dumps(str(training.get("license", "other"))),
        datasets=f"datasets:\n- {json.dumps(str(data))}\n" if data else "",
        title=f"BigGAN of {_plain(data)}" if data else "A BigGAN",
        kind="class-conditional" if class_names else "unconditional",
        architecture=ARCHITECTURES[config.architecture],
        resolution=config.resolution,
        image_channels=config.image_channels,
        samples="\n![Samples](samples.png)\n" if with_samples else "",
        call=json.dumps(class_names[:2], ensure_ascii=False) if class_names else "None",
        classes=_classes(class_names),
        training=_table(training) or "Not recorded.",
        measured=_measured(measured),
        start=", and those of the model that it started from" if "started from" in training else "",
    )


def _classes(names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(_plain(name) for name in names[:100])
    return f"{len(names)} classes: {shown}{', …' if len(names) > 100 else ''}.\n"


def _table(training: dict[str, Any]) -> str:
    rows = [f"| {_plain(name.replace('_', ' '))} | {_plain(value)} |" for name, value in training.items()]
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else ""


def _measured(records: Sequence[Record]) -> str:
    """A table of the newest record of each name, truncation and set of real images."""
    if not records:
        return ""
    rows = [f"| {_plain(each['name'])} | {_plain(told(each))} | {_plain(_how(each))} |" for each in latest(records)]
    head = ["| measurement | figures, ± standard errors | of |", "|---|---|---|"]
    text = f"`{METRICS}` has the full records: hashes of weights, network and images, seeds, resize, versions."
    return "\n".join(["", "## Measured", "", *head, *rows, "", text, ""])


def _how(record: Record) -> str:
    """What a record says of images, truncation and network, where it says so."""
    network = record.get("network") or {}
    parts = [
        *compared_with(record),
        *(f"{kind} {record[kind]}" for kind in ("truncation", "threshold") if record.get(kind) is not None),
        f"{network['name']} at {network['size']} px" if {"name", "size"} <= set(network) else "",
    ]
    return ", ".join(filter(None, parts))


def _plain(value: object) -> str:
    """Text that no Markdown or HTML in it can shape; an underscore within a word does not."""
    text = " ".join(_worded(value).split())
    return re.sub(r"[<>&|`*\[\]\\]|\b_|_\b", lambda found: f"&#{ord(found[0])};", text)


def _worded(value: object) -> str:
    """A JSON value as text: `biggan 0.1.0, torch 2.14.1` for an object of two."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_worded(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_worded, value))
    return value if isinstance(value, str) else json.dumps(value)
