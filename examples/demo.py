"""The demo: draw from the bundled model, train one from scratch, draw from that. `python examples/demo.py FOLDER`."""

import json
import shlex
import sys
from pathlib import Path

import biggan
from biggan.cli.main import main
from biggan.models.measured import latest, read, told


def do(command: str) -> None:
    """Shows a command and runs it; ends the demo where it fails."""
    print(f"\n$ biggan {command}", flush=True)
    code = main(shlex.split(command))
    if code:
        sys.exit(code)


place = Path(sys.argv[1])
extra = " ".join(map(shlex.quote, sys.argv[2:]))  # more flags for the training, as the tests give
run, at = place / "run", shlex.quote(str(place))
place.mkdir(parents=True, exist_ok=True)
print("1. A model that ships with the package, so that there is something to look at now.")
do(f"grid fashion-mnist --seeds 0-9 --out {at}/bundled.png")
for record in latest(read(Path(biggan.__file__).parent / "models" / "bundled" / "fashion-mnist"))[:2]:
    print(f"Measured of this model ({record['name']}, {record['title']}): {told(record)}")
print("\n2. The same from scratch: 10,000 real pictures; five minutes with bfloat16, twenty without (Ctrl-C is safe).")
do(f"train --data fashion-mnist --preset cpu-small --out {at}/run {extra}")
print("\n3. Pictures from the model that was just trained.")
do(f"grid {at}/run --seeds 0-9 --out {at}/classes.png")
do(f"interpolate {at}/run --from Sneaker --to 'Ankle boot' --seeds 3,8 --steps 9 --out {at}/interpolation.png")
do(f"truncation-curve {at}/run --classes Dress --seeds 0-7 --values 0.1,0.4,0.7,1 --out {at}/truncation.png")

training = json.loads((run / "config.json").read_text())["training"]
last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
summary = {name: training[name] for name in ("seconds", "images", "precision", "seed")}
summary["images_per_second"] = round(summary["images"] / summary["seconds"], 1)
summary["final_losses"] = {name: round(last[name], 4) for name in ("loss_d_real", "loss_d_fake", "loss_g")}
(place / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
print(f"\nIn {place}: bundled.png, classes.png, interpolation.png, truncation.png, summary.json and the run itself.")
print(summary)
print(f"Next: biggan sample {run} --classes Bag --seeds 0-15 --truncation 0.5 --out pictures")
print("Your own pictures: biggan train --data FOLDER_OF_CLASS_FOLDERS --out runs/mine")
