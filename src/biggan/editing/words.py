"""The scorer that needs no download: ImageNet's classes as the words that texts and images share.

A text is the vector of its nearness in meaning to each of the 1000 classes (`sentences.py`), an image that of their
probabilities (`evaluation/features.py`), so their cosine says whether the classes seen are those meant. That is ConSE
(Norouzi et al. 2013, arXiv:1312.5650), which takes images to the space of sentences, turned round: of CIFAR-10's test
photographs it names more right. Both vectors are tempered, so that neither the cosine nor its gradient hangs on one
class. It knows what ImageNet's words say, not how things are placed or styled.
Not here: the protocol (`scorers.py`).
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from biggan.editing import sentences
from biggan.evaluation.features import efficientnet_lite
from biggan.sampling.imagenet import FOLDER, full_names

SIZE = 128  # pixels: on 32 px pictures as good as the network's own 224, and three times as fast
SHARPNESS, TEMPERATURE = 3, 3.0  # of texts and of images; chosen on 500 test photographs of CIFAR-10


class ImageNetWords:
    """EfficientNet-Lite0's class probabilities against the nearness of a text to the classes' names.

    Args:
        device: Where the networks compute, and where x has to be.

    Raises:
        ConfigError: A package is not installed.
        ModelError: A package's file of weights is missing or another one.
    """

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self._center, self._classes = (part.to(device) for part in _class_vectors())
        self._network = efficientnet_lite(0, SIZE).to(device)
        self.image_size = SIZE
        hashes = f"{self._network.sha256[:12]}, {sentences.SHA256[:12]}"
        self.name = f"words ({self._network.name}, {sentences.NAME}; {hashes})"

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(T, 1000): nearness of each text to each class, from 0 to 1.

        Raises:
            ConfigError: A text is blank or longer than 256 word pieces.
        """
        vectors = sentences.embed(texts).to(self._center.device)
        nearness = F.normalize(vectors - self._center, dim=1) @ self._classes.T
        return nearness.relu() ** SHARPNESS

    def encode_image(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] → (N, 1000): root of each class's probability, less the mean root."""
        roots = (self._network.logits(2 * x - 1) / TEMPERATURE).softmax(1).sqrt()
        return roots - roots.mean(1, keepdim=True)


def class_texts() -> list[str]:
    """Each class as the sentence model reads it, its names and the word above: `"tench, Tinca tinca, cyprinid"`."""
    rows = [line.split("\t") for line in (FOLDER / "nouns.tsv").read_text("utf-8").splitlines()]
    first = {synset: lemmas.split()[0].partition("~")[0].replace("_", " ") for synset, _, _, lemmas in rows}
    above = {int(number): first[parents.split()[0]] for _, number, parents, _ in rows if number != "-"}
    return [f"{names}, {above[number]}" for number, names in enumerate(full_names())]


@cache
def _class_vectors() -> tuple[Tensor, Tensor]:
    """The mean sentence vector of the classes, (384,), and each class's direction from it, (1000, 384)."""
    vectors = sentences.embed(class_texts())
    center = vectors.mean(0)
    return center, F.normalize(vectors - center, dim=1)
