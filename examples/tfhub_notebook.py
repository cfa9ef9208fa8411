"""The TF-Hub notebook "Generating Images with BigGAN" on a model of ours: `tfhub_notebook.py MODEL FOLDER`.

Its cells are as they were but for the one that made placeholders and a session, which is one call now.
"""

import sys
from pathlib import Path

from PIL import Image

import biggan
from biggan.interop.notebook import imgrid, interpolate_and_shape, one_hot, sample, session, truncated_z_sample

if len(sys.argv) != 3:
    sys.exit("Give a model and a folder for the pictures: tfhub_notebook.py MODEL FOLDER")
folder = Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
sess = session(biggan.load(sys.argv[1]))
categories = [f"{i}) {name}" for i, name in enumerate(sess.class_names)]

# Samples of a category
num_samples, truncation, noise_seed = 10, 0.4, 0
category = categories[1]
z = truncated_z_sample(num_samples, truncation, noise_seed)
y = int(category.split(")")[0])
ims = sample(sess, z, y, truncation=truncation)
Image.fromarray(imgrid(ims, cols=min(num_samples, 5)).squeeze()).save(folder / "samples.png")

# The way from one category and noise to another
num_samples, num_interps, truncation = 2, 5, 0.2
noise_seed_A, category_A = 0, categories[0]
noise_seed_B, category_B = 0, categories[-1]
z_A, z_B = (truncated_z_sample(num_samples, truncation, noise_seed) for noise_seed in [noise_seed_A, noise_seed_B])
y_A, y_B = (one_hot([int(category.split(")")[0])] * num_samples) for category in [category_A, category_B])
z_interp = interpolate_and_shape(z_A, z_B, num_interps)
y_interp = interpolate_and_shape(y_A, y_B, num_interps)
ims = sample(sess, z_interp, y_interp, truncation=truncation)
Image.fromarray(imgrid(ims, cols=num_interps).squeeze()).save(folder / "interpolation.png")  # imshow in a notebook
