"""`Imagine` has BigSleep's numbers, names and arguments, and none of its defects."""

import inspect
import json
import random
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from perceptors import ColourScorer, PooledPerceptor
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torchvision.transforms import functional

from biggan.errors import ConfigError
from biggan.interop.big_sleep import Imagine
from biggan.interop.big_sleep_rules import clip_square, create_text_path, draw_cuts, draw_latents
from biggan.interop.pretrained import BigGAN

GOLDEN = Path(__file__).parents[1] / "golden"
SLEEP, LAYOUT, TINY = GOLDEN / "bigsleep", GOLDEN / "pretrained" / "layout128_ch4", GOLDEN / "pretrained" / "tiny"
PROMPTS = {"text": "text0|text1", "text_min": "textmin0"}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(SLEEP / "losses.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays} | json.loads(
            (SLEEP / "losses.json").read_text()
        )


@pytest.fixture(scope="module")
def layout() -> BigGAN:
    return BigGAN.from_pretrained(LAYOUT)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def dreaming(golden: dict[str, Any], layout: BigGAN, **settings: Any) -> Imagine:
    """The golden run, its draws where the golden losses begin."""
    texts = {name: golden[name] for name in ("text0", "text1", "textmin0")}
    perceptor = PooledPerceptor(golden["perceptor_w"], texts)
    dream = Imagine(**PROMPTS, generator=layout, perceptor=perceptor, seed=0, num_cutouts=4, device="cpu", **settings)
    dream.sizes.manual_seed(100)
    dream.offsets.seed(100)
    return dream


def small(**settings: Any) -> Imagine:
    chosen = {"seed": 3, "num_cutouts": 2, "save_every": 2, "epochs": 1, "iterations": 3, "device": "cpu"} | settings
    return Imagine(generator=TINY, perceptor=ColourScorer(), **chosen)


def test_latents_equal_bigsleeps() -> None:
    with np.load(SLEEP / "latents.npz") as arrays:
        for rows in (11, 13, 15):
            z, cls = draw_latents(rows, 128, 1000, torch.Generator().manual_seed(0))
            np.testing.assert_array_equal(z.numpy(), arrays[f"normu_n{rows}"])
            wanted = arrays[f"cls_n{rows}"]
            np.testing.assert_array_equal(cls.numpy()[:, : wanted.shape[1]], wanted)


def test_cuts_equal_bigsleeps() -> None:
    for case in json.loads((SLEEP / "cutouts.json").read_text()):
        draws = torch.Generator().manual_seed(case["torch_seed"]), random.Random(case["python_random_seed"])
        cuts = draw_cuts(case["width"], len(case["values"]), case["center_bias"], *draws)
        wanted = torch.tensor(case["values"])
        assert torch.equal(cuts, wanted[:, [0, 1, 3]])
        assert torch.equal(wanted[:, 2] - wanted[:, 1], wanted[:, 0])


