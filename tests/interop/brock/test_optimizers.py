"""Optimizers' files as a training state has them."""

import pytest
import torch
from checkpoints import TINY, load, made, networks, optimizer, put, refusal, same

from biggan.errors import ModelError
from biggan.interop.brock import optimizers
from biggan.training.adam import Adam


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_optimizers_go_on(tmp_path, old):
    G, D = made(TINY)
    files = {**networks(), "G_optim": optimizer(G, old=old), "D_optim": optimizer(D, old=old)}
    imported = load(put(tmp_path, files))
    for name, network in (("optim_g", G), ("optim_d", D)):
        adam = Adam(network.parameters(), 1e-3)
        adam.load(imported.trained[name])
        assert same(adam.tensors(), imported.trained[name])
        for i, p in enumerate(network.parameters()):
            assert torch.equal(imported.trained[name][f"{i}.exp_avg_sq"], p.detach().square())
            assert float(imported.trained[name][f"{i}.step"]) == 3
    assert imported.config == {"lr_g": 2e-4, "lr_d": 2e-4, "adam_eps": 1e-6, "beta1": 0.0, "beta2": 0.999}


def test_optimizers_before_their_first_step_are_empty(tmp_path):
    files = {**networks(), "G_optim": {**optimizer(made(TINY)[0]), "state": {}}}
    assert load(put(tmp_path, files)).trained["optim_g"] == {}


def changed_optimizer(change: str) -> dict[str, object]:
    value = optimizer(made(TINY)[0])
    state, group = value["state"], value["param_groups"][0]
    match change:
        case "of D":
            return optimizer(made(TINY)[1])
        case "two groups":
            value["param_groups"].append(group)
        case "no state":
            del state[4]
        case "no step":
            del state[4]["step"]
        case "shape":
            state[4]["exp_avg"] = torch.ones(3)
        case "nan":
            state[4]["exp_avg_sq"].fill_(float("nan"))
        case "sgd":
            for one in state.values():
                del one["exp_avg_sq"]
        case "other":
            return {"a": 1}
    return value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("of D", "is of 23 parameters and the network has 37"),
        ("two groups", "holds no state of one optimizer with one group"),
        ("other", "holds no state of one optimizer with one group"),
        ("no state", "has no state for blocks.0.0.conv1.bias"),
        ("no step", "has no number of steps for blocks.0.0.conv1.bias"),
        ("shape", "has exp_avg of blocks.0.0.conv1.bias of shape [3], where [8] is needed"),
        ("nan", "holds NaN or Inf in exp_avg_sq of blocks.0.0.conv1.bias"),
        ("sgd", "has exp_avg_sq of shared.weight missing, where [5, 3] is needed"),
    ],
)
def test_another_optimizer_is_refused(tmp_path, change, words):
    place = put(tmp_path, {"G_optim": changed_optimizer(change)})
    with pytest.raises(ModelError) as caught:
        optimizers.read(place / "G_optim.pth", made(TINY)[0])
    assert f"G_optim.pth {words}" in str(caught.value)


def test_an_optimizer_that_is_refused_is_so_with_its_save(tmp_path):
    assert "is of 23 parameters" in refusal(put(tmp_path, {**networks(), "G_optim": changed_optimizer("of D")}))


@pytest.mark.parametrize("place", ["step", "lr"])
@pytest.mark.parametrize(("number", "words"), [(10**400, "more than 80 bits"), (2**79, "has no number of steps")])
def test_a_number_beyond_all_that_is_ever_set_is_refused_or_left_out(tmp_path, place, number, words):
    G, _ = made(TINY)
    value = optimizer(G)
    group = value["param_groups"][0] if place == "lr" else next(iter(value["state"].values()))
    group[place] = number
    path = put(tmp_path, {"G_optim": value}) / "G_optim.pth"
    if place == "lr" and number < 2**80:
        assert "lr" not in optimizers.read(path, G)[1]
    else:
        with pytest.raises(ModelError, match=words):
            optimizers.read(path, G)


def test_settings_that_the_optimizers_differ_in_are_left_out_and_said(tmp_path):
    """One setting serves both here; the last that is read must not take its place silently."""
    G, D = made(TINY)
    files = {**networks(), "G_optim": optimizer(G), "D_optim": optimizer(D)}
    files["G_optim"]["param_groups"][0] |= {"betas": (0.5, 0.999), "lr": 1e-4, "eps": 1e-8}
    imported = load(put(tmp_path, files))
    assert imported.config == {"lr_g": 1e-4, "lr_d": 2e-4, "beta2": 0.999}
    assert [note for note in imported.notes if "left out" in note] == [
        "adam_eps is 1e-08 in G's optimizer and 1e-06 in D's; both have one here, so it was left out.",
        "beta1 is 0.5 in G's optimizer and 0 in D's; both have one here, so it was left out.",
    ]
