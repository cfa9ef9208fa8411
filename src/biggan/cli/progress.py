"""How a run shows itself: a live line on a terminal, plain lines elsewhere."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from biggan.sitting import Progress as Moment
from biggan.sitting import Watch

PLAIN_STEPS = 20  # lines that packing prints where there is no terminal


def clock(seconds: float) -> str:
    """Seconds as `h:mm:ss` or `m:ss`."""
    minutes, left = divmod(round(min(seconds, 359_999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def line(moment: Moment) -> str:
    """A report as text: images, speed, time left, losses, D's outputs on real and drawn images."""
    f = moment.figures
    head = f"{moment.images:>9,} of {moment.total_images:,} images  {moment.images_per_second:6.1f}/s"
    losses = f"loss D {f['loss_d_real'] + f['loss_d_fake']:.3f} G {f['loss_g']:+.3f}"
    outputs = f"D(real) {f['d_real']:+.2f} D(fake) {f['d_fake']:+.2f}"
    return f"{head}  {clock(moment.seconds_left)} left  {losses}  {outputs}"


class View:
    """Context manager that shows a run on standard output; `watch` is what the run reports to."""

    def __init__(self) -> None:
        console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.console, self.live = console, console.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20))
        self.bar = Progress(*columns, console=console, transient=True, disable=not self.live)
        self.task: TaskID | None = None
        self.printed = 0
        self.watch = Watch(say=self.say, packing=self.packing, progress=self.progress)

    def say(self, text: str) -> None:
        """Prints a sentence above the bar."""
        self.console.print(text, markup=False)

    def packing(self, done: int, total: int) -> None:
        """Shows how much of the data is packed."""
        if self.live:
            self._move("packing images", done, total)
        elif done * PLAIN_STEPS // max(total, 1) > self.printed or done == total:
            self.printed = done * PLAIN_STEPS // max(total, 1)
            self.say(f"packed {done:,} of {total:,} images")

    def progress(self, moment: Moment) -> None:
        """Shows a report."""
        if self.live:
            self._move(line(moment), moment.images, moment.total_images)
        else:
            self.say(line(moment))

    def _move(self, text: str, done: int, total: int) -> None:
        if self.task is None:
            self.task = self.bar.add_task(text, total=total)
        self.bar.update(self.task, description=text, completed=done, total=total)

    def __enter__(self) -> "View":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
