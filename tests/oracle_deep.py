"""The independent float64 derivation of BigGAN-deep (see `oracle.py`, whose layers it uses)."""

import itertools

import torch
from oracle import Network
from torch import Tensor

from biggan.config import Model

# In multiples of ch: G's first map and each stage's output; D's first convolution and each stage's output.
G_STAGES = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
D_STAGES = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}

Plan = list[tuple[str, int, bool]]
"""Name of a block in the state, its output channels, whether it resamples; or the name of an attention, 0, False."""


def g_plan(model: Model) -> tuple[int, Plan]:
    """Channels of the first map, then blocks and attentions in order."""
    plan: Plan = []
    if model.g_blocks:
        block = -1
        for word in model.g_blocks[1:]:
            block += word != "attention"
            name = f"blocks.{block}.{int(word == 'attention')}"
            plan.append((name, 0, False) if word == "attention" else (name, int(word.removesuffix("up")), "up" in word))
        return int(model.g_blocks[0]), plan
    widths = model.g_widths or tuple(model.g_channels * m for m in G_STAGES[model.resolution])
    for stage, (before, after) in enumerate(itertools.pairwise(widths)):
        for k in range(model.g_depth):
            last = k == model.g_depth - 1
            plan.append((f"blocks.{stage * model.g_depth + k}.0", after if last else before, last))
        if 4 * 2 ** (stage + 1) in model.g_attention:
            plan.append((f"blocks.{stage * model.g_depth + k}.1", 0, False))
    return widths[0], plan


def d_plan(model: Model) -> tuple[int, Plan]:
    """Channels of the first convolution, then blocks and attentions in order."""
    plan: Plan = []
    if model.d_blocks:
        stage, place = 0, 0
        for i, word in enumerate(model.d_blocks[1:]):
            if "down" in word and i:
                stage, place = stage + 1, 0
            name = f"blocks.{stage}.{place}"
            place += 1
            plan.append(
                (name, 0, False) if word == "attention" else (name, int(word.removesuffix("down")), "down" in word)
            )
        return int(model.d_blocks[0]), plan
    widths = model.d_widths or tuple(model.d_channels * m for m in D_STAGES[model.resolution])
    size = model.resolution
    for stage, after in enumerate(widths[1:]):
        halves = not (model.resolution == 32 and stage == 2)
        size = size // 2 if halves else size
        plan += [(f"blocks.{stage}.{k}", after, halves and k == 0) for k in range(model.d_depth)]
        if size in model.d_attention:
            plan.append((f"blocks.{stage}.{model.d_depth}", 0, False))
    return widths[0], plan


class DeepNetwork(Network):
    """Both networks of BigGAN-deep over a state dict; arguments as `Network`."""

    def generate(self, z: Tensor, c: Tensor) -> Tensor:
        model = self.model
        z, c = z.double(), c.double()
        condition = torch.cat((c, z) if model.condition == "yz" else (z, c), 1)
        first, plan = g_plan(model)
        x = self.linear("linear", condition).reshape(-1, first, 4, 4)
        for name, channels, up in plan:
            x = self.deep_g_block(name, x, condition, channels, up) if channels else self.attention(name, x)
        x = self._affine("output_layer.0", self.batch_norm("output_layer.0", x, model.output_norm_eps))
        filters = x.shape[1] if model.wide_output else model.image_channels
        return self.conv("output_layer.2", x.clamp(min=0), filters)[:, : model.image_channels].tanh()

    def deep_g_block(self, name: str, x: Tensor, c: Tensor, channels: int, up: bool) -> Tensor:
        def upsample(t: Tensor) -> Tensor:
            return t.repeat_interleave(2, 2).repeat_interleave(2, 3) if up else t

        def active(t: Tensor, k: int) -> Tensor:
            return self.conditional_norm(f"{name}.bn{k}", t, c).clamp(min=0)

        hidden = x.shape[1] // 4
        h = self.conv(f"{name}.conv1", active(x, 1), hidden)
        h = self.conv(f"{name}.conv2", upsample(active(h, 2)), hidden)
        h = self.conv(f"{name}.conv3", active(h, 3), hidden)
        return self.conv(f"{name}.conv4", active(h, 4), channels) + upsample(x)[:, :channels]

    def discriminate(self, x: Tensor, y: Tensor | None) -> Tensor:
        first, plan = d_plan(self.model)
        x = self.conv("input_conv", x.double(), first)
        for name, channels, down in plan:
            x = self.deep_d_block(name, x, channels, down) if channels else self.attention(name, x)
        h = x.clamp(min=0).sum((2, 3))
        logits = self.linear("linear", h)
        return logits if y is None else logits + (self.weight("embed")[y] * h).sum(1, keepdim=True)

    def deep_d_block(self, name: str, x: Tensor, channels: int, down: bool) -> Tensor:
        def pool(t: Tensor) -> Tensor:
            n, kept, height, width = t.shape
            return t.reshape(n, kept, height // 2, 2, width // 2, 2).mean((3, 5)) if down else t

        h = x
        for k in (1, 2, 3):
            h = self.conv(f"{name}.conv{k}", h.clamp(min=0), channels // 4)
        h = self.conv(f"{name}.conv4", pool(h.clamp(min=0)), channels)
        x = pool(x)
        gained = channels - x.shape[1]
        return h + (torch.cat((x, self.conv(f"{name}.conv_sc", x, gained)), 1) if gained else x)
