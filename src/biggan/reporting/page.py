"""The page as text: a template filled in, with its style and script inside it.

What comes from people (names of classes, paths, reasons) is escaped by the template engine. The page forbids itself, by
a content security policy with the hashes of its own style and script, to load or run anything else. Not here: what is
shown.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from biggan.errors import ConfigError

TEMPLATES = Path(__file__).parent / "templates"
MARK = b'<meta name="generator" content="torch-biggan report">'
OPTIONAL = ("classes", "truncations", "ways", "curve", "curve_frame", "near", "near_frame", "suspects", "num_classes")
"""Names of the template that need a model, or a model and its training images."""
HEAD = 2000  # bytes in which a page of ours says that it is one


def check_place(place: Path) -> None:
    """Checks, before anything is computed, that a page may be written.

    Raises:
        ConfigError: Another ending, or there is something else.
    """
    if place.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {place} does not end in .html; rename it.")
    if place.exists() and not _is_ours(place):
        raise ConfigError(f"--out {place} is there and is not a report by biggan; give another name.")


def _is_ours(place: Path) -> bool:
    if not place.is_file():
        return False
    with place.open("rb") as file:
        return MARK in file.read(HEAD)


def render(values: dict[str, Any]) -> str:
    """The page of some values by the names that `templates/page.html` knows; what is not given counts as missing."""
    style, script = ((TEMPLATES / name).read_text("utf-8") for name in ("style.css", "script.js"))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = {"style": Markup(style), "script": Markup(script), "mark": Markup(MARK.decode()), "policy": Markup(policy)}
    return environment.get_template("page.html").render({**dict.fromkeys(OPTIONAL), **values, **own})


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
