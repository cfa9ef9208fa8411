"""Published runs as functions that state only what differs, and runs that learn in minutes on a laptop.

Lengths are in images shown to D: iterations x D steps x batch size.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import replace

from biggan.config import PLAIN, Augment, Config, Data, Model, Optim, Train
from biggan.errors import ConfigError, nearest


def biggan128() -> Config:
    """The paper's BigGAN at 128 px (Tables 1 and 2): batch 2048, 165,000 iterations."""
    model = Model(norm_eps=1e-4, sn_eps=1e-4)
    optim = Optim(ortho_g=1e-4)
    train = Train(batch_size=2048, total_images=2 * 2048 * 165_000, save_images=4_096_000, sheet_images=2_048_000)
    return Config(model=model, data=Data(mirror=True), optim=optim, train=replace(train, report_images=40_960))


def biggan256() -> Config:
    """The paper's BigGAN at 256 px; G's attention at 128 px, where the published generator has it."""
    return _at(biggan128(), resolution=256, dim_z=140, g_attention=(128,))


def biggan512() -> Config:
    """The paper's BigGAN at 512 px (z of 8 x 20)."""
    return _at(biggan128(), resolution=512, dim_z=160)


def biggan_deep128() -> Config:
    """The paper's BigGAN-deep at 128 px, laid out as its published generator: z before y, a wide last convolution."""
    model = Model(
        architecture="biggan-deep",
        g_channels=128,
        d_channels=128,
        dim_z=128,
        condition="zy",
        wide_output=True,
        norm_eps=1e-4,
        output_norm_eps=1e-4,
        sn_eps=1e-4,
        sn_vectors="uv",
    )
    return replace(biggan128(), model=model)


def biggan_deep256() -> Config:
    """The paper's BigGAN-deep at 256 px: both learning rates 2.5e-5."""
    base = _at(biggan_deep128(), resolution=256)
    return replace(base, optim=replace(base.optim, lr_g=2.5e-5, lr_d=2.5e-5))


def biggan_deep512() -> Config:
    """The paper's BigGAN-deep at 512 px."""
    return _at(biggan_deep256(), resolution=512)


def brock_deep() -> Config:
    """BigGAN-PyTorch `launch_BigGAN_deep.sh`: batch 2048 in 8 accumulations, one D step."""
    deep = {"architecture": "biggan-deep", "g_channels": 128, "d_channels": 128, "dim_z": 128}
    return _at(brock_bs256x8(), **deep)


def brock_bs256x8() -> Config:
    """BigGAN-PyTorch `launch_BigGAN_bs256x8.sh`: batch 2048 in 8 accumulations, one D step."""
    model = Model(power_iteration="per_forward", cross_replica=False, sn_eps=1e-6)
    optim = Optim(d_steps=1, lr_g=1e-4, lr_d=4e-4, ema_start=20_000)
    train = Train(
        batch_size=2048,
        microbatch=256,
        total_images=2048 * 150_000,
        save_images=2_048_000,
        sheet_images=2_048_000,
        report_images=20_480,
    )
    return Config(model=model, data=Data(mirror=False), augment=PLAIN, optim=optim, train=train)


def brock_bs512x4() -> Config:
    """BigGAN-PyTorch `launch_BigGAN_bs512x4.sh`: as `brock_bs256x8` in 4 accumulations."""
    base = brock_bs256x8()
    return replace(base, train=replace(base.train, microbatch=512))


def brock_ch64_bs256x8() -> Config:
    """BigGAN-PyTorch `launch_BigGAN_ch64_bs256x8.sh`: as `brock_bs256x8` with 64 channels."""
    return _at(brock_bs256x8(), g_channels=64, d_channels=64)


