"""BigGAN-PyTorch's golden training runs, done by our steps; shared by the processes that it is run in."""

import copy
from dataclasses import replace

import torch
from cases import GOLDEN_MODELS, golden, part
from torch import Tensor, nn

from biggan.config import Optim
from biggan.distributed.processes import share
from biggan.models.build import discriminator, generator
from biggan.training.adam import Adam
from biggan.training.ema import averaged_copy, ema_decay, update_average
from biggan.training.losses import d_loss, g_loss
from biggan.training.steps import DBatch, GBatch, discriminator_step, generator_step


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


class ReferenceRun:
    """BigGAN-PyTorch's golden run: two D steps and one G step an iteration, each of two accumulations, in float64."""

    def __init__(self, name: str, fused: bool) -> None:
        model = replace(GOLDEN_MODELS[name], fused_resampling=fused)
        self.G, self.D = generator(model), discriminator(model)
        self.G.load_state_dict(golden(f"{name}/G_init"))
        self.D.load_state_dict(golden(f"{name}/D_init"))
        self.G.double().train(), self.D.double().train()
        self.optim = Optim(
            lr_g=1e-4, lr_d=4e-4, adam_eps=model.sn_eps, ortho_g=1e-4, ortho_kind="reference", ema_decay=0.9
        )
        self.optim_g = Adam.of(self.G, self.optim.lr_g, self.optim)
        self.optim_d = Adam.of(self.D, self.optim.lr_d, self.optim)
        self.G_ema = averaged_copy(self.G)
        self.inputs = golden(f"{name}/train_inputs")
        self.gradients: dict[str, Tensor] = {}
        self.losses: dict[str, float] = {}

    def iterate(self, iteration: int) -> None:
        data = part(self.inputs, f"it{iteration}")
        z, y = data["z"].double(), data["y"]
        x, y_real = data["x"].double().split(z.shape[1]), data["y_real"].split(z.shape[1])
        first, count = share(0, z.shape[1])
        mine = slice(first, first + count)
        for step in (0, 1):
            places = (2 * step, 2 * step + 1)
            self.d_step(step, [DBatch(x[i][mine], y_real[i][mine], z[i][mine], y[i][mine]) for i in places])
        self.g_step([GBatch(z[i][mine], y[i][mine]) for i in (4, 5)])
        decay = ema_decay(iteration, self.optim.ema_decay, self.optim.ema_start, self.optim.ema_warmup)
        update_average(self.G_ema, self.G, decay)

    def d_step(self, step: int, batches: list[DBatch]) -> None:
        G, D = copy.deepcopy((self.G, self.D))
        figures = discriminator_step(self.G, self.D, self.optim_d, batches, self.optim)
        self.gradients |= {f"D_step{step}/{name}": g for name, g in gradients(self.D).items()}
        parts = []
        for x, y, z, y_fake, *_ in batches:
            logits = D(torch.cat([G(z, G.embed(y_fake)), x]), torch.cat([y_fake, y]))
            parts.append(torch.stack(d_loss("hinge", logits[len(z) :], logits[: len(z)])).detach())
        means = torch.stack(parts).mean(0)
        torch.testing.assert_close(torch.stack([figures["loss_d_real"], figures["loss_d_fake"]]), means)
        self.losses |= dict(zip(("D_loss_real", "D_loss_fake"), parts[-1].tolist(), strict=True))

    def g_step(self, batches: list[GBatch]) -> None:
        G, D = copy.deepcopy((self.G, self.D))
        figures = generator_step(self.G, self.D, self.optim_g, batches, self.optim)
        self.gradients |= {f"G_step0/{name}": g for name, g in gradients(self.G).items()}
        parts = [g_loss("hinge", D(G(z, G.embed(y)), y)).detach() for z, y, _ in batches]
        torch.testing.assert_close(figures["loss_g"], torch.stack(parts).mean())
        self.losses["G_loss"] = float(parts[-1]) / len(batches)
