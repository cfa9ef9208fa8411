"""The settings of a run: five frozen dataclasses, checked when made.

A field is a command-line flag (`lr_g` is `--lr-g`) and its docstring is the flag's help. What is not here: where
the images are and where the run goes (`workflow.train` takes both), what published runs set
(`presets.py`), and JSON (`config_json.py`).
"""

import dataclasses
import itertools
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from biggan.errors import ConfigError

RESOLUTIONS = (32, 64, 128, 256, 512)
SMALL_RESOLUTIONS = (8, 16)  # of generators whose blocks are listed
DEEP_ONLY = ("g_depth", "d_depth", "g_blocks", "d_blocks", "condition", "wide_output")

KINDS = ("color", "translation", "scale", "cutout")


def _require(ok: bool, name: str, value: object, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"--{name.replace('_', '-')} is {value}; allowed is {allowed}.")


def _check_numbers(config: Any, least: dict[str, float], most: dict[str, float]) -> None:
    """Checks that each named field is finite and within [least, most]."""
    for name in least.keys() | most.keys():
        value, low, high = getattr(config, name), least.get(name, -math.inf), most.get(name, math.inf)
        allowed = f"{_plain(low)} to {_plain(high)}" if math.isfinite(high) else f"{_plain(low)} or more"
        _require(math.isfinite(value) and low <= value <= high, name, value, allowed)


def _plain(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) and bound < 10**9 else f"{bound:.7g}"