def sagan() -> Config:
    """SA-GAN at 128 px (BigGAN-PyTorch `launch_SAGAN_bs128x2_ema.sh`)."""
    model = Model(
        g_channels=64,
        d_channels=64,
        dim_z=128,
        shared_dim=0,
        hierarchical_z=False,
        init="xavier",
        sn_eps=1e-8,
        cross_replica=False,
        power_iteration="per_forward",
    )
    optim = Optim(d_steps=1, lr_g=1e-4, lr_d=4e-4, adam_eps=1e-8, ema_start=2_000)
    train = Train(
        batch_size=256,
        microbatch=128,
        total_images=256 * 1_000_000,
        save_images=256_000,
        sheet_images=512_000,
        report_images=10_240,
    )
    return Config(model=model, augment=PLAIN, optim=optim, train=train)


def sngan() -> Config:
    """SN-GAN at 128 px (BigGAN-PyTorch `launch_SNGAN.sh`): five D steps, thin D, no attention, no average."""
    model = replace(sagan().model, g_attention=(), d_attention=(), d_hidden="thin-reference")
    optim = Optim(d_steps=5, lr_g=2e-4, lr_d=2e-4, beta2=0.9, adam_eps=1e-8, ema_decay=0.0)
    train = Train(batch_size=64, total_images=5 * 64 * 450_000, save_images=640_000, sheet_images=320_000)
    return Config(model=model, augment=PLAIN, optim=optim, train=train)


def brock_cifar() -> Config:
    """CIFAR-10 as BigGAN-PyTorch trains it (`launch_cifar_ema.sh`): batch 50, four D steps."""
    model = Model(
        resolution=32,
        num_classes=10,
        g_channels=64,
        d_channels=64,
        g_attention=(),
        d_attention=(),
        dim_z=128,
        shared_dim=0,
        hierarchical_z=False,
        init="N02",
        sn_eps=1e-8,
        cross_replica=False,
        power_iteration="per_forward",
    )
    optim = Optim(d_steps=4, lr_g=2e-4, lr_d=2e-4, adam_eps=1e-8, ema_start=1_000)
    train = Train(batch_size=50, total_images=500 * 50_000, save_images=400_000, sheet_images=200_000)
    return Config(model=model, augment=PLAIN, optim=optim, train=train)


def cifar10() -> Config:
    """CIFAR-10 as `brock_cifar`, with a shared embedding, hierarchical z and mirrored images."""
    base = brock_cifar()
    model = replace(base.model, shared_dim=128, hierarchical_z=True, init="ortho", sn_eps=1e-6)
    optim = Optim(d_steps=4, lr_g=2e-4, lr_d=2e-4, ema_start=1_000)
    model = replace(model, power_iteration="per_step")
    return replace(base, model=model, data=Data(mirror=True), augment=Augment(), optim=optim)


def cpu_small() -> Config:
    """Learns 32 px images in about five minutes on two cores."""
    model = Model(
        resolution=32,
        num_classes=10,
        g_widths=(64, 64, 48, 32),
        d_widths=(32, 48, 64, 64),
        g_attention=(),
        d_attention=(),
        dim_z=64,
        shared_dim=32,
    )
    optim = Optim(lr_g=1e-3, lr_d=1e-3, lr_schedule="linear", decay_start=0.25, ema_decay=0.998, ema_warmup=True)
    train = Train(batch_size=32, total_images=130_000, save_images=32_000, sheet_images=16_000)
    return Config(model=model, optim=optim, train=train)


def cpu_medium() -> Config:
    """Learns 32 px colour images in about fifteen minutes on two cores."""
    base = cpu_small()
    model = replace(base.model, g_widths=(192, 128, 96, 48), d_widths=(48, 96, 128, 192))
    # Wider at 1e-3 D can die; with a class loss more of CIFAR-10 is named rightly (docs/lab-notes.md).
    optim = replace(base.optim, class_loss=1.0, lr_g=5.6e-4, lr_d=1.1e-3)
    return replace(base, model=model, optim=optim, train=replace(base.train, batch_size=16, total_images=160_000))


