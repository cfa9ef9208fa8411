"""Whatever a user does wrong gives one clear sentence and exit code 2, and loses nothing."""

import json
import re
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from biggan import presets
from biggan.cli.main import main
from biggan.models.build import build
from biggan.models.bundle import Bundle, save_bundle
from biggan.models.statistics import standing_statistics

CLASSES = ["Ankle boot", "Bag", "Sneaker"]


class Place:
    """A folder with a model, a run's folder and images, to make mistakes with."""

    def __init__(self, root: Path) -> None:
        self.root, self.model, self.images = root, root / "model", root / "images"
        config = presets.tiny().model.__class__(
            resolution=32,
            num_classes=3,
            g_widths=(8, 8, 8, 8),
            d_widths=(8, 8, 8, 8),
            dim_z=8,
            shared_dim=4,
            g_attention=(),
            d_attention=(),
        )
        G, D = build(config)
        save_bundle(self.model, Bundle(G.eval(), D, CLASSES, standing_statistics(G, full=False)), None)
        for name in CLASSES:
            (self.images / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (32, 32), (80 * i, 9, 9)).save(self.images / name / f"{i}.png")

    def file(self, name: str, content: bytes = b"not what it seems") -> Path:
        """A file with some content."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def edited(self, **changes: object) -> Path:
        """The model with other values in its `config.json`."""
        config = json.loads((self.model / "config.json").read_text())
        config["model"] |= changes
        (self.model / "config.json").write_text(json.dumps(config))
        return self.model

    def cut(self, name: str, size: int) -> Path:
        """The model with one file cut."""
        with (self.model / name).open("r+b") as file:
            file.truncate(size)
        return self.model

    def flipped(self, name: str, at: int) -> Path:
        """The model with one bit of a file turned."""
        content = bytearray((self.model / name).read_bytes())
        content[at] ^= 4
        (self.model / name).write_bytes(bytes(content))
        return self.model

    def zipped(self, *names: str, dataset: object = None) -> Path:
        """A zip with members of these names."""
        with zipfile.ZipFile(self.root / "data.zip", "w") as archive:
            for name in names:
                archive.writestr(name, b"no picture")
            if dataset is not None:
                archive.writestr("dataset.json", json.dumps(dataset))
        return self.root / "data.zip"


Mistake = Callable[[Place], list[object]]


def sample(*flags: object) -> Mistake:
    return lambda place: ["sample", place.model, "--out", place.root / "drawn", *flags]


def train(*flags: object) -> Mistake:
    return lambda place: ["train", "--data", place.images, "--preset", "tiny", "--out", place.root / "run", *flags]


def on(*words: object) -> Mistake:
    """A mistake made of words, some of them functions of the place."""
    return lambda place: [word(place) if callable(word) else word for word in words]


def run_folder(root: Path) -> Path:
    """What tells a run's folder."""
    (root / "other").mkdir()
    for name in ("run.json", "log.txt"):
        (root / "other" / name).write_text("{}")
    return root / "other"


def train_on(source: Callable[[Place], object]) -> Mistake:
    return on("train", "--preset", "tiny", "--out", lambda p: p.root / "run", "--data", source)