def _check_choices(config: Any) -> None:
    """Checks that each `Literal` field holds one of its words (JSON and Python callers are not checked by mypy)."""
    for name, hint in get_type_hints(type(config)).items():
        if get_origin(hint) is Literal:
            value = getattr(config, name)
            _require(value in get_args(hint), name, repr(value), ", ".join(map(str, get_args(hint))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The two networks (paper, Appendix B; BigGAN-PyTorch `BigGAN.py`)."""

    architecture: Literal["biggan", "biggan-deep"] = "biggan"
    """Which family of networks."""
    resolution: int = 128
    """Height and width of images in pixels: 32, 64, 128, 256 or 512 (8 and 16 too where g_blocks is given)."""
    image_channels: int = 3
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; training takes it from the data."""
    num_classes: int = 1000
    """Number of classes, 0 for unconditional; training takes it from the data."""
    g_channels: int = 96
    """Width multiplier of G ('ch' in the paper)."""
    d_channels: int = 96
    """Width multiplier of D."""
    g_widths: tuple[int, ...] = ()
    """Channels of G's first map and after each doubling; empty for the paper's table times g_channels."""
    d_widths: tuple[int, ...] = ()
    """Channels after each block of D (BigGAN-deep: of its first convolution, then after each stage); empty for the
    paper's table times d_channels."""
    g_depth: int = 2
    """BigGAN-deep: blocks of G at each resolution, the last of which doubles it."""
    d_depth: int = 2
    """BigGAN-deep: blocks of D at each resolution, the first of which halves it."""
    g_blocks: tuple[str, ...] = ()
    """BigGAN-deep: all of G instead of widths, depth and attention, as words: channels of the first map, then for each
    block its channels, '512' or, where it doubles the resolution, '512up'; 'attention' between blocks."""
    d_blocks: tuple[str, ...] = ()
    """BigGAN-deep: all of D likewise: channels of the first convolution, then blocks such as '64down' and '64'."""
    g_attention: tuple[int, ...] = (64,)
    """Resolutions in pixels at which G has self-attention; empty for none."""
    d_attention: tuple[int, ...] = (64,)
    """Resolutions in pixels at which D has self-attention; empty for none."""
    dim_z: int = 120
    """Number of latent dimensions; with hierarchical z a multiple of the number of G's blocks plus one."""
    hierarchical_z: bool = True
    """Feed a chunk of z to every block ('skip-z'; BigGAN-deep: all of z) instead of all of it to the first layer."""
    shared_dim: int = 128
    """Dimensions of the one class embedding that all layers share; 0 for a table in every layer."""
    condition: Literal["yz", "zy"] = "yz"
    """BigGAN-deep: order of class embedding and z in the condition; the published generators have zy."""
    wide_output: bool = False
    """BigGAN-deep: G's last convolution has a filter a channel of its input, of which the first make the image, as in
    the published generators."""
    norm: Literal["batch", "instance", "none"] = "batch"
    """Normalisation inside G's conditional layers."""
    cross_replica: bool = True
    """Take batch-norm moments over processes rather than over each process's own share."""
    replica_group: int = 0
    """Processes that share cross-replica moments, neighbours by rank; 0: all."""
    norm_eps: float = 1e-5
    """Epsilon of the conditional normalisation."""
    output_norm_eps: float = 1e-5
    """Epsilon of G's last batch norm."""
    d_hidden: Literal["wide", "thin", "thin-reference"] = "wide"
    """Hidden width of a D block: its output's, its input's (SN-GAN), or BigGAN-PyTorch's thin with 3 in the first."""
    init: Literal["ortho", "N02", "xavier"] = "ortho"
    """Weights at the start: orthogonal, N(0, 0.02), or Xavier uniform; or a model to start from, by path or name:
    its networks are the run's, its classes go by name."""
    spectral_norm: Literal["both", "generator", "discriminator", "none"] = "both"
    """Which networks are spectrally normalised."""
    power_iteration: Literal["per_step", "per_forward"] = "per_step"
    """Advance spectral norm and running statistics once per optimizer step, or in every training forward."""
    num_power_iterations: int = 1
    """Power iterations each time."""
    num_singular_values: int = 1
    """Singular values tracked for each weight; only the first normalises."""
    sn_eps: float = 1e-6
    """Smallest length by which a power iteration divides."""
    sn_vectors: Literal["u", "uv"] = "u"
    """Keep u alone and iterate once from it where nothing is written (BigGAN-PyTorch), or keep u and v and take their
    singular value as it is (torch's spectral norm, the published deep generators)."""
    fused_resampling: bool = True
    """Run each resampling and its convolution as one strided kernel: the same function with 4/9 of the work."""

    def __post_init__(self) -> None:
        resolutions = (*SMALL_RESOLUTIONS, *RESOLUTIONS) if self.g_blocks else RESOLUTIONS
        _require(self.resolution in resolutions, "resolution", self.resolution, ", ".join(map(str, resolutions)))
        counts = dict.fromkeys(("g_channels", "d_channels", "dim_z", "g_depth", "d_depth"), 1)
        counts |= {"num_power_iterations": 1, "num_singular_values": 1, "image_channels": 1}
        small = {
            "num_classes": 0,
            "shared_dim": 0,
            "replica_group": 0,
            "norm_eps": 0,
            "output_norm_eps": 0,
            "sn_eps": 0,
        }
        high = {"image_channels": 4, "num_classes": 10**7, "g_channels": 4096, "d_channels": 4096, "dim_z": 65536}
        more = {"shared_dim": 65536, "num_power_iterations": 100, "num_singular_values": 16, "g_depth": 16}
        ones = {"d_depth": 16, "norm_eps": 1, "output_norm_eps": 1, "sn_eps": 1}
        _check_numbers(self, {**counts, **small}, {**high, **more, **ones})
        _check_choices(self)
        if self.architecture == "biggan":
            self._check_shallow()
        else:
            self._check_deep()
        for name in ("g_widths", "d_widths"):
            widths, length = getattr(self, name), self.num_doublings + 1
            allowed = f"none, or {length} numbers from 1 to 65536 at {self.resolution} px"
            ok = not widths or (len(widths) == length and all(1 <= width <= 65536 for width in widths))
            _require(ok, name, widths, allowed)
        self._check_attention()

    @property
    def norm_replicas(self) -> int:
        """Processes that share batch-norm moments; 0: all."""
        return self.replica_group if self.cross_replica else 1

    @property
    def num_doublings(self) -> int:
        """How often G doubles the resolution, from 4 px on."""
        return self.resolution.bit_length() - 3

    def _check_shallow(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in DEEP_ONLY:
            if getattr(self, name) != defaults[name]:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{flag} is for BigGAN-deep; leave it out, or give --architecture biggan-deep.")
        slots = self.num_doublings + 1
        ok = not self.hierarchical_z or self.dim_z % slots == 0
        _require(ok, "dim_z", self.dim_z, f"a multiple of {slots} at {self.resolution} px (or another --preset)")

    def _check_deep(self) -> None:
        _require(self.hierarchical_z, "hierarchical_z", self.hierarchical_z, "true with BigGAN-deep")
        _require(self.d_hidden == "wide", "d_hidden", self.d_hidden, "wide with BigGAN-deep")
        for name, step, least, most in (
            ("g_blocks", "up", self.num_doublings, self.num_doublings),
            ("d_blocks", "down", 0, self.num_doublings + 1),  # to 2 px, which attention can still halve
        ):
            words = getattr(self, name)
            if not words:
                continue
            word = re.compile(f"[1-9][0-9]{{0,4}}({step})?|attention")
            ok = bool(re.fullmatch("[1-9][0-9]{0,4}", words[0])) and all(map(word.fullmatch, words))
            steps = sum(word.endswith(step) for word in words)
            doubled = any(pair == ("attention", "attention") for pair in itertools.pairwise(words))
            ok = ok and words[1:2] != ("attention",) and len(words) > 1 and not doubled and least <= steps <= most
            count = f"{least}" if least == most else f"{least} to {most}"
            example = f"words such as 64 64 64{step} attention 32, {count} of them with {step} at {self.resolution} px"
            _require(ok, name, " ".join(words), example)
            for part, nothing in (("widths", ()), ("attention", ()), ("depth", 2)):
                other = name.replace("blocks", part)
                if getattr(self, other) != nothing:
                    flags = f"--{name.replace('_', '-')} and --{other.replace('_', '-')}"
                    raise ConfigError(f"{flags} say the same; leave the second at {nothing or 'nothing'}.")

    def _check_attention(self) -> None:
        g_places = [8 << i for i in range(self.num_doublings)]
        d_places = [8, 16] if self.resolution == 32 else [place // 2 for place in g_places]
        for name, asked, places in (
            ("g_attention", self.g_attention, g_places),
            ("d_attention", self.d_attention, d_places),
        ):
            ok = set(asked) <= set(places) and len(set(asked)) == len(asked)
            _require(ok, name, asked, f"any of {', '.join(map(str, places))} at {self.resolution} px")


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """How images become training data."""

    labels: bool = True
    """Use the labels; without them the model is unconditional."""
    channels: int | None = None
    """1 grey, 3 RGB, 4 RGBA; none: 1 when every image is grey, else 3."""
    crop: Literal["center", "pad"] = "center"
    """Non-square images: cut out the central square, or pad to a square with the background."""
    background: str = "white"
    """Colour behind transparent pixels and padding: a name or #rrggbb."""
    mirror: bool = False
    """Show every image also flipped left to right (not for text or digits)."""

    def __post_init__(self) -> None:
        _require(self.channels in (None, 1, 3, 4), "channels", self.channels, "1, 3 or 4")
        _check_choices(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """What makes little data go far; what has no value is chosen by the data, and said."""

    augment: tuple[Literal["color", "translation", "scale", "cutout"], ...] | None = None
    """Kinds of differentiable augmentation of all that D sees; given without a kind: no augmentation."""
    augment_share: float = 1.0
    """Share of images that each kind applies to."""
    ada_target: float | None = None
    """Let that share rise from 0 so as to keep D's signs on real less drawn images here (ADA: 0.6); 0: fixed share."""
    ada_images: int | None = None
    """Images in which the share can go from 0 to 1 (500,000 in the paper, whose runs show millions)."""
    lecam: float | None = None
    """Strength of LeCam regularisation of D (0.3 in its paper); with --ada-target it begins at 0 and grows."""
    lecam_decay: float = 0.99
    """Share of LeCam's averages of D's outputs kept at each D step."""
    consistency: float = 0.0
    """Strength of balanced consistency regularisation of D (10 in its paper); doubles D's work."""
    class_sampling: Literal["natural", "balanced"] | None = None
    """Show real images as often as they come, or every class equally often."""
    freeze_d: int = 0
    """Number of D's first blocks that stay as --init has them."""
    hold_g: int | None = None
    """Images during which G stays as --init has it while D learns."""

    @property
    def adapts(self) -> bool:
        """Whether the share of augmented images follows D, and with it LeCam."""
        return bool(self.augment and self.ada_target)

    def __post_init__(self) -> None:
        zero = dict.fromkeys(("augment_share", "lecam_decay", "consistency", "freeze_d"), 0)
        least = {"ada_target": 0, "ada_images": 1, "lecam": 0, "hold_g": 0}
        given = {name: low for name, low in least.items() if getattr(self, name) is not None}
        most = {"augment_share": 1, "lecam_decay": 0.9999999} | ({"ada_target": 0.99} if "ada_target" in given else {})
        _check_numbers(self, {**zero, **given}, most)
        kinds, words = self.augment or (), (None, "natural", "balanced")
        allowed = f"different ones of {', '.join(KINDS)}"
        _require(
            len(set(kinds)) == len(kinds) and set(kinds) <= {*KINDS}, "augment", " ".join(map(str, kinds)), allowed
        )
        _require(self.class_sampling in words, "class_sampling", self.class_sampling, "natural or balanced")


PLAIN = Augment(augment=(), ada_target=0.0, ada_images=500_000, lecam=0.0, class_sampling="natural", hold_g=0)
"""Training as published, whatever the number of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optim:
    """Losses, optimizers and averaging (paper, Section 3 and Appendix C)."""

    loss: Literal["hinge", "nonsaturating", "wasserstein"] = "hinge"
    """Adversarial loss."""
    class_loss: float = 0.0
    """Strength of a loss by which D tells real images' classes, if there are any; 0 in the published recipe."""
    d_steps: int = 2
    """D steps per G step."""
    lr_g: float = 5e-5
    """Adam's learning rate for G."""
    lr_d: float = 2e-4
    """Adam's learning rate for D."""
    beta1: float = 0.0
    """Adam's first-moment decay."""
    beta2: float = 0.999
    """Adam's second-moment decay."""
    adam_eps: float = 1e-6
    """Adam's epsilon."""
    lr_schedule: Literal["constant", "linear"] = "constant"
    """Keep the learning rates, or let them fall linearly to zero at the end of the run."""
    decay_start: float = 0.5
    """Share of the run after which a linear schedule begins to fall, 0 to 1."""
    ortho_g: float = 0.0
    """Strength of G's orthogonal regularisation (the paper's beta, 1e-4)."""
    ortho_d: float = 0.0
    """Strength of D's orthogonal regularisation."""
    ortho_kind: Literal["paper", "reference", "identity"] = "paper"
    """Penalty |Gram * (1 - I)|^2, the same at BigGAN-PyTorch's half strength, or |Gram - I|^2."""
    ema_decay: float = 0.9999
    """Share of the averaged G kept at each iteration."""
    ema_more: tuple[float, ...] = ()
    """The same of up to three further averages; at the end the best by its pictures is the model."""
    ema_start: int = 0
    """Iterations in which the averaged G is a plain copy of G."""
    ema_warmup: bool = False
    """Limit the decay to (1 + t) / (5 + t) after t iterations."""
    gradient_precision: Literal["float32", "bfloat16"] = "float32"
    """Precision in which gradients travel between processes."""

    def __post_init__(self) -> None:
        zero = dict.fromkeys(("lr_g", "lr_d", "beta1", "beta2", "adam_eps", "ortho_g", "ortho_d", "ema_decay"), 0.0)
        least = {**zero, "class_loss": 0, "d_steps": 1, "decay_start": 0, "ema_start": 0}
        _check_numbers(self, least, {"beta1": 0.9999999, "beta2": 0.9999999, "ema_decay": 0.9999999, "decay_start": 1})
        _check_choices(self)
        more = self.ema_more
        ok = len({*more, self.ema_decay}) == len(more) + 1 <= 4 and all(0 <= decay <= 0.9999999 for decay in more)
        given = " ".join(f"{decay:g}" for decay in more)
        _require(ok, "ema_more", given, "up to three numbers from 0 to 0.9999999, none twice nor --ema-decay's own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Length, batches, and what is written when; durations count images shown to D."""

    total_images: int = 100_000
    """Images shown to D in the whole run: iterations x D steps x batch size."""
    batch_size: int = 64
    """Images behind one optimizer step, over all processes and microbatches."""
    microbatch: int | None = None
    """Images that go through a device's networks at once; none: its share of the batch, or the largest part of that
    which fits its memory."""
    recompute: bool = False
    """Compute the blocks' activations again in the backward pass rather than keep them: slower, with less memory."""
    seed: int = 0
    """Fixes initial weights, data order and every draw."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of convolutions and matrix products; auto: bfloat16 where the hardware has it."""
    compile: bool = False
    """Compile the networks by torch.compile: slow to start, and no gain on two cores; needs a C++ compiler."""
    save_images: int = 50_000
    """Images between saved states."""
    sheet_images: int = 25_000
    """Images between sample sheets."""
    report_images: int = 2_000
    """Images between lines of figures."""
    keep: int = 2
    """Number of saved states to keep, beside the one that the guard would go back to."""
    guard: bool = True
    """Notice collapse, go back to a good state and go on with lower learning rates."""
    incidents: int = 3
    """Times that the guard may go back; the collapse after that ends the run."""

    def __post_init__(self) -> None:
        names = ("total_images", "batch_size", "save_images", "sheet_images", "report_images", "keep")
        _check_numbers(
            self, {**dict.fromkeys(names, 1), "seed": 0, "incidents": 0}, {"seed": 2**63 - 1, "batch_size": 2**20}
        )
        _check_choices(self)
        micro = self.microbatch
        ok = micro is None or (micro > 0 and self.batch_size % micro == 0)
        _require(ok, "microbatch", micro, f"a divisor of --batch-size {self.batch_size}")


LENGTH_AND_FILES = {"total_images", "save_images", "sheet_images", "report_images", "keep"}
FREE_ON_RESUME = frozenset(LENGTH_AND_FILES | {"microbatch", "recompute", "gradient_precision", "guard", "incidents"})
"""Fields that may differ when a run is resumed, as the number of processes may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All the settings of a run.

    Raises:
        ConfigError: A field is outside what it allows; the message names the flag.
    """

    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)

    def __post_init__(self) -> None:
        if self.train.recompute and self.train.compile:
            raise ConfigError("--compile and --recompute do not go together; leave one of them out.")
        if self.train.recompute and self.model.power_iteration == "per_forward":
            raise ConfigError("--power-iteration is per_forward; with --recompute allowed is per_step.")