def cpu_large() -> Config:
    """Learns 64 px images in a few hours on two cores."""
    base = cpu_medium()
    model = replace(
        base.model,
        resolution=64,
        dim_z=80,
        g_widths=(256, 192, 128, 64, 32),
        d_widths=(32, 64, 128, 192, 256),
    )
    optim = replace(base.optim, class_loss=0.0, lr_g=8e-4, lr_d=8e-4, decay_start=0.0)
    return replace(base, model=model, optim=optim, train=replace(base.train, batch_size=32, total_images=1_000_000))


def cpu_deep() -> Config:
    """BigGAN-deep on 32 px images on two cores, in the published generators' layout (`biggan export`)."""
    base = cpu_small()
    model = replace(
        biggan_deep128().model,
        resolution=32,
        num_classes=10,
        g_widths=(),
        g_blocks=("256", "256up", "128", "128up", "64", "64up", "32", "16"),
        d_widths=(32, 64, 128, 128),
        g_attention=(),
        d_attention=(),
        dim_z=32,
        shared_dim=32,
    )
    return replace(base, model=model)


def tiny() -> Config:
    """A test's size: seconds on one core, and nothing to look at."""
    model = replace(cpu_small().model, g_widths=(8, 8, 8, 8), d_widths=(8, 8, 8, 8), dim_z=16, shared_dim=8)
    train = Train(batch_size=8, total_images=320, save_images=160, sheet_images=160, report_images=32)
    return replace(cpu_small(), model=model, train=replace(train, precision="float32"))


def _at(base: Config, **changes: object) -> Config:
    """`base` with other fields of its model."""
    return replace(base, model=replace(base.model, **changes))  # type: ignore[arg-type]


FROM_DATA = ("num_classes", "image_channels")  # fields that training takes from the data

PRESETS: dict[str, Callable[[], Config]] = {
    "tiny": tiny,
    "cpu-small": cpu_small,
    "cpu-medium": cpu_medium,
    "cpu-large": cpu_large,
    "cpu-deep": cpu_deep,
    "cifar10": cifar10,
    "biggan128": biggan128,
    "imagenet128": biggan128,  # by its data
    "biggan256": biggan256,
    "biggan512": biggan512,
    "biggan-deep128": biggan_deep128,
    "biggan-deep256": biggan_deep256,
    "biggan-deep512": biggan_deep512,
    "brock-bs256x8": brock_bs256x8,
    "brock-bs512x4": brock_bs512x4,
    "brock-ch64-bs256x8": brock_ch64_bs256x8,
    "brock-deep": brock_deep,
    "brock-cifar": brock_cifar,
    "sagan": sagan,
    "sngan": sngan,
}


def as_flags(config: Config) -> list[str]:
    """The words of `biggan train` that ask for a config: the nearest preset, and a flag for what differs from it."""
    differences = [(name, _differences(config, make())) for name, make in PRESETS.items()]
    sayable = [(name, changed) for name, changed in differences if None not in changed.values()]
    name, changed = min(sayable, key=lambda pair: len(pair[1]))
    return ["--preset", name, *(word for field, value in changed.items() for word in flag(field, value))]


def _differences(config: Config, base: Config) -> dict[str, object]:
    """Fields, of those that training does not take from the data, in which two configs differ -> the first's value."""
    return {
        field.name: getattr(ours, field.name)
        for ours, theirs in ((getattr(c, part.name) for c in (config, base)) for part in dataclasses.fields(Config))
        for field in dataclasses.fields(ours)
        if field.name not in FROM_DATA and getattr(ours, field.name) != getattr(theirs, field.name)
    }


def flag(name: str, value: object) -> list[str]:
    """The words of `biggan train` that set a field; of None, that it is not given."""
    dashed = name.replace("_", "-")
    if value is None:
        return ["no", f"--{dashed}"]
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    return [f"--{dashed}", *map(str, value if isinstance(value, tuple) else (value,))]


def preset(name: str) -> Config:
    """The preset of this name.

    Raises:
        ConfigError: There is none; the nearest names are offered.
    """
    if name not in PRESETS:
        near = nearest(name, list(PRESETS)) or f"; allowed is {', '.join(PRESETS)}."
        raise ConfigError(f"--preset {name!r} is not known{near}")
    return PRESETS[name]()
