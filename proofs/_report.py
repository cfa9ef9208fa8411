"""Writes a proof's figures to the screen and to docs/proofs/."""

import platform
from datetime import date
from pathlib import Path

import torch

from biggan import atomic

DOCS = Path(__file__).parent.parent / "docs" / "proofs"


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def write(name: str, title: str, what: str, figures: dict[str, object]) -> None:
    """Prints a proof's figures and keeps them in docs/proofs/<name>.md.

    Args:
        name: Of the script, without its ending.
        title: What is claimed.
        what: How it was tried.
        figures: What is counted -> the count.
    """
    rows = "\n".join(f"| {key} | {value} |" for key, value in figures.items())
    machine = f"{processor()}; Python {platform.python_version()}, torch {torch.__version__}; {date.today()}"
    made = f"Made by `proofs/{name}.py` on {machine}."
    text = f"# {title}\n\n{what}\n\n| | |\n|---|---|\n{rows}\n\n{made}\n"
    DOCS.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(DOCS / f"{name}.md", text.encode())
    print(text)
