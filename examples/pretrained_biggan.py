"""The quick start of pytorch-pretrained-biggan with its import line changed: `python examples/pretrained_biggan.py`.

Writes output_0.png to output_2.png. A folder with such a model may be given in place of the published 256 px one.
"""

import sys

import torch

from biggan.interop.pretrained import BigGAN, one_hot_from_names, save_as_images, truncated_noise_sample

# load a published model, or what a folder holds
model = BigGAN.from_pretrained(sys.argv[1] if len(sys.argv) > 1 else "biggan-deep-256")

# prepare the input
truncation = 0.4
class_vector = one_hot_from_names(["bubble", "espresso", "mushroom"], batch_size=3)
noise_vector = truncated_noise_sample(truncation=truncation, batch_size=3)

# all in tensors
noise_vector = torch.from_numpy(noise_vector)
class_vector = torch.from_numpy(class_vector)

# with a GPU, everything there
if torch.cuda.is_available():
    noise_vector = noise_vector.to("cuda")
    class_vector = class_vector.to("cuda")
    model.to("cuda")

# draw
with torch.no_grad():
    output = model(noise_vector, class_vector, truncation)

# back to the CPU, and to files
output = output.to("cpu")
save_as_images(output)
