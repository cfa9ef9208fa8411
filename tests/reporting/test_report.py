"""A report shows all that a run tells, loads nothing, trusts no text, and changes nothing."""

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reports import HOSTILE
from tiny_models import MODEL, make_folder

import biggan
from biggan import atomic
from biggan.config import Data
from biggan.data.packed import prepare
from biggan.errors import ConfigError, DataError, ModelError
from biggan.evaluation.eyes import random_eyes
from biggan.evaluation.material import Material
from biggan.reporting.measuring import neighbours
from biggan.reporting.panels import PANELS, READINGS
from biggan.sampling.grids import opaque

BEYOND = '{"images": 128, "distance": 1' + 400 * "0" + "}\n"  # of all floats
LACKING = ("Known by heart",)  # for want of held-out images
SECTIONS = ["classes", "time", "measured", "truncation", "ways", "neighbours", "curves", "incidents", "settings"]


class Page(HTMLParser):
    """The elements of a page by name, each with its attributes, and its text by section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source, self.elements, self.section = text, list[tuple[str, dict[str, str]]](), ""
        self.text: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + " ".join(data.split()) + " "

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def written(path_or_name: Path | str, out: Path, data: Path | None = None, **more: object) -> Page:
    return Page(biggan.report(path_or_name, out, data, **more).read_text("utf-8"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of a run with all that there is."""
    return written(run, tmp_path_factory.mktemp("pages") / "report.html", images=50)


def test_nothing_is_loaded(page: Page) -> None:
    for _, attributes in page.elements:
        for name, value in attributes.items():
            if name in ("src", "href", "srcset", "data", "action", "poster"):
                assert value.startswith(("data:image/webp;base64,", "#")), (name, value[:40])
    assert not re.search(r"https?://|//cdn|@import|url\(|<link|<iframe", page.source)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize("element", ["style", "script"])
def test_the_policy_admits_the_page_s_own_style_and_script_alone(page: Page, element: str) -> None:
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    assert f"{element}-src 'sha256-{digest}'" in page.source
    assert not [attributes for _, attributes in page.elements if any(a == "style" or a[:2] == "on" for a in attributes)]


def test_every_section_is_there_and_nothing_missing_but_measurements(page: Page) -> None:
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert page.source.count('class="missing"') == 1
    assert "not measured yet" in page.text["measured"]
    assert {link["href"].removeprefix("#") for link in page.all("a")} == {*SECTIONS}


def test_text_from_people_is_escaped(page: Page) -> None:
    assert HOSTILE not in page.source
    assert HOSTILE in page.text["classes"]
    assert "a & b" in page.text["classes"]
    assert len(page.all("script")) == 1
    assert all(image["src"].startswith("data:") for image in page.all("img"))


def test_pictures_and_curves_are_told_in_words(page: Page) -> None:
    assert all(image["alt"] for image in page.all("img"))
    curves = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(curves) >= 8
    assert all(len(svg["aria-label"]) > 20 for svg in curves)


def test_beside_each_curve_is_a_sentence_on_how_to_read_it(page: Page) -> None:
    figures = re.findall(r'<figure class="chart">.*?</figure>', page.source, re.DOTALL)
    assert all('<p class="reading">' in figure for figure in figures)
    for panel in PANELS:
        if panel.title not in LACKING:
            assert panel.title.replace("'", "&#39;") in page.source
    sentences = [*(panel.reading for panel in PANELS), *READINGS.values()]
    assert all(sentence.endswith(".") and len(sentence) > 30 for sentence in sentences)


def test_the_slider_has_every_sheet(page: Page, run: Path) -> None:
    sheets = len(list((run / "sheets").iterdir()))
    (slider,) = page.all("input")
    assert slider["max"] == str(sheets - 1)
    assert page.source.count("data-said=") == sheets
    assert "after 320 images" in page.text["time"]


