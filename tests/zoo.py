"""Tiny networks of every kind that a config can ask for."""

from dataclasses import replace

import torch
from torch import nn

from biggan.config import Model

TINY = Model(
    resolution=32, num_classes=5, g_channels=2, d_channels=2, g_attention=(), d_attention=(), dim_z=12, shared_dim=3
)
TINY64 = replace(TINY, resolution=64, dim_z=15)
MODELS = {
    "64 px, attention": replace(TINY64, g_attention=(32,), d_channels=4, d_attention=(16,)),
    "128 px, attention": replace(
        TINY, resolution=128, dim_z=12, g_channels=4, g_attention=(64,), d_channels=8, d_attention=(64,)
    ),
    "256 px, attention": replace(
        TINY, resolution=256, dim_z=14, g_channels=2, g_attention=(64,), d_channels=4, d_attention=(64,)
    ),
    "512 px, attention": replace(
        TINY, resolution=512, dim_z=16, g_channels=2, g_attention=(64,), d_channels=4, d_attention=(64,)
    ),
    "attention everywhere": replace(TINY, g_attention=(8, 16, 32), d_attention=(16, 8)),
    "D attention at 4 px": replace(TINY64, d_attention=(4, 8)),
    "unconditional": replace(TINY, num_classes=0),
    "unconditional, no shared": replace(TINY, num_classes=0, shared_dim=0),
    "unconditional, flat z": replace(TINY, num_classes=0, hierarchical_z=False),
    "unconditional, flat z, no norm": replace(TINY, num_classes=0, hierarchical_z=False, norm="none"),
    "instance norm": replace(TINY, norm="instance"),
    "no norm": replace(TINY, norm="none"),
    "tables": replace(TINY, shared_dim=0, hierarchical_z=False, dim_z=7),
    "tables, instance norm": replace(TINY, shared_dim=0, hierarchical_z=False, norm="instance"),
    "one-hot and hierarchical z": replace(TINY, shared_dim=0),
    "shared, flat z": replace(TINY64, hierarchical_z=False, dim_z=7),
    "thin D": replace(TINY64, d_hidden="thin"),
    "the reference's thin D": replace(TINY64, d_hidden="thin-reference"),
    "widths": replace(TINY64, g_widths=(6, 5, 9, 3, 4), d_widths=(3, 8, 8, 5, 5), d_attention=(16,)),
    "widths that keep their number": replace(TINY, g_widths=(4, 4, 4, 4), d_widths=(3, 3, 5, 5)),
    "widths that change without downsampling": replace(TINY, d_widths=(3, 4, 5, 7)),
    "grey": replace(TINY, image_channels=1),
    "RGBA": replace(TINY, image_channels=4),
    "spectral norm on G only": replace(TINY, spectral_norm="generator"),
    "spectral norm on D only": replace(TINY, spectral_norm="discriminator"),
    "no spectral norm": replace(TINY, spectral_norm="none"),
    "two singular values, two iterations": replace(TINY, num_singular_values=2, num_power_iterations=2),
    "epsilons": replace(TINY, norm_eps=0.3, sn_eps=0.5),
    "one class": replace(TINY, num_classes=1),
    "N02": replace(TINY, init="N02"),
}
DEEP = replace(TINY, architecture="biggan-deep", g_channels=4, d_channels=4, dim_z=5)
PUBLISHED = replace(
    DEEP, condition="zy", wide_output=True, sn_vectors="uv", norm_eps=1e-2, output_norm_eps=1e-2, sn_eps=1e-2
)
DEEP64 = replace(DEEP, resolution=64, g_widths=(16, 12, 12, 8, 4))
LAYERS = ("64", "32", "32up", "attention", "16", "16up", "8up", "5", "attention")
MODELS |= {
    "deep": DEEP,
    "deep, 64 px, attention": replace(DEEP64, g_attention=(32,), d_attention=(32, 4), d_channels=8),
    "deep, 128 px": replace(DEEP, resolution=128),
    "deep, 256 px": replace(DEEP, resolution=256, g_attention=(64,), d_attention=(64,)),
    "deep, 512 px": replace(DEEP, resolution=512, g_attention=(64,), d_attention=(64,)),
    "deep, depth 1": replace(DEEP64, g_depth=1, d_depth=1),
    "deep, depths 3 and 4": replace(DEEP64, g_depth=3, d_depth=4),
    "deep, attention everywhere": replace(DEEP, g_attention=(8, 16, 32), d_attention=(16, 8)),
    "deep, as published": PUBLISHED,
    "deep, as published, unconditional": replace(PUBLISHED, num_classes=0),
    "deep, one-hot": replace(DEEP, shared_dim=0),
    "deep, no spectral norm": replace(PUBLISHED, spectral_norm="none"),
    "deep, listed blocks": replace(
        DEEP, g_blocks=(*LAYERS[:-1], "4"), d_blocks=("4", "4", "8down", "8", "attention", "16down", "16")
    ),
    "deep, listed blocks, 16 px": replace(
        PUBLISHED, resolution=16, g_blocks=("64", "64up", "attention", "32", "32up"), d_blocks=("8", "8", "8down")
    ),
    "kept v": replace(TINY, sn_vectors="uv"),
    "an epsilon of the last norm": replace(TINY, output_norm_eps=0.3),
}
SMALL = [name for name, model in MODELS.items() if model.resolution <= 64]


@torch.no_grad()
def stir(network: nn.Module) -> None:
    """Moves what starts at 0 or 1 (gamma, running moments, affine gains, biases) so that every term counts."""
    for name, tensor in network.state_dict().items():
        if name.endswith("stored_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("gamma"):
            tensor.fill_(0.6)
        elif tensor.ndim == 1 and "sv" not in name:
            tensor.add_(0.1 * torch.randn_like(tensor))
