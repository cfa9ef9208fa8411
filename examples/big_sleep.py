"""The example of BigSleep's README with its import line changed: `python examples/big_sleep.py`.

Writes fire_in_the_sky.png and how it formed. Published weights are downloaded, unless folders of a generator and of a
CLIP model are given, and a number of steps: `python examples/big_sleep.py GENERATOR CLIP STEPS`.
"""

import sys

from biggan.interop.big_sleep import Imagine

given = {}
if len(sys.argv) > 1:
    generator, clip, steps = sys.argv[1:]
    given = {"generator": generator, "perceptor": f"clip:{clip}", "epochs": 1, "iterations": int(steps)}

dream = Imagine(
    text="fire in the sky",
    lr=5e-2,
    save_every=25,
    save_progress=True,
    **given,
)

dream()