def test_incidents_are_told_with_both_pictures(page: Page, run: Path) -> None:
    line = json.loads((run / "incidents.jsonl").read_text())
    said = page.text["incidents"]
    assert "After 256 images" in said
    assert line["reason"][1:] in said
    assert "went back to 192 images" in said
    assert line["remedy"] in said
    words = [image["alt"] for image in page.all("img")]
    assert sum("incident 1" in alt for alt in words) == 2


def test_truncation_and_neighbours_are_measured_and_say_with_what(page: Page) -> None:
    assert "50 drawn and 50 training images at each, seen by EfficientNet-Lite0 at 96 px" in page.text["truncation"]
    assert re.search(r"(Amenable|Not amenable|Unclear): ", page.text["truncation"])
    assert "10 of 50 drawn images" in page.text["neighbours"]
    assert "nearest of 60" in page.text["neighbours"]


def test_folders_of_its_writer_are_not_on_the_page(page: Page, images: Path) -> None:
    assert images.name in page.source
    assert str(images.parent) not in page.source


def test_settings_hashes_and_the_command_are_there(page: Page, run: Path) -> None:
    said = page.text["settings"]
    assert biggan.load(run).bundle.sha256 in said
    assert json.loads((run / "run.json").read_text())["data"]["sha256"] in said
    assert "--preset tiny" in said
    assert "lr g" in said


def test_a_report_changes_nothing_and_says_the_same_again(page: Page, run: Path, tmp_path: Path) -> None:
    before = {path: atomic.sha256(path) for path in run.rglob("*") if path.is_file()}
    again = written(run, tmp_path / "again.html", images=50)
    assert {path: atomic.sha256(path) for path in run.rglob("*") if path.is_file()} == before
    assert again.source == page.source


def test_a_run_without_labels_has_a_report(images: Path, train: Callable[..., Path], tmp_path: Path) -> None:
    run = train(images, tmp_path / "run", labels=False)
    page = written(run, tmp_path / "page.html", images=0)
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert "no classes" in page.text[""]
    assert page.text["incidents"].split()[:2] == ["Incidents", "None."]
    assert len(page.all("img")) >= 6


def test_an_interrupted_run_says_how_far_it_is_and_draws_truncations_too(interrupted: Path, tmp_path: Path) -> None:
    run = shutil.copytree(interrupted, tmp_path / "run")
    with (run / "stats.jsonl").open("a") as file:
        file.write('{"images": 192, "dist')  # being written
    page = written(run, tmp_path / "page.html", images=0)
    assert "Not finished: 128 of 320 images shown (40%)." in page.text[""]
    assert any("a row for each truncation" in image["alt"] for image in page.all("img"))
    assert not biggan.load(run).bundle.statistics.has(truncation=1.0)


def test_a_run_without_a_model_yet_has_a_report(run: Path, tmp_path: Path) -> None:
    young = tmp_path / "young"
    young.mkdir()
    shutil.copy(run / "run.json", young)
    page = written(young, tmp_path / "page.html")
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert "not written a model yet" in page.text["classes"]
    assert not page.all("img")


def test_a_model_without_its_run_says_what_is_missing(tmp_path: Path) -> None:
    page = written(make_folder(tmp_path / "model"), tmp_path / "page.html")
    assert "came without" in page.text["time"]
    assert "came without" in page.text["curves"]
    assert "came without" in page.text["incidents"]
    assert "give them with --data" in page.text["neighbours"]
    assert page.all("img")


def test_of_many_classes_some_are_shown_or_those_asked_for(tmp_path: Path) -> None:
    names = [f"class-{number}" for number in range(40)]
    model = make_folder(tmp_path / "model", replace(MODEL, num_classes=40), names)
    said = written(model, tmp_path / "some.html").text["classes"]
    assert "12 of 40 classes" in said
    assert "class-39" in said
    said = written(model, tmp_path / "asked.html", classes="class-7,class-8").text["classes"]
    assert "class-7" in said
    assert "class-39" not in said


