"""The settings of pytorch-pretrained-biggan: read strictly, as a network of ours, and back.

What that layout cannot hold is refused here, but for statistics (`writing.py`). Not here: files and tensors.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from biggan.config import Model
from biggan.errors import ConfigError, ModelError, nearest
from biggan.models.biggan_deep import Block, g_layout
from biggan.models.network import BOTTOM, G_TABLE

Layer = tuple[bool, int, int]
"""Of a block: whether it doubles the resolution, its input's and its output's multiple of the channel width."""

FIRST, LAST = 16, 1  # multiples of the channel width before and after all blocks, which the layout fixes
PUBLISHED = (128, 256, 512)
MOST_BYTES = 2**20  # of a config; a published one has 0.7 kB
RANGES = {
    "output_dim": (1, 65536),
    "z_dim": (1, 65536),
    "class_embed_dim": (1, 65536),
    "channel_width": (1, 4096),
    "num_classes": (1, 10**7),
    "attention_layer_position": (1, 10**6),
    "n_stats": (2, 10**4),
}


def table(resolution: int) -> list[Layer]:
    """The blocks of a published generator at 128, 256 or 512 px, two at each resolution."""
    steps = itertools.pairwise(G_TABLE[resolution])
    return [layer for i, o in steps for layer in ((False, i, i), (True, i, o))]


@dataclass
class BigGANConfig:
    """A generator as `config.json` describes it; the defaults are the package's.

    `output_dim` and `class_embed_dim` mean nothing: an embedded class has `z_dim` dimensions.
    """

    output_dim: int = 128
    z_dim: int = 128
    class_embed_dim: int = 128
    channel_width: int = 128
    num_classes: int = 1000
    layers: Sequence[Layer] = field(default_factory=lambda: table(128))
    attention_layer_position: int = 8
    """The block before which self-attention stands, from 1; at or above the number of blocks: there is none."""
    eps: float = 1e-4
    n_stats: int = 51

    @classmethod
    def from_dict(cls, json_object: object) -> "BigGANConfig":
        """The settings of a JSON object; what is left out has its default.

        Raises:
            ConfigError: No object, an unknown field, or one outside what is allowed.
        """
        if not isinstance(json_object, dict):
            raise ConfigError(f"it must be a JSON object, and is {type(json_object).__name__}.")
        config, known = cls(), [each.name for each in fields(cls)]
        for name, value in json_object.items():
            if name not in known:
                offer = nearest(str(name)[:80], known) or f"; the fields are {', '.join(known)}."
                raise ConfigError(f"it has an unknown field {str(name)[:80]!r}{offer}")
            setattr(config, name, value)
        config.check()
        return config

    @classmethod
    def from_json_file(cls, json_file: str | Path) -> "BigGANConfig":
        """The settings in a file.

        Raises:
            ModelError: The file is missing, no JSON, or as `from_dict`.
        """
        path = Path(json_file)
        try:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            values = json.loads(content[:MOST_BYTES])
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{path} cannot be read as JSON ({error}); give an undamaged copy.") from error
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise ModelError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, object]:
        """The settings as JSON values."""
        return {**asdict(self), "layers": [list(layer) for layer in self.layers]}

    def to_json_string(self) -> str:
        """The text of `config.json`, as the package writes it."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def check(self) -> None:
        """Checks every field.

        Raises:
            ConfigError: A field is outside what is allowed; the message names it.
        """
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            _require(type(value) is int and least <= value <= most, name, value, f"a whole number, {least} to {most}")
        ok = type(self.eps) in (int, float) and 0 < self.eps <= 1
        _require(ok, "eps", self.eps, "a number above 0 and up to 1")
        ok = isinstance(self.layers, list | tuple) and 0 < len(self.layers) <= 128 and all(map(_is_layer, self.layers))
        _require(ok, "layers", self.layers, "1 to 128 lists of a truth value and two whole numbers")
        multiples = [FIRST, *(out for _, _, out in self.layers)]
        for number, (_, into, out) in enumerate(self.layers):
            allowed = f"from {multiples[number]}, where the one before ends, to the same or half of it"
            ok = into == multiples[number] and (out == into or 2 * out == into)
            _require(ok, f"layers[{number}]", list(self.layers[number]), allowed)
        _require(multiples[-1] == LAST, "layers", f"a list that ends at {multiples[-1]}", f"one that ends at {LAST}")
        doublings, most = sum(up for up, _, _ in self.layers), max(G_TABLE).bit_length() - BOTTOM.bit_length()
        _require(1 <= doublings <= most, "layers", f"a list with {doublings} doublings", f"one with 1 to {most}")

    def to_model(self) -> Model:
        """The same network as ours: by the paper's table where that gives it, else by a list of blocks.

        Raises:
            ConfigError: As `check`.
        """
        self.check()
        blocks, eps = self._blocks(), float(self.eps)
        resolution = BOTTOM << sum(block.resample for block in blocks)
        shared: dict[str, Any] = {
            "architecture": "biggan-deep",
            "resolution": resolution,
            "num_classes": self.num_classes,
            "g_channels": self.channel_width,
            "d_channels": self.channel_width,
            "dim_z": self.z_dim,
            "shared_dim": self.z_dim,
            "condition": "zy",
            "wide_output": True,
            "sn_vectors": "uv",
            **dict.fromkeys(("norm_eps", "output_norm_eps", "sn_eps"), eps),
        }
        if resolution in PUBLISHED:
            model = Model(**shared)
            if g_layout(model) == blocks:
                return model
        return Model(**shared, g_blocks=_words(blocks), g_attention=(), d_attention=())

    def _blocks(self) -> list[Block]:
        width, last = self.channel_width, len(self.layers) - 1
        return [
            Block(i * width, o * width, up, n < last and n + 1 == self.attention_layer_position)
            for n, (up, i, o) in enumerate(self.layers)
        ]

    @classmethod
    def of(cls, model: Model, n_stats: int) -> "BigGANConfig":
        """The settings of a generator of ours with a table of `n_stats` statistics.

        Raises:
            ConfigError: The layout cannot hold it; the message names the first condition that fails.
        """
        for ok, holds, here, flags in _conditions(model):
            if not ok:
                fits = model.image_channels == 3 and model.num_classes > 0  # else no format of others holds it
                others = ["try --format brock"] if fits else [] if flags else ["no other format holds it"]
                change = ", or ".join([*([f"train with {flags}"] if flags else []), *others])
                raise ConfigError(f"The Hugging Face layout holds {holds}, and this model has {here}; {change}.")
        blocks = g_layout(model)
        width = blocks[-1].out_channels
        attention = [n + 1 for n, block in enumerate(blocks) if block.attention]
        return cls(
            output_dim=model.resolution,
            z_dim=model.dim_z,
            class_embed_dim=model.dim_z,
            channel_width=width,
            num_classes=model.num_classes,
            layers=[(block.resample, block.channels // width, block.out_channels // width) for block in blocks],
            attention_layer_position=attention[0] if attention else len(blocks),
            eps=model.norm_eps,
            n_stats=n_stats,
        )


def published(resolution: int) -> BigGANConfig:
    """The settings of the generator that was published at 128, 256 or 512 px."""
    return BigGANConfig(output_dim=resolution, layers=table(resolution))


def _require(ok: bool, name: str, value: object, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"{name} is {str(value)[:80]}; allowed is {allowed}.")


def _is_layer(value: object) -> bool:
    return isinstance(value, list | tuple) and [type(part) for part in value] == [bool, int, int]


def _words(blocks: Sequence[Block]) -> tuple[str, ...]:
    """Blocks as `Model.g_blocks` lists them."""
    words = [str(blocks[0].channels)]
    for block in blocks:
        words += [f"{block.out_channels}up" if block.resample else f"{block.out_channels}"]
        words += ["attention"] * block.attention
    return tuple(words)


def _conditions(model: Model) -> Iterator[tuple[bool, str, object, str]]:
    """Whether a condition of the layout is met, what the layout holds, what is here, and which flags would meet it."""
    widths, attention = "other --g-widths or --g-blocks", "other --g-attention or --g-blocks"
    yield model.architecture == "biggan-deep", "BigGAN-deep alone", model.architecture, ""
    yield model.condition == "zy", "the condition [z, y]", "[y, z]", "--condition zy"
    yield model.wide_output, "a last convolution as wide as its input", "a narrower one", "--wide-output"
    blocks = g_layout(model)
    first, last = blocks[0].channels, blocks[-1].out_channels
    holds = f"a first map {FIRST} times as wide as the last"
    yield first == FIRST * last, holds, f"{first} and {last} channels", widths
    for i, o, _, _ in blocks:
        yield o in (i, i / 2), "blocks that keep or halve their channels", f"one from {i} to {o}", widths
    places = [n for n, block in enumerate(blocks) if block.attention]
    yield len(places) < 2, "at most one self-attention layer", f"{len(places)} of them", attention
    yield places != [len(blocks) - 1], "no self-attention after the last block", "it there", attention
    epsilons = (model.norm_eps, model.output_norm_eps, model.sn_eps)
    here, flags = ", ".join(f"{eps:g}" for eps in epsilons), "equal --norm-eps, --output-norm-eps and --sn-eps"
    yield len(set(epsilons)) == 1 and min(epsilons) > 0, "one epsilon above 0 for all norms", here, flags
    here, flags = f"{model.shared_dim} and {model.dim_z}", "equal --shared-dim and --dim-z"
    yield model.shared_dim == model.dim_z, "class embeddings of z's dimensions", here, flags
    yield model.norm == "batch", "batch norm", model.norm, "--norm batch"
    ok, here = model.spectral_norm in ("both", "generator"), f"--spectral-norm {model.spectral_norm}"
    yield ok, "a spectrally normalised G", here, "--spectral-norm both"
    values = model.num_singular_values
    yield values == 1, "one singular value of each weight", values, "--num-singular-values 1"
    yield model.image_channels == 3, "RGB images", f"images of {model.image_channels} channels", ""
    yield model.num_classes > 0, "class-conditional models", "no classes", ""
