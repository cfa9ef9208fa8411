"""BigSleep's `Imagine` under its name: its users change the import line alone.

`from biggan.interop.big_sleep import Imagine`. Arguments, defaults and numbers are those of version 0.9.1, with these
exceptions. Penalised texts are penalised and no more (there they were also part of the goal, and of an image's). A seed
covers every draw, cut-outs too, and nothing else in the process; without one a seed is drawn and kept in `seed`. The
networks are frozen. It computes where `device` says. What is optimised after `reset` are the latents alone. The last
picture is written also when the run ends or is interrupted between two saves, with its latents beside it. Nothing is
printed and no folder is opened, whatever `open_folder` says.
`biggan imagine` (`editing/imagine.py`) does the same for any model, with several seeds at once, and resumes.
"""

import contextlib
import random
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from biggan.atomic import write_bytes
from biggan.editing.cutouts import Resize, cut
from biggan.editing.goal import to_rgb
from biggan.editing.guidance import made_ready
from biggan.editing.objective import class_loss, latent_loss, similarities, similarity_loss
from biggan.editing.scorers import Scorer, load_scorer
from biggan.editing.soft_latents import Average, class_table, conditions, soft_top
from biggan.errors import ConfigError
from biggan.interop.big_sleep_rules import clip_square, create_text_path, draw_cuts, draw_latents
from biggan.interop.pretrained import BigGAN
from biggan.sampling import grids
from biggan.sampling.recipe import check_replaceable, png_bytes
from biggan.sampling.sampler import to_bytes
from biggan.training.hardware import pick_device

__all__ = ["Imagine"]

SIZES = (128, 256, 512)