VARIANTS: dict[str, dict[str, Any]] = {
    "sigmoid": {},
    "top15": {"max_classes": 15},
    "bilinear": {"bilinear": True},
    "lanczos": {"experimental_resample": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_picture_losses_and_gradients_equal_bigsleeps(golden: dict[str, Any], layout: BigGAN, variant: str) -> None:
    dream = dreaming(golden, layout, **VARIANTS[variant])
    x, losses = dream.losses(dream.z, dream.cls)
    if variant == "sigmoid":
        torch.testing.assert_close(x, golden["image"], rtol=0, atol=1e-4)
    wanted = torch.tensor([golden[variant][f"{kind}_loss"] for kind in ("lat", "cls", "sim")])
    torch.testing.assert_close(torch.stack(losses), wanted, rtol=1e-4, atol=1e-8)
    if f"{variant}_grad_normu" in golden:
        z, cls = torch.autograd.grad(torch.stack(losses).sum(), [dream.z, dream.cls])
        close_as_a_whole(z[0], golden[f"{variant}_grad_normu"])
        close_as_a_whole(cls[0, :3], golden[f"{variant}_grad_cls_first3rows"])


def close_as_a_whole(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert float((found - wanted).norm() / wanted.norm()) < 1e-4


def test_three_steps_equal_bigsleeps(golden: dict[str, Any], layout: BigGAN) -> None:
    dream = dreaming(golden, layout, lr=0.07, ema_decay=0.5)
    for i, step in enumerate(golden["adam_lr0.07_ema0.5_3steps"]):
        _, loss = dream.train_step(0, i)
        torch.testing.assert_close(loss, torch.tensor(sum(step["losses"])), rtol=1e-4, atol=0)
    close_as_a_whole(dream.z[0].detach(), golden["steps_normu_after3"])
    close_as_a_whole(dream.cls[0, :3].detach(), golden["steps_cls_after3_first3rows"])
    z, cls = dream.average.value()
    close_as_a_whole(z[0], golden["steps_ema_normu_after3"])
    with torch.no_grad():
        x, _ = dream.losses(z, cls)
    torch.testing.assert_close(x[..., ::4, ::4], golden["steps_ema_image_strided4"], rtol=0, atol=1e-4)


def test_names_of_files_are_bigsleeps() -> None:
    for case, wanted in json.loads((SLEEP / "text_path.json").read_text()).items():
        assert create_text_path(**eval(case)) == wanted
    assert create_text_path("a/b\\c") == "a_b_c"
    assert len(create_text_path("é" * 500).encode()) <= 200


def test_arguments_and_defaults_are_bigsleeps() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(Imagine).parameters.items()}
    assert defaults == {
        **dict.fromkeys(("text", "img", "encoding", "seed", "max_classes", "generator", "perceptor")),
        **dict.fromkeys(("save_progress", "bilinear", "append_seed", "torch_deterministic", "save_date_time"), False),
        **dict.fromkeys(("save_best", "experimental_resample", "center_bias", "larger_clip"), False),
        **{"text_min": "", "lr": 0.07, "image_size": 512, "gradient_accumulate_every": 1, "save_every": 50},
        **{"epochs": 20, "iterations": 1050, "open_folder": True, "class_temperature": 2.0, "ema_decay": 0.99},
        **{"num_cutouts": 128, "device": "auto"},
    }


def test_a_run_writes_its_files_and_repeats_itself(tmp_path: Path) -> None:
    settings = {"text": "red", "save_progress": True, "save_best": True, "append_seed": True}
    small(**settings)()
    wanted = ["red.0.3.png", "red.3.best.png", "red.3.png", "red.3.safetensors", "red.1.3.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(wanted)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    torch.manual_seed(1)
    random.seed(1)
    small(**settings)()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    with safe_open(str(tmp_path / "red.3.safetensors"), "pt") as file:
        assert file.get_tensor("z").shape[0] == file.get_tensor("classes").shape[0]


def test_a_run_leaves_the_processs_own_draws_and_the_weights_alone() -> None:
    model = BigGAN.from_pretrained(TINY)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate()
    dream = Imagine(text="red", generator=model, perceptor=ColourScorer(), num_cutouts=2, device="cpu")
    dream.train_step(0, 0)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_optimising_brings_the_picture_nearer_to_the_text_and_farther_from_the_penalised() -> None:
    def redness(dream: Imagine) -> float:
        return float(torch.cosine_similarity(dream.encoded_red, 2 * dream.x.mean((2, 3)) - 1))  # type: ignore[attr-defined]

    found = {}
    for kind, prompts in {"max": {"text": "red"}, "min": {"text_min": "red"}}.items():
        dream = small(**prompts, num_cutouts=4)
        dream.encoded_red = ColourScorer().encode_text(["red"])  # type: ignore[attr-defined]
        for i in range(12):
            dream.x, _ = dream.train_step(0, 2 * i)  # type: ignore[attr-defined]
            found.setdefault(kind, []).append(redness(dream))
    assert found["max"][-1] > found["max"][0] + 0.05
    assert found["min"][-1] < found["min"][0] - 0.05


def test_a_penalised_text_is_no_goal() -> None:
    dream = small(text="red", text_min="green|blue")
    texts = ColourScorer().encode_text(["red", "green", "blue"])
    assert torch.equal(torch.cat(dream.encoded_texts["max"]), texts[:1])
    assert torch.equal(torch.cat(dream.encoded_texts["min"]), texts[1:])
    assert dream.text_path == "red_wout_green--blue"


def test_prompts_may_be_pictures_vectors_or_set_later(tmp_path: Path) -> None:
    image = Image.new("LA", (30, 20), (200, 128))
    image.save(tmp_path / "grey.png")
    scorer = ColourScorer()
    seen = scorer.encode_image(clip_square(image, 24))
    assert torch.equal(small(img=str(tmp_path / "grey.png")).encoded_texts["max"][0], seen)
    red = scorer.encode_text(["red"])
    [both] = small(text="red", img=image).encoded_texts["max"]
    torch.testing.assert_close(both, (red + seen) / 2)
    assert torch.equal(small(encoding=red * 2).encoded_texts["max"][0], red * 2)
    dream = small()
    with pytest.raises(ConfigError, match="There is no prompt"):
        dream.train_step(0, 0)
    dream.set_text("red")
    assert torch.equal(dream.encoded_texts["max"][0], red)
    assert float(dream.train_step(0, 0)[1]) == pytest.approx(float(small(text="red").train_step(0, 0)[1]))


def test_a_picture_is_shown_as_torchvision_would() -> None:
    for size in ((50, 31), (31, 50), (24, 24), (20, 90)):
        pixels = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
        image = functional.to_pil_image(pixels)
        wanted = functional.to_tensor(functional.center_crop(functional.resize(image, [24]), [24, 24]))
        assert torch.equal(clip_square(image, 24)[0], wanted)


def test_reset_begins_again_with_other_latents() -> None:
    dream = small(text="red")
    dream.train_step(0, 0)
    before = dream.z.detach().clone()
    dream.reset()
    assert not torch.equal(dream.z, before)
    assert dream.optimizer.param_groups[0]["params"] == [dream.z, dream.cls]
    assert not dream.optimizer.state


def test_accumulated_gradients_are_the_mean_over_fresh_cuts() -> None:
    dream = small(text="red", gradient_accumulate_every=3)
    _, loss = dream.train_step(0, 0)
    other = small(text="red")
    single = [float(torch.stack(other.losses(other.z, other.cls)[1]).sum().detach()) for _ in range(3)]
    assert float(loss) == pytest.approx(sum(single) / 3, rel=1e-5)


def test_an_interrupted_run_writes_what_it_has(tmp_path: Path) -> None:
    class Stopping(ColourScorer):
        calls = 0

        def encode_image(self, x: torch.Tensor) -> torch.Tensor:
            Stopping.calls += 1
            if Stopping.calls == 3:
                raise KeyboardInterrupt
            return super().encode_image(x)

    dream = Imagine(text="red", generator=TINY, perceptor=Stopping(), seed=0, num_cutouts=1, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        dream()
    assert (tmp_path / "red.png").is_file()


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"max_classes": 11}, "max_classes is 11; allowed is 1 to 10"),
    ({"torch_deterministic": True, "bilinear": True}, "do not go together"),
    ({"img": "missing.png"}, "img missing.png cannot be read"),
    ({"generator": None, "image_size": 100}, "image_size is 100; allowed is 128, 256, 512"),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES)
def test_a_mistake_is_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Imagine(**{"text": "red", "generator": TINY, "perceptor": ColourScorer(), "device": "cpu"} | settings)


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    """On the small weights, and a tiny CLIP with random ones, in place of what would be downloaded."""
    import open_clip

    towers = {"vision_cfg": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32}}
    towers |= {"text_cfg": {"layers": 1, "width": 32, "heads": 2}}
    model = open_clip.CLIP(embed_dim=16, **towers)
    settings = {"embed_dim": 16, **towers}
    about = {"model_cfg": settings, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "size": [32, 32]}}
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text(json.dumps(about))
    save_file(model.state_dict(), tmp_path / "clip" / "open_clip_model.safetensors")
    script = Path(__file__).parents[2] / "examples" / "big_sleep.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), str(TINY), str(tmp_path / "clip"), "2"])
        runpy.run_path(str(script))
    with Image.open(tmp_path / "fire_in_the_sky.png") as image:
        assert image.size == (16, 16)


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(b"a holiday")
    with pytest.raises(ConfigError, match="not a picture drawn by biggan"):
        small(text="red")()
    assert (tmp_path / "red.png").read_bytes() == b"a holiday"
