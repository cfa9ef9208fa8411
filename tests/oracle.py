"""An independent float64 derivation of the two networks, to test them against.

Written from the tables and formulas of the paper and of BigGAN-PyTorch, functionally, over a state dict: nothing of
`biggan` but the settings (`config.Model`) is used. Resampling is done plainly (repeat, then convolve; convolve, then
average), batch norm from its definition, and spectral norm from explicit products, so autograd through it gives the
expected gradients too. What is not here: losses and optimizers, which the tests state in closed form.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from biggan.config import Model

# Output channels in multiples of ch: G's first map and then each block; D's blocks and how many of them downsample.
G_TABLE = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
D_TABLE = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
D_DOWNSAMPLES = {32: 2, 64: 4, 128: 5, 256: 6, 512: 7}


def g_widths(model: Model) -> tuple[int, ...]:
    return model.g_widths or tuple(model.g_channels * m for m in G_TABLE[model.resolution])


def d_widths(model: Model) -> tuple[int, ...]:
    return model.d_widths or tuple(model.d_channels * m for m in D_TABLE[model.resolution])


def power_iteration(w: Tensor, us: list[Tensor], eps: float) -> tuple[list[Tensor], list[Tensor]]:
    """One iteration for every tracked singular value of `w` (out, rest): the new us, and sigmas that carry gradient."""
    new_us: list[Tensor] = []
    new_vs: list[Tensor] = []
    for u in us:
        v = _unit(_orthogonal_to(u @ w.detach(), new_vs), eps)
        new_vs.append(v)
        new_us.append(_unit(_orthogonal_to(v @ w.detach().t(), new_us), eps))
    return new_us, [(v @ w.t() @ u.t()).reshape(1) for u, v in zip(new_us, new_vs, strict=True)]


def _orthogonal_to(x: Tensor, others: list[Tensor]) -> Tensor:
    for other in others:
        x = x - (x * other).sum() / (other * other).sum() * other
    return x


def _unit(x: Tensor, eps: float) -> Tensor:
    return x / max(float(x.square().sum().sqrt()), eps)


class Network:
    """Both networks over a state dict.

    Args:
        state: Parameters and buffers by their BigGAN-PyTorch names; used in float64. Give it leaves that require
            gradients to differentiate.
        model: The settings.
        training: Batch statistics. The buffers that the reference would have after this forward appear in `written`,
            and the batch means and biased variances in `moments`.
    """

    def __init__(self, state: dict[str, Tensor], model: Model, training: bool = False) -> None:
        self.state = {name: tensor.double() for name, tensor in state.items()}
        self.model = model
        self.training = training
        self.written: dict[str, Tensor] = {}
        self.moments: dict[str, Tensor] = {}

    # --- layers ---

    def weight(self, name: str) -> Tensor:
        w = self.state[f"{name}.weight"]
        if f"{name}.v0" in self.state:
            return self.weight_of_kept_pair(name, w)
        us = [self.state[f"{name}.u{i}"] for i in range(16) if f"{name}.u{i}" in self.state]
        if not us:
            return w
        writes = self.training and self.model.power_iteration == "per_forward"
        for _ in range(self.model.num_power_iterations if writes else 1):
            us, sigmas = power_iteration(w.flatten(1), us, self.model.sn_eps)
        if writes:
            for i, (u, sigma) in enumerate(zip(us, sigmas, strict=True)):
                self.written |= {f"{name}.u{i}": u, f"{name}.sv{i}": sigma.detach()}
        return w / sigmas[0]

    def weight_of_kept_pair(self, name: str, w: Tensor) -> Tensor:
        """W / (u W v) of the stored u and v, moved by one iteration first where a training forward does."""
        matrix, u, v = w.flatten(1), self.state[f"{name}.u0"], self.state[f"{name}.v0"]
        if self.training and self.model.power_iteration == "per_forward":
            v = _unit((matrix.detach().t() @ u.t()).t(), self.model.sn_eps)
            u = _unit((matrix.detach() @ v.t()).t(), self.model.sn_eps)
            sigma = (u @ matrix.detach() @ v.t()).reshape(1)
            self.written |= {f"{name}.u0": u, f"{name}.v0": v, f"{name}.sv0": sigma}
        return w / (u @ matrix @ v.t()).squeeze()

    def bias(self, name: str) -> Tensor | None:
        return self.state.get(f"{name}.bias")

    def conv(self, name: str, x: Tensor, channels: int) -> Tensor:
        """3x3 (or whatever size the kernel has) to `channels`, which the kernel has to have."""
        weight = self.weight(name)
        assert weight.shape[:2] == (channels, x.shape[1]), f"{name}: {tuple(weight.shape)}"
        return F.conv2d(x, weight, self.bias(name), padding=weight.shape[-1] // 2)

    def linear(self, name: str, x: Tensor) -> Tensor:
        bias = self.bias(name)
        out = x @ self.weight(name).t()
        return out if bias is None else out + bias

    def batch_norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        mean, var = self.state[f"{name}.stored_mean"], self.state[f"{name}.stored_var"]
        if self.training:
            count = x.shape[0] * x.shape[2] * x.shape[3]
            old_mean, old_var = mean, var
            mean = x.sum((0, 2, 3)) / count
            var = (x - mean[:, None, None]).square().sum((0, 2, 3)) / count
            self._track(name, old_mean, old_var, mean, var, count)
        return (x - mean[:, None, None]) / (var[:, None, None] + eps).sqrt()

    def instance_norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        mean, var = self.state[f"{name}.stored_mean"][None], self.state[f"{name}.stored_var"][None]
        if self.training:
            count = x.shape[2] * x.shape[3]
            old_mean, old_var = mean[0], var[0]
            mean = x.sum((2, 3)) / count
            var = (x - mean[:, :, None, None]).square().sum((2, 3)) / count
            self._track(name, old_mean, old_var, mean.mean(0), var.mean(0), count)
        return (x - mean[:, :, None, None]) / (var[:, :, None, None] + eps).sqrt()

    def _track(self, name: str, old_mean: Tensor, old_var: Tensor, mean: Tensor, var: Tensor, count: int) -> None:
        mean, var = mean.detach(), var.detach()
        self.moments |= {f"{name}.stored_mean": mean, f"{name}.stored_var": var}
        self.written[f"{name}.stored_mean"] = 0.9 * old_mean + 0.1 * mean
        self.written[f"{name}.stored_var"] = 0.9 * old_var + 0.1 * var * count / (count - 1)

    def conditional_norm(self, name: str, x: Tensor, c: Tensor) -> Tensor:
        normalise = {"batch": self.batch_norm, "instance": self.instance_norm, "none": lambda _, x, __: x}
        x = normalise[self.model.norm](name, x, self.model.norm_eps)
        if c.shape[1] == 0:
            return self._affine(name, x)
        gain, bias = self.modulation(f"{name}.gain", c), self.modulation(f"{name}.bias", c)
        return x * (1 + gain)[:, :, None, None] + bias[:, :, None, None]

    def _affine(self, name: str, x: Tensor) -> Tensor:
        return x * self.state[f"{name}.gain"][:, None, None] + self.state[f"{name}.bias"][:, None, None]

    def modulation(self, name: str, c: Tensor) -> Tensor:
        """(N, D) -> (N, C): a linear layer without bias, or a table [num_classes, C] that c takes rows of."""
        if self.model.num_classes and not self.model.shared_dim and not self.model.hierarchical_z:
            return c @ self.state[f"{name}.weight"]
        return self.linear(name, c)

    def attention(self, name: str, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape

        def pool(t: Tensor) -> Tensor:
            return t.reshape(n, -1, height // 2, 2, width // 2, 2).amax((3, 5)).flatten(2)

        theta = self.conv(f"{name}.theta", x, channels // 8).flatten(2)
        phi, g = pool(self.conv(f"{name}.phi", x, channels // 8)), pool(self.conv(f"{name}.g", x, channels // 2))
        scores = torch.einsum("ncq,nck->nqk", theta, phi)
        beta = scores.exp() / scores.exp().sum(-1, keepdim=True)
        mixed = torch.einsum("nck,nqk->ncq", g, beta).reshape(n, channels // 2, height, width)
        return self.state[f"{name}.gamma"] * self.conv(f"{name}.o", mixed, channels) + x

    # --- networks ---

    def generate(self, z: Tensor, c: Tensor) -> Tensor:
        """Images (N, C, H, W) from latents (N, dim_z) and embedded classes (N, D)."""
        model, widths = self.model, g_widths(self.model)
        blocks = len(widths) - 1
        z, c = z.double(), c.double()
        chunk = model.dim_z // (blocks + 1) if model.hierarchical_z else model.dim_z
        x = self.linear("linear", z[:, :chunk]).reshape(-1, widths[0], 4, 4)
        for i in range(blocks):
            extra = z[:, (i + 1) * chunk : (i + 2) * chunk]
            condition = torch.cat((c, extra), 1) if model.hierarchical_z else c
            x = self.g_block(f"blocks.{i}.0", x, condition, widths[i + 1])
            if x.shape[-1] in model.g_attention:
                x = self.attention(f"blocks.{i}.1", x)
        x = self._affine("output_layer.0", self.batch_norm("output_layer.0", x, model.output_norm_eps))
        return self.conv("output_layer.2", x.clamp(min=0), model.image_channels).tanh()

    def g_block(self, name: str, x: Tensor, c: Tensor, channels: int) -> Tensor:
        def upsample(t: Tensor) -> Tensor:
            return t.repeat_interleave(2, 2).repeat_interleave(2, 3)

        h = self.conditional_norm(f"{name}.bn1", x, c).clamp(min=0)
        h = self.conv(f"{name}.conv1", upsample(h), channels)
        h = self.conv(f"{name}.conv2", self.conditional_norm(f"{name}.bn2", h, c).clamp(min=0), channels)
        return h + self.conv(f"{name}.conv_sc", upsample(x), channels)

    def discriminate(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Logits (N, 1) of images (N, C, H, W) and labels (N,)."""
        widths = d_widths(self.model)
        x = x.double()
        for i in range(len(widths)):
            x = self.d_block(f"blocks.{i}.0", i, x, widths[i])
            if x.shape[-1] in self.model.d_attention:
                x = self.attention(f"blocks.{i}.1", x)
        h = x.clamp(min=0).sum((2, 3))
        logits = self.linear("linear", h)
        return logits if y is None else logits + (self.weight("embed")[y] * h).sum(1, keepdim=True)

    def d_block(self, name: str, index: int, x: Tensor, channels: int) -> Tensor:
        # SN-GAN's hidden width is the input's, in the first block ch (in BigGAN-PyTorch the image's channels).
        thin = self.model.d_hidden == "thin-reference" or (self.model.d_hidden == "thin" and index > 0)
        hidden = x.shape[1] if thin else channels
        down = index < D_DOWNSAMPLES[self.model.resolution]

        def pool(t: Tensor) -> Tensor:
            n, channels, height, width = t.shape
            return t.reshape(n, channels, height // 2, 2, width // 2, 2).mean((3, 5)) if down else t

        h = self.conv(f"{name}.conv1", x if index == 0 else x.clamp(min=0), hidden)
        h = pool(self.conv(f"{name}.conv2", h.clamp(min=0), channels))
        if not down and x.shape[1] == channels:
            return h + x
        if index == 0:
            return h + self.conv(f"{name}.conv_sc", pool(x), channels)
        return h + pool(self.conv(f"{name}.conv_sc", x, channels))
