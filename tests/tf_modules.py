"""The six TF-Hub modules as TF has them: random variables under the real names, and what TF draws from them.

Written from the modules' structure in TF's own conventions: images NHWC, kernels HWIO, matrices (in, out), z before
the class, and one power iteration from u0 in each forward. Nothing of `biggan` is used.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

EPS = 1e-4
CHANNELS = {128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1), 512: (16, 16, 8, 8, 4, 2, 1, 1)}
ATTENTION = {128: 4, 256: 5, 512: 4}  # before this block of BigGAN; BigGAN-deep has it before block 8
DEEP_BLOCKS = {  # (in, out, whether it doubles the resolution)
    128: "16-16 16-16up 16-16 16-8up 8-8 8-4up 4-4 4-2up 2-2 2-1up",
    256: "16-16 16-16up 16-16 16-8up 8-8 8-8up 8-8 8-4up 4-4 4-2up 2-2 2-1up",
    512: "16-16 16-16up 16-16 16-8up 8-8 8-8up 8-8 8-4up 4-4 4-2up 2-2 2-1up 1-1 1-1up",
}


def scope(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


@dataclass
class Module:
    """A module of given width, with classes `K`, embeddings of `E` numbers and z of `Z` a chunk (deep: in all)."""

    deep: bool
    resolution: int
    ch: int = 4
    K: int = 5
    E: int = 6
    Z: int = 3
    variables: dict[str, np.ndarray] = field(default_factory=dict)
    tables: list[np.ndarray] = field(default_factory=list)
    """Mean and variance of each norm in forward order, 51 rows."""

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.resolution + self.deep)
        self.weight("linear", (self.K, self.E), normalised=False, bias=False)
        first, widths = self.first(), [16 * self.ch, *(out for _, out, _ in self.blocks())]
        self.weight(f"Generator/{first}", (self.Z + self.E * self.deep, 16 * widths[0]))
        for i, (inside, out, _) in enumerate(self.blocks()):
            block = scope("Generator/GBlock", i)
            if self.deep:
                hidden = inside // 4
                for k, (a, b, size) in enumerate(
                    [(inside, hidden, 1), (hidden, hidden, 3), (hidden, hidden, 3), (hidden, out, 1)]
                ):
                    self.norm(f"{block}/{scope('BatchNorm', k)}", f"{block}/{scope('BatchNorm', k)}", a)
                    self.weight(f"{block}/conv{k}", (size, size, a, b))
            else:
                for k, (conv, a, b, size) in enumerate([("conv0", inside, out, 3), ("conv1", out, out, 3)]):
                    names = (scope(name, k) for name in ("HyperBN", "CrossReplicaBN"))
                    self.norm(*(f"{block}/{name}" for name in names), a)
                    self.weight(f"{block}/{conv}", (size, size, a, b))
                self.weight(f"{block}/conv_sc", (1, 1, inside, out))
        inside = self.blocks()[self.attention()][0]
        for name, a, b in [("theta", inside, inside // 8), ("phi", inside, inside // 8), ("g", inside, inside // 2)]:
            self.weight(f"Generator/attention/{name}", (1, 1, a, b), bias=False)
        self.weight("Generator/attention/o_conv", (1, 1, inside // 2, inside), bias=False)
        self.averaged("Generator/attention/gamma", np.array([0.7]) if self.deep else np.array(0.7))
        last, moments = (("BatchNorm",) * 2) if self.deep else ("ScaledCrossReplicaBN", "ScaledCrossReplicaBNbn")
        for part in self.parts():
            self.averaged(f"Generator/{last}/{part}", self.normal((1, 1, 1, self.ch)))
        self.statistics(f"Generator/{moments}", self.ch)
        rgb = ("conv_to_rgb", self.ch) if self.deep else ("conv_2d", 3)
        self.weight(f"Generator/{rgb[0]}", (3, 3, self.ch, rgb[1]))
        self.settle()

    def blocks(self) -> list[tuple[int, int, bool]]:
        if not self.deep:
            widths = [m * self.ch for m in CHANNELS[self.resolution]]
            return [(a, b, True) for a, b in itertools.pairwise(widths)]
        words = [(*word.removesuffix("up").split("-"), "up" in word) for word in DEEP_BLOCKS[self.resolution].split()]
        return [(int(a) * self.ch, int(b) * self.ch, up) for a, b, up in words]

    def attention(self) -> int:
        return 8 if self.deep else ATTENTION[self.resolution]

    def first(self) -> str:
        return "GenZ/G_linear" if self.deep else "G_Z/G_linear"

    def ema(self) -> str:
        return "ema_0.9999" if self.deep else "ema_b999900"

    def parts(self) -> tuple[str, str]:
        return ("scale", "offset") if self.deep else ("gamma", "beta")

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.random.normal(size=shape).astype(np.float32)

    def averaged(self, name: str, value: np.ndarray) -> None:
        """A trained variable, and its average below it, which alone draws."""
        self.variables[name] = self.normal(value.shape)
        self.variables[f"{name}/{self.ema()}"] = value.astype(np.float32)

    def weight(self, name: str, shape: tuple[int, ...], normalised: bool = True, bias: bool = True) -> None:
        self.averaged(f"{name}/w", self.normal(shape))
        if bias:
            self.averaged(f"{name}/b", 0.3 * self.normal(shape[-1:]))
        if normalised:
            self.variables[f"{name}/u0"] = self.vector(name)
            self.variables[f"{name}/u1"] = self.normal((1, int(np.prod(shape[:-1]))))

    def vector(self, name: str) -> np.ndarray:
        """u0 of a weight: random where each forward iterates anew, else the singular vector, as after training."""
        weight = self.variables[f"{name}/w/{self.ema()}"]
        if self.deep:
            return np.linalg.svd(weight.reshape(-1, weight.shape[-1]), full_matrices=False)[2][:1]
        return self.normal((1, weight.shape[-1]))

    def norm(self, name: str, moments: str, channels: int) -> None:
        for part in self.parts():
            self.weight(f"{name}/{part}", (self.Z + self.E, channels), bias=False)
        self.statistics(moments, channels)

    def statistics(self, name: str, channels: int) -> None:
        self.variables[f"{name}/accumulated_mean"] = self.normal((channels,))
        self.variables[f"{name}/accumulated_var"] = self.random.uniform(0.5, 2, channels).astype(np.float32)
        self.variables[f"{name}/accumulation_counter"] = np.array(7, np.float32)

    def latents(self) -> tuple[Tensor, Tensor]:
        """z (1, D) and soft classes y (1, K)."""
        width = self.Z if self.deep else self.Z * (len(self.blocks()) + 1)
        y = self.random.dirichlet(np.ones(self.K), 1)
        return torch.from_numpy(self.normal((1, width))), torch.from_numpy(y).float()

    def settle(self) -> None:
        """Statistics near what the norms meet, so that no layer is silent; each row of the tables is another."""
        met: dict[str, list[Tensor]] = {}
        for _ in range(2):
            Drawing(self, None, met).draw(*self.latents())
        for name, moments in met.items():
            mean, var = torch.stack(moments).mean(0).numpy()
            var += torch.stack(moments)[:, 0].var(0).numpy() + 1e-3
            for part, base in (("mean", mean), ("var", var)):
                rows = (base * self.random.uniform(0.7, 1.3, (52, len(base)))).astype(np.float32)
                self.variables[f"{name}/accumulated_{part}"] = rows[0]
                self.tables.append(rows[1:])

    def draw(self, z: Tensor, y: Tensor, row: int | None = None) -> Tensor:
        """Images (N, R, R, 3) of z (N, D) and soft classes y (N, K), with a row of the tables or the accumulators."""
        return Drawing(self, row).draw(z, y)


class Drawing:
    """One forward."""

    def __init__(self, module: Module, row: int | None, met: dict[str, list[Tensor]] | None = None) -> None:
        self.module, self.row, self.met, self.norms_seen = module, row, met, 0

    def value(self, name: str) -> Tensor:
        return torch.from_numpy(self.module.variables[name]).double()

    def mean(self, name: str) -> Tensor:
        return self.value(f"{name}/{self.module.ema()}")

    def w(self, name: str) -> Tensor:
        weight, u = self.mean(f"{name}/w"), self.value(f"{name}/u0")
        matrix = weight.reshape(-1, weight.shape[-1])

        def unit(x: Tensor) -> Tensor:
            return x / x.norm().clamp(min=EPS)

        v = unit(u @ matrix.T)
        u = unit(v @ matrix)
        return weight / (v @ matrix @ u.T)

    def dense(self, name: str, x: Tensor) -> Tensor:
        return x @ self.w(name)

    def conv(self, name: str, x: Tensor, bias: bool = True) -> Tensor:
        kernel = self.w(name)
        size, (height, width) = kernel.shape[0], x.shape[1:3]
        edge = size // 2
        padded = torch.zeros(len(x), height + 2 * edge, width + 2 * edge, x.shape[3], dtype=x.dtype)
        padded[:, edge : edge + height, edge : edge + width] = x
        y = sum(padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(size) for j in range(size))
        return y + self.mean(f"{name}/b") if bias else y

    def moments(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of a norm: its standing ones, or those of x, which are noted, while `met` collects them."""
        if self.met is not None:
            self.met.setdefault(name, []).append(torch.stack([x.mean((0, 1, 2)), x.var((0, 1, 2))]))
            return self.met[name][-1].unbind()
        at = 2 * self.norms_seen
        self.norms_seen += 1
        if self.row is None:
            return self.value(f"{name}/accumulated_mean"), self.value(f"{name}/accumulated_var")
        mean, var = (torch.from_numpy(table[self.row]).double() for table in self.module.tables[at : at + 2])
        return mean, var

    def normalised(self, name: str, x: Tensor) -> Tensor:
        mean, var = self.moments(name, x)
        return (x - mean) / (var + EPS).sqrt()

    def conditional(self, name: str, moments: str, x: Tensor, c: Tensor) -> Tensor:
        scale, offset = (self.dense(f"{name}/{part}", c)[:, None, None] for part in self.module.parts())
        return (self.normalised(moments, x) * (1 + scale) + offset).clamp(min=0)

    def attend(self, x: Tensor) -> Tensor:
        def pooled(name: str) -> Tensor:
            y = self.conv(f"Generator/attention/{name}", x, bias=False)
            n, height, width, channels = y.shape
            return y.reshape(n, height // 2, 2, width // 2, 2, channels).amax((2, 4)).flatten(1, 2)

        theta = self.conv("Generator/attention/theta", x, bias=False).flatten(1, 2)
        phi, g = pooled("phi"), pooled("g")
        seen = torch.cat([(part @ phi.mT).softmax(2) @ g for part in theta.split(1024, 1)], 1)
        out = self.conv("Generator/attention/o_conv", seen.reshape(*x.shape[:3], -1), bias=False)
        return x + self.mean("Generator/attention/gamma") * out

    def draw(self, z: Tensor, y: Tensor) -> Tensor:
        module, z = self.module, z.double()
        embedded = y.double() @ self.mean("linear/w")
        if module.deep:
            chunks = [torch.cat([z, embedded], 1)] * (len(module.blocks()) + 1)
        else:
            first, *others = z.split(module.Z, 1)
            chunks = [first, *(torch.cat([chunk, embedded], 1) for chunk in others)]
        name = f"Generator/{module.first()}"
        x = (self.dense(name, chunks[0]) + self.mean(f"{name}/b")).reshape(len(z), 4, 4, -1)
        for i, ((_, out, up), c) in enumerate(zip(module.blocks(), chunks[1:], strict=True)):
            x = self.attend(x) if i == module.attention() and self.met is None else x
            x = (self.deep_block if module.deep else self.block)(scope("Generator/GBlock", i), x, c, out, up)
        last, moments = (("BatchNorm",) * 2) if module.deep else ("ScaledCrossReplicaBN", "ScaledCrossReplicaBNbn")
        gain, bias = (self.mean(f"Generator/{last}/{part}") for part in module.parts())
        x = (self.normalised(f"Generator/{moments}", x) * gain + bias).clamp(min=0)
        return self.conv(f"Generator/{'conv_to_rgb' if module.deep else 'conv_2d'}", x)[..., :3].tanh()

    def block(self, name: str, x: Tensor, c: Tensor, out: int, up: bool) -> Tensor:
        h = doubled(self.conditional(f"{name}/HyperBN", f"{name}/CrossReplicaBN", x, c))
        h = self.conv(f"{name}/conv0", h)
        h = self.conv(f"{name}/conv1", self.conditional(f"{name}/HyperBN_1", f"{name}/CrossReplicaBN_1", h, c))
        return h + self.conv(f"{name}/conv_sc", doubled(x))

    def deep_block(self, name: str, x: Tensor, c: Tensor, out: int, up: bool) -> Tensor:
        h = x
        for k in range(4):
            norm = f"{name}/{scope('BatchNorm', k)}"
            h = self.conditional(norm, norm, h, c)
            h = self.conv(f"{name}/conv{k}", doubled(h) if up and k == 1 else h)
        x = x[..., :out]
        return h + (doubled(x) if up else x)


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 1).repeat_interleave(2, 2)