MISTAKES: dict[str, tuple[Mistake, str]] = {
    # words and flags
    "unknown command": (on("trian"), "did you mean 'train'"),
    "unknown flag": (sample("--sedes", "1"), "sedes"),
    "flag without value": (sample("--seeds"), "seeds"),
    "no model": (on("sample"), "MODEL"),
    "no data": (on("train"), "data"),
    "word for a number": (train("--batch-size", "many"), "--batch-size"),
    "unknown data word": (on("data", "park"), "pack"),
    # values
    "word for a fraction": (train("--class-loss", "much"), "--class-loss is 'much'; allowed is a number."),
    "thousands": (train("--total-images", "2k"), "--total-images is '2k'; allowed is a whole number."),
    "unknown kind": (
        train("--augment", "colour"),
        "'colour'; allowed is color, cutout, scale, translation",
    ),
    "widths": (train("--g-widths", "8", "x8"), "--g-widths is '8', 'x8'; allowed is numbers with spaces between them."),
    "commas": (train("--g-widths", "8,8"), "--g-widths is '8,8'; allowed is numbers with spaces between them."),
    "class loss without labels": (train("--no-labels", "--class-loss", "1"), "--no-labels leaves them out"),
    "size of another model": (
        on("train", "--data", "fashion-mnist-test", "--init", "fashion-mnist", "--resolution", "64"),
        "--resolution is 64, and the model of --init draws 32 px",
    ),
    "test data twice": (lambda p: train("--test-data", p.images)(p), "has the images of --data, which D sees"),
    "all of an average": (train("--lecam-decay", "1"), "--lecam-decay is 1.0; allowed is 0 to 0.9999999"),
    "a run as data": (train_on(lambda p: run_folder(p.root)), "is a run, and its pictures are drawn"),
    "dry run into other files": (
        on("train", "--dry-run", "--preset", "tiny", "--data", lambda p: p.images, "--out", lambda p: p.root),
        "holds other files",
    ),
    "dry run with the data as test data": (
        lambda p: train("--dry-run", "--test-data", p.images)(p),
        "has the images of --data, which D sees",
    ),
    "dry run without time": (train("--dry-run", "--max-time", "0"), "--max-time is 0; allowed is above 0 minutes."),
    "lecam without a scale": (train("--loss", "wasserstein", "--lecam", "0.3"), "--lecam is 0.3; allowed is 0 with"),
    "ada without a scale": (train("--loss", "wasserstein", "--ada-target", "0.6"), "--ada-target is 0.6; allowed is 0"),
    "balanced without labels": (
        train("--no-labels", "--class-sampling", "balanced"),
        "--class-sampling balanced needs classes, which --no-labels leaves out",
    ),
    "held without a model": (train("--hold-g", "10"), "--hold-g keeps G as --init has it"),
    "no test data": (train("--test-data", "nowhere"), "--test-data 'nowhere' is no file, folder or bundled set"),
    "resolution": (train("--resolution", "100"), "--resolution is 100; allowed is 32, 64, 128, 256, 512"),
    "negative batch": (train("--batch-size", "-4"), "--batch-size"),
    "uneven microbatch": (train("--microbatch", "3"), "--microbatch is 3"),
    "uneven dim_z": (train("--dim-z", "15"), "--dim-z is 15"),
    "too few widths": (train("--g-widths", "8", "8"), "--g-widths"),
    "attention nowhere": (train("--g-attention", "7"), "--g-attention"),
    "attention too narrow": (train("--g-attention", "16", "--g-widths", "4", "4", "4", "4"), "8 channels"),
    "nan learning rate": (train("--lr-g", "nan"), "--lr-g is nan"),
    "beta of one": (train("--beta2", "1"), "--beta2"),
    "unknown loss": (train("--loss", "l2"), "hinge"),
    "no images": (train("--total-images", "0"), "--total-images"),
    "unknown preset": (on("train", "--data", "x", "--preset", "cpu-smal"), "did you mean 'cpu-small'"),
    "unknown device": (train("--device", "gpu"), "--device 'gpu'"),
    "absent device": (train("--device", "cuda:7"), "--device 'cuda:7'"),
    "no time": (train("--max-time", "0"), "--max-time"),
    "unknown colour": (train("--background", "whiteish"), "--background"),
    "two presets": (train("--preset", "cpu-small"), "--preset is given as tiny and as cpu-small"),
    "classes by hand": (train("--num-classes", "7"), "--num-classes comes from the data"),
    "run in its data": (lambda p: [*train()(p)[:5], "--out", p.images / "Bag" / "run"], "--out"),
    "sheet over a photograph": (
        on("data", "inspect", lambda p: p.images, "--out", lambda p: p.images / "Bag" / "0.png"),
        "0.png",
    ),
    "two channels": (train("--channels", "2"), "--channels is 2"),
    "too large": (train("--g-widths", "60000", "60000", "60000", "60000"), "one image at a time"),
    "name too long": (on("info", "x" * 300), "cannot be used (File name too long); give another."),
    # drawing
    "unknown class": (sample("--classes", "Sneeker"), "Sneaker"),
    "class number": (sample("--classes", "7"), "7"),
    "mix of nothing": (sample("--classes", "Bag:0,Sneaker:0"), "weight"),
    "truncation above one": (sample("--truncation", "1.5"), "--truncation is 1.5"),
    "both truncations": (sample("--truncation", "0.5", "--threshold", "1"), "--threshold"),
    "truncation not measured": (sample("--truncation", "0.5"), "statistics"),
    "bad seeds": (sample("--seeds", "3-1-2"), "--seeds"),
    "negative seed": (sample("--seeds=-4"), "--seeds"),
    "seed too large": (sample("--seeds", str(2**70)), "eed"),
    "no recipe": (sample("--like", __file__), "--like"),
    "film kind": (
        on("interpolate", lambda p: p.model, "--from", "Bag", "--out", lambda p: p.root / "film.mpg"),
        "mpg",
    ),
    "one step": (on("interpolate", lambda p: p.model, "--from", "Bag", "--steps", "1"), "--steps is 1"),
    "class to itself nowhere": (on("interpolate", lambda p: p.model, "--from", "Bug"), "Bag"),
    # paths
    "model nowhere": (on("sample", "no/such/model"), "no/such/model"),
    "model misspelt": (on("sample", "fashion-mnst"), "fashion-mnst"),
    "model is images": (on("sample", lambda p: p.images), "model"),
    "info of nothing": (on("info", lambda p: p.root / "empty"), "empty"),
    "data nowhere": (train_on(lambda p: p.root / "nowhere"), "nowhere"),
    "data name misspelt": (train_on(lambda p: "fashion-minst"), "fashion-mnist"),
    "run is a file": (lambda p: [*train()(p)[:5], "--out", p.file("taken")], "--out"),
    "run is a thesis": (lambda p: [*train()(p)[:5], "--out", p.file("thesis/thesis.tex").parent], "thesis.tex"),
    # images and archives
    "empty folder": (train_on(lambda p: p.file("void/.keep").parent), "void"),
    "no picture inside": (train_on(lambda p: p.file("texts/a.txt").parent), "texts"),
    "broken pictures": (train_on(lambda p: p.file("broken/cat/a.png").parent.parent), "broken"),
    "zip that is none": (train_on(lambda p: p.file("a.zip")), "a.zip"),
    "zip without pictures": (train_on(lambda p: p.zipped("readme.txt")), "data.zip"),
    "zip that escapes": (train_on(lambda p: p.zipped("../../x.png")), "data.zip"),
    "dataset.json lies": (train_on(lambda p: p.zipped("a.png", dataset={"labels": [["b.png", 0]]})), "data.zip"),
    "dataset.json of another kind": (train_on(lambda p: p.zipped("a.png", dataset=[1, 2])), "dataset.json"),
    "npz that is none": (train_on(lambda p: p.file("a.npz")), "a.npz"),
    "idx cut": (
        train_on(lambda p: p.file("idx/train-images-idx3-ubyte", struct.pack(">4I", 2051, 9, 28, 28)).parent),
        "idx",
    ),
    "pickle with a payload": (
        train_on(lambda p: p.file("cifar/data_batch_1", b"cos\nsystem\n(S'touch owned'\ntR.").parent),
        "cifar",
    ),
    # damaged models
    "config is no json": (on("sample", lambda p: p.file("model/config.json", b"{").parent), "config.json"),
    "config is a list": (on("sample", lambda p: p.file("model/config.json", b"[]").parent), "config.json"),
    "config without end": (on("sample", lambda p: p.file("model/config.json", b"[" * 10**5).parent), "config.json"),
    "unknown field": (on("sample", lambda p: p.edited(g_chanels=3)), "did you mean 'g_channels'"),
    "wrong kind": (on("sample", lambda p: p.edited(dim_z="8")), "dim_z"),
    "other widths": (on("sample", lambda p: p.edited(g_widths=[8, 8, 8, 16])), "model.safetensors"),
    "absurd widths": (on("sample", lambda p: p.edited(g_widths=[65536] * 4)), "model.safetensors"),
    "weights cut": (on("sample", lambda p: p.cut("model.safetensors", 5000)), "model.safetensors"),
    "weights empty": (on("sample", lambda p: p.cut("model.safetensors", 0)), "model.safetensors"),
    "weights flipped": (on("sample", lambda p: p.flipped("model.safetensors", -99)), "model.safetensors"),
    "header flipped": (on("sample", lambda p: p.flipped("model.safetensors", 3)), "model.safetensors"),
    "discriminator cut": (on("sample", lambda p: p.cut("discriminator.safetensors", 99)), "discriminator"),
}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place")
    Place(root)
    return root


@pytest.fixture
def place(tmp_path: Path, original: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    shutil.copytree(original, tmp_path / "place")
    monkeypatch.chdir(tmp_path)
    made = Place.__new__(Place)
    made.root = tmp_path / "place"
    made.model, made.images = made.root / "model", made.root / "images"
    yield made
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", MISTAKES)
def test_one_sentence_and_nothing_lost(place: Place, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    mistake, word = MISTAKES[name]
    argv = [str(part) for part in mistake(place)]
    before = contents(place.root)
    code = main(argv)
    said = capsys.readouterr().err.strip()
    assert code == 2, said
    assert said.startswith("biggan: ")
    assert "\n" not in said
    assert re.search(r"[.?]$", said)
    assert word in said
    assert len(said) < 600
    after = contents(place.root)
    kept = {path: content for path, content in after.items() if path in before}
    assert kept == before
    assert all(".biggan" in path or path.startswith("run") for path in after.keys() - before.keys())


def test_there_are_at_least_forty_kinds() -> None:
    assert len(MISTAKES) >= 40
