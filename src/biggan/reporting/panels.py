"""Which curves a report shows of a run, in which order, and a sentence beside each on how to read it.

Not here: where lines go (`charts.py`), and what the figures are (`training/figures.py`, `training/probe.py`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from biggan.errors import ConfigError
from biggan.evaluation.names import KINDS, parse_name
from biggan.models.measured import Record, sets_of
from biggan.reporting.charts import Chart, Point, Series
from biggan.reporting.history import Figures, History
from biggan.training.guard import APART, FAKE

NAMED = 3  # classes that are named beside their curves, the farthest from their real images
MOST_OTHER = 6  # figures without a sentence of their own that are shown


class Panel(NamedTuple):
    """A chart of figures of `stats.jsonl`."""

    title: str
    names: dict[str, str]
    """Figure -> what the line is called."""
    reading: str
    log: bool = False
    spread: dict[str, str] = {}  # noqa: RUF012 - never changed
    """Figure -> the figure that is its spread."""


PANELS = (
    Panel(
        "Distance to real images",
        {"distance": "G as it is", "distance_ema": "averaged G"},
        "The curve to watch: lower is better. It compares a run with itself alone, by a fixed random network. Below "
        "the frame it is, by chance, 0 or less.",
        log=True,
    ),
    Panel(
        "Distance as a trained network sees it",
        {"trained_distance": "G as it is", "trained_distance_ema": "averaged G"},
        "Lower is better; EfficientNet-Lite0 tells good pictures apart better, and chooses the model kept as the best.",
        log=True,
    ),
    Panel(
        "Variety within a class",
        {"diversity": "mean", "least_diversity": "least varied class"},
        "1 is as varied as real images of the class; a lasting fall below 0.4 means that pictures become alike.",
    ),
    Panel(
        "D's output",
        {"d_real": "on real images", "d_fake": "on drawn images"},
        "Real above drawn, with bands that overlap, is healthy; lines that meet or part for good are not. Bands are "
        "the spread over images.",
        spread={"d_real": "d_real_std", "d_fake": "d_fake_std"},
    ),
    Panel(
        "Losses",
        {"loss_d_real": "D, real images", "loss_d_fake": "D, drawn images", "loss_g": "G"},
        "Do not look for a fall: the losses keep a contest's score, not the quality of pictures, and stay level in "
        "good runs and through many a collapse.",
    ),
    Panel(
        "Images that teach nothing",
        {"flat_real": "real", "flat_fake": "drawn"},
        "Share of images beyond the hinge, where the loss has no gradient; if both are near 1, D is so sure that G "
        "learns nothing.",
    ),
    Panel(
        "Length of gradients",
        {"gradient_d": "D", "gradient_g": "G"},
        "Steady is good; a climb over a power of ten announces a collapse.",
        log=True,
    ),
    Panel(
        "Largest singular value",
        {"singular_value": "of all layers"},
        "Before spectral norm divides it out; slow growth is normal, a jump within a few looks is an alarm.",
    ),
    Panel(
        "Effective rank",
        {"rank_g": "G", "rank_d": "D"},
        "The least among the five largest weights, 1 being full; a sudden fall means that directions are lost, and "
        "with them kinds of pictures.",
    ),
    Panel(
        "D's sense for labels",
        {"label_sense": "told from wrong ones"},
        "How often D prefers a real image with its own label; 0.5 is chance, towards which it falls as G gets good.",
    ),
    Panel(
        "Pictures that can be told apart",
        {"recognised": "nearest to their own class"},
        "Share of drawn images nearest to real ones of their own class, by the random network; rises to what it sees.",
    ),
    Panel(
        "Known by heart",
        {"by_heart": "training images against held-out ones"},
        "How often D finds a training image more real than a held-out one; 0.5 is chance, near 1 D has learnt them.",
    ),
    Panel(
        "How surely D tells real from drawn",
        {"d_sign": "by its signs", "augmented": "share of images augmented", "lecam": "LeCam"},
        "0 is by chance, 1 always. Where augmentation adapts (--ada-target), the second rises while the first is above "
        "that on average, and falls else; LeCam's strength follows, and rises on where all are augmented.",
    ),
)

SPREADS = {spread for panel in PANELS for spread in panel.spread.values()}
KNOWN = {name for panel in PANELS for name in panel.names} | SPREADS | {"images", "seconds"}

READINGS = {
    "fid": "Lower is better; of few images it is too large, so compare at equal counts only.",
    "fd": "Lower is better; of few images it is too large, so compare at equal counts only.",
    "kid": "Lower is better, and 0 is as good as other real images; it has no bias at any number of images.",
    "is": "Higher is better; it rises with the number of images, and says nothing of how a class's images vary.",
    "score": "Higher is better; it rises with the number of images, and says nothing of how a class's images vary.",
    "pr": "Precision is quality, recall is variety; read them together, as either alone is easily had.",
    "dc": "Density is quality, coverage is variety; blur raises density too, so read them together.",
    "ifid": "Lower is better; mostly the bias of few images in each class, so compare at equal counts only.",
    "ifd": "Lower is better; mostly the bias of few images in each class, so compare at equal counts only.",
    "acc": "Share of drawn images that are of the class asked for; one good picture again and again scores 1 too.",
    "cas": "Share of real images named rightly by what was learned from drawn ones: it falls where variety is missing.",
    "copies": "0 is expected of a model that copies nothing; look at the nearest pairs as well.",
    "trunc": "A gain in precision for a loss of recall is what truncation is for.",
    "d": "An overfitted D calls training images real and held-out ones not; memorised is then above 0.",
}


def curves(history: History, class_names: Sequence[str]) -> list[Chart]:
    """Charts of what was written down at looks and reports; none for a model without history."""
    marks = [(float(i.images), f"incident {i.number}") for i in history.incidents]
    rows = history.figures
    charts = [_chart(panel, rows, marks) for panel in PANELS]
    charts[3:3] = [_of_classes(rows, class_names, marks)]
    by_class = (APART, FAKE)
    others = sorted({name for row in rows[-20:] for name in row if name not in KNOWN and not name.startswith(by_class)})
    charts += [_chart(Panel(name, {name: name}, "A figure of this run."), rows, marks) for name in others[:MOST_OTHER]]
    return [chart for chart in charts if any(series.points for series in chart.series)]


def _chart(panel: Panel, rows: Sequence[Figures], marks: Sequence[tuple[float, str]]) -> Chart:
    series = [
        Series(called, [Point(row["images"], row[name], row.get(spread, 0.0)) for row in rows if name in row])
        for name, called in panel.names.items()
        for spread in (panel.spread.get(name, ""),)
    ]
    return Chart(title=panel.title, reading=panel.reading, series=series, log=panel.log, marks=marks)


def _of_classes(rows: Sequence[Figures], class_names: Sequence[str], marks: Sequence[tuple[float, str]]) -> Chart:
    """How far each class is from its real images; the farthest last are named, the others drawn faint behind."""
    labels = sorted({name for row in rows for name in row if name.startswith(APART)})
    last = {name: [row[name] for row in rows[-8:] if name in row] for name in labels}
    order = sorted(labels, key=lambda name: -sum(last[name]) / max(len(last[name]), 1))
    lines = {name: [Point(row["images"], row[name]) for row in rows if name in row] for name in labels}
    named = [Series(_class(name, class_names), lines[name]) for name in order[:NAMED]]
    return Chart(
        title="Each class from its real images",
        reading="The lines fall together in a good run; one that turns upwards alone is a class being lost. Named are "
        "the farthest, grey are the others.",
        series=[*(Series("", lines[name]) for name in order[NAMED:]), *named],
        log=True,
        marks=marks,
    )


def _class(figure: str, class_names: Sequence[str]) -> str:
    label = figure.removeprefix(APART)
    known = label.isascii() and label.isdigit() and int(label) < len(class_names)
    return class_names[int(label)] if known else f"class {label}"


def metric_curves(records: Sequence[dict[str, Any]]) -> list[Chart]:
    """A chart for each measurement that was made at two moments of the run or more with the same real images, with its
    standard errors."""
    groups: dict[str, dict[int, dict[str, Any]]] = {}
    for record in records:
        images = record["weights"].get("images")
        if isinstance(images, int):
            name = ", ".join(filter(None, [called(record), sets_of(record)]))
            groups.setdefault(name, {})[images] = record
    return [_measured(name, moments) for name, moments in groups.items() if len(moments) > 1]


def called(record: Record) -> str:
    """A record's name, with its truncation where it has one."""
    told = [f"{kind} {record[kind]:g}" for kind in ("truncation", "threshold") if isinstance(record.get(kind), float)]
    return ", ".join([record["name"], *told])


def reading(name: str) -> str:
    """The sentence on a measurement, by its name."""
    try:
        return READINGS[parse_name(name.partition(",")[0]).metric]
    except (ConfigError, KeyError):
        return "What it is, docs/evaluation.md says."


def title(name: str) -> str:
    """What a measurement is, in words."""
    try:
        return KINDS[parse_name(name.partition(",")[0]).metric].title
    except ConfigError:
        return name


def is_quality(record: Record) -> bool:
    """Whether a measurement says how good pictures are, in its first figure."""
    try:
        return KINDS[parse_name(record["name"]).metric].better != "neither" and bool(record["values"])
    except ConfigError:
        return False


def _measured(name: str, moments: dict[int, dict[str, Any]]) -> Chart:
    rows = sorted(moments.items())
    values = list(dict.fromkeys(value for _, record in rows for value in record["values"]))
    series = [
        Series(
            value,
            [
                Point(images, record["values"][value], record["errors"].get(value, 0.0))
                for images, record in rows
                if value in record["values"]
            ],
            dots=True,
        )
        for value in values
    ]
    words = title(name)
    heading = words[:1].upper() + words[1:]
    return Chart(title=heading, reading=reading(name), series=series, note=name)