def test_class_rows_hold_the_very_pictures_of_their_seeds(run: Path, page: Page) -> None:
    (first,) = [image for image in page.all("img") if image["alt"].startswith("3 rows of 8 drawn")]
    content = base64.b64decode(first["src"].partition(",")[2])
    tiles = Image.open(io.BytesIO(content)).convert("RGBA")
    drawn = biggan.load(run)(None, num_images=8)
    step = tiles.width // 8
    for i, image in enumerate(drawn.images):
        left, top = i % 8 * step, i // 8 * step
        crop = tiles.crop((left, top, left + 32, top + 32)).convert("RGB")
        assert crop.tobytes() == opaque(image, 1).tobytes()


def test_other_images_than_the_run_s_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not what this run was trained on"):
        biggan.report(run, tmp_path / "page.html", "fashion-mnist-test")
    with pytest.raises(DataError):
        biggan.report(run, tmp_path / "page.html", tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_images_that_are_gone_are_said_to_be(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    facts = json.loads((copy / "run.json").read_text())
    facts["data"]["source"] = "gone/away"
    (copy / "run.json").write_text(json.dumps(facts))
    page = written(copy, tmp_path / "page.html")
    assert "(away) are not where they were" in page.text["neighbours"]


def test_of_few_images_nothing_is_measured_and_the_page_says_so(
    images: Path, train: Callable[..., Path], tmp_path: Path
) -> None:
    with np.load(images) as found:
        np.savez(tmp_path / "few.npz", x=found["x"][:15], y=found["y"][:15], class_names=found["class_names"])
    page = written(train(tmp_path / "few.npz", tmp_path / "run"), tmp_path / "page.html", images=50)
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert "Not measured: that takes 20 training images, and there are 15." in page.text["neighbours"]


def test_images_that_are_all_there_twice_are_no_yardstick(run: Path, images: Path, tmp_path: Path) -> None:
    with np.load(images) as found:
        np.savez(tmp_path / "twice.npz", x=np.repeat(found["x"], 2, 0), y=np.repeat(found["y"], 2))
    packed = prepare(str(tmp_path / "twice.npz"), 32, Data(channels=1))
    material = Material(biggan.load(run), {"train": packed}, 0, None, None, tmp_path, None, lambda *shown: None)
    assert neighbours(material, random_eyes(1), 24) is None


def test_damaged_and_foreign_files_of_a_run_are_passed_over(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    incident = {"incident": 1, "images": "many", "reason": ["x"], "pictures": ["../secret.png", "a\0b"]}
    (copy / "incidents.jsonl").write_text(json.dumps(incident) + "\n[1]\n{" + "\n")
    (copy / "stats.jsonl").write_text('{"images": 64, "distance": NaN}\n[]\n{"distance": 1}\n' + BEYOND + "[" * 100_000)
    next((copy / "sheets").iterdir()).write_bytes(b"no picture")
    (copy / "sheets" / "x.png").write_bytes(b"")
    page = written(copy, tmp_path / "page.html", images=0)
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert not any("incident 1" in image["alt"] for image in page.all("img"))


@pytest.mark.parametrize("content", ['{"format": 1, "conf', "[]"], ids=["cut", "a list"])
def test_a_damaged_record_of_the_run_is_told(run: Path, tmp_path: Path, content: str) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "run.json").write_text(content)
    with pytest.raises(ModelError, match=r"run\.json"):
        written(copy, tmp_path / "page.html", images=0)


def test_measurements_have_a_table_and_curves_over_time(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    sha256 = biggan.load(copy).bundle.sha256
    for images, weights in ((96, "0" * 64), (320, sha256)):
        record = {
            "name": "kid2k_test@efficientnet_lite0_96px",
            "values": {"distance": 1 / images},
            "errors": {"distance": 0.001},
            "weights": {"sha256": weights, "images": images},
            "drawn_images": 2000,
        }
        with (copy / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
    page = written(copy, tmp_path / "page.html", images=0)
    assert "distance 0.0031 ± 0.0010" in page.text["measured"]
    assert "Kernel distance" in page.text["measured"]
    assert 'class="bars"' in page.source