class Imagine:
    """Optimises one picture towards a text; see BigSleep's README for the arguments.

    Args:
        text: Prompts, set apart by `|`.
        img: A picture or its path, as a prompt, or averaged with each text.
        encoding: A vector (1, D) to use instead of both.
        text_min: Prompts to penalise, set apart by `|`.
        generator: Instead of `biggan-deep-<image_size>`: a model, or what `BigGAN.from_pretrained` opens.
        perceptor: Instead of CLIP: a scorer, or what `load_scorer` takes.
        device: Where to compute; `auto` is a GPU where there is one.

    Attributes:
        seed: What every draw comes from.
        sizes, offsets: Where the latents and the cut-outs' sizes, and where their places are drawn from.
        z, cls: Latents (layers, dim_z) and class logits (layers, classes), as leading batches of one.
        encoded_texts: The prompts' vectors (1, D): `max` to come near to, `min` to keep away from.
        filename: Where the picture is written, in the current folder.

    Raises:
        ConfigError: An argument is not allowed.
        ModelError: The generator or the perceptor is not to be had.
    """

    def __init__(
        self,
        *,
        text: str | None = None,
        img: str | Image.Image | None = None,
        encoding: Tensor | None = None,
        text_min: str = "",
        lr: float = 0.07,
        image_size: int = 512,
        gradient_accumulate_every: int = 1,
        save_every: int = 50,
        epochs: int = 20,
        iterations: int = 1050,
        save_progress: bool = False,
        bilinear: bool = False,
        open_folder: bool = True,
        seed: int | None = None,
        append_seed: bool = False,
        torch_deterministic: bool = False,
        max_classes: int | None = None,
        class_temperature: float = 2.0,
        save_date_time: bool = False,
        save_best: bool = False,
        experimental_resample: bool = False,
        ema_decay: float = 0.99,
        num_cutouts: int = 128,
        center_bias: bool = False,
        larger_clip: bool = False,
        generator: BigGAN | str | Path | None = None,
        perceptor: Scorer | str | None = None,
        device: str = "auto",
    ) -> None:
        if generator is None and image_size not in SIZES:
            raise ConfigError(f"image_size is {image_size}; allowed is {', '.join(map(str, SIZES))}.")
        if torch_deterministic and bilinear:
            raise ConfigError("torch_deterministic and bilinear do not go together; leave out one of them.")
        place = pick_device(device)
        self.seed = secrets.randbelow(2**31) if seed is None else seed
        self.append_seed = append_seed
        self.sizes, self.offsets = torch.Generator().manual_seed(self.seed), random.Random(self.seed)
        named = f"biggan-deep-{image_size}" if generator is None else generator
        model = named if isinstance(named, BigGAN) else BigGAN.from_pretrained(named)
        self.model = model.to(place)
        self.G = made_ready(model.generator.G, model.generator.statistics)
        self.image_size = self.G.config.resolution
        if max_classes is not None and not 0 < max_classes <= self.G.num_classes:
            raise ConfigError(f"max_classes is {max_classes}; allowed is 1 to {self.G.num_classes}.")
        clip = "clip:ViT-L-14-quickgelu,openai" if larger_clip else "clip"
        chosen = clip if perceptor is None else perceptor
        self.perceptor = load_scorer(chosen, place) if isinstance(chosen, str) else chosen
        self.lr, self.epochs, self.iterations, self.save_every = lr, epochs, iterations, save_every
        self.gradient_accumulate_every = gradient_accumulate_every
        self.num_cutouts, self.center_bias = num_cutouts, center_bias
        self.max_classes, self.class_temperature, self.ema_decay = max_classes, class_temperature, ema_decay
        self.save_progress, self.save_date_time, self.save_best = save_progress, save_date_time, save_best
        self.torch_deterministic = torch_deterministic
        self.resize: Resize = "lanczos" if experimental_resample else "bilinear" if bilinear else "nearest"
        self.reset()
        self.set_clip_encoding(text=text, img=img, encoding=encoding, text_min=text_min)

    def reset(self) -> None:
        """Begins again from new latents, with a fresh optimizer."""
        G, place = self.G, self.G.linear.weight.device
        z, cls = draw_latents(G.num_layers, G.dim_z, G.num_classes, self.sizes)
        self.z, self.cls = (part[None].to(place).requires_grad_() for part in (z, cls))
        self.average = Average([self.z, self.cls], self.ema_decay)
        self.optimizer = torch.optim.Adam([self.z, self.cls], self.lr)
        self.unsaved = False

    def set_text(self, text: str) -> None:
        """Sets the prompts, and nothing to penalise."""
        self.set_clip_encoding(text=text)

    def set_clip_encoding(
        self,
        text: str | None = None,
        img: str | Image.Image | None = None,
        encoding: Tensor | None = None,
        text_min: str = "",
    ) -> None:
        """Sets what to come near to and what to keep away from, and the file's name; see the class.

        Raises:
            ConfigError: A picture cannot be read, or the perceptor does not take a text.
        """
        self.current_best_score = 0.0
        self.text, self.text_min = text, text_min
        told = f"{f'{text}_' if text is not None else ''}wout_{text_min}" if text_min else text
        name = create_text_path(told, img, encoding)
        self.text_path = f"{datetime.now():%y%m%d-%H%M%S-}{name}" if self.save_date_time else name
        self.filename = self._file("")
        seen = self._seen(img)
        texts: list[str | None] = [*text.split("|")] if text is not None else [None]
        goals = [self._encoding(part, seen, encoding) for part in texts]
        self.encoded_texts = {
            "max": [goal for goal in goals if goal is not None],
            "min": [self.perceptor.encode_text([part]) for part in text_min.split("|")] if text_min else [],
        }

    def _seen(self, img: str | Image.Image | None) -> Tensor | None:
        """The vector of a picture, (1, D)."""
        if img is None:
            return None
        with torch.no_grad():
            return self.perceptor.encode_image(clip_square(img, self.perceptor.image_size).to(self.z.device))

    def _encoding(self, text: str | None, seen: Tensor | None, encoding: Tensor | None) -> Tensor | None:
        if encoding is not None:
            return encoding.to(self.z.device)
        if text is None:
            return seen
        vector = self.perceptor.encode_text([text])
        return vector if seen is None else (vector + seen) / 2

    def losses(self, z: Tensor, cls: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The picture (1, 3, W, W) in [0, 1] and its losses of latents, classes and similarity, with fresh cut-outs.

        Raises:
            ConfigError: There is no prompt yet.
        """
        goals, others = self.encoded_texts["max"], self.encoded_texts["min"]
        if not goals and not others:
            raise ConfigError("There is no prompt; give text, img or encoding, or call set_text first.")
        classes = self.soft(cls)
        x = to_rgb(self.G.synthesise(conditions(self.G, z, classes, class_table(self.G))))
        cuts = draw_cuts(self.image_size, self.num_cutouts, self.center_bias, self.sizes, self.offsets)
        views = cut(x, cuts[None], self.perceptor.image_size, self.resize)
        found = similarities(self.perceptor.encode_image(views)[None], torch.cat([*goals, *others]))
        signs = torch.tensor([1.0] * len(goals) + [-1.0] * len(others)).to(found)
        return x, (latent_loss(z)[0], class_loss(classes)[0], similarity_loss(found, signs)[0])

    def soft(self, cls: Tensor) -> Tensor:
        """Class logits (…, classes) as soft classes in [0, 1]."""
        return cls.sigmoid() if self.max_classes is None else soft_top(cls, self.max_classes, self.class_temperature)

    def train_step(self, epoch: int, i: int) -> tuple[Tensor, Tensor]:
        """One step of optimisation; every `save_every` of them the averaged picture is written.

        Args:
            epoch: Which epoch it is, from 0.
            i: Which step of the epoch, from 0.

        Returns:
            The picture (1, 3, W, W) in [0, 1] before the step, and the loss.

        Raises:
            ConfigError: There is no prompt yet, or a file that biggan did not draw is in the way.
            DiskFailed: A write failed.
        """
        total = torch.zeros((), device=self.z.device)
        self.optimizer.zero_grad()
        with self._deterministic():
            for _ in range(self.gradient_accumulate_every):
                x, losses = self.losses(self.z, self.cls)
                loss = torch.stack(losses).sum() / self.gradient_accumulate_every
                loss.backward()
                total += loss.detach()
        self.optimizer.step()
        self.average.update([self.z, self.cls])
        self.unsaved = True
        if (i + 1) % self.save_every == 0:
            self._save((epoch * self.iterations + i) // self.save_every)
        return x.detach(), total

    @contextlib.contextmanager
    def _deterministic(self) -> Iterator[None]:
        """Torch deterministic where that is asked."""
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(before or self.torch_deterministic)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)

    def _save(self, number: int) -> None:
        """Writes the averaged picture, and as the best if it is."""
        z, cls = self.average.value()
        with torch.no_grad(), self._deterministic():
            x, (_, _, similarity) = self.losses(z, cls)
        image = grids.to_images(to_bytes(2 * x - 1).cpu())[0]
        content = png_bytes(image, f"BigSleep {self.text_path!r} seed {self.seed}")
        paths = [self.filename, *([self._file(f".{number}")] if self.save_progress else [])]
        if self.save_best and similarity.item() < self.current_best_score:
            self.current_best_score = similarity.item()
            paths.append(self._file(".best", last=True))
        for path in paths:
            check_replaceable(path)
            write_bytes(path, content)
        latents = {"z": z[0], "classes": self.soft(cls[0])}
        content = save({name: part.detach().cpu().contiguous() for name, part in latents.items()})
        write_bytes(self.filename.with_name(f"{self.filename.name.removesuffix('.png')}.safetensors"), content)
        self.unsaved = False

    def _file(self, ending: str, last: bool = False) -> Path:
        seed = f".{self.seed}" if self.append_seed else ""
        return Path(f"./{self.text_path}{seed}{ending}.png" if last else f"./{self.text_path}{ending}{seed}.png")

    def __call__(self) -> None:
        """Optimises for all epochs; on Ctrl-C the picture is written and KeyboardInterrupt goes on.

        Raises:
            ConfigError: As `train_step`.
            DiskFailed: A write failed.
        """
        # BigSleep warms CLIP up with a set of cut-outs; drawing one keeps the later draws the same
        draw_cuts(self.image_size, self.num_cutouts, self.center_bias, self.sizes, self.offsets)
        try:
            for epoch in range(self.epochs):
                for i in range(self.iterations):
                    self.train_step(epoch, i)
        finally:
            if self.unsaved:
                self._save(self.epochs * self.iterations // self.save_every)
