"""How a run that has collapsed goes back: to a saved state from before, with a remedy, and with all of it written down.

Every process calls these alike. Not here: when (`training/guard.py`), and what is remembered (`overseer.py`).
"""

from pathlib import Path

from biggan.distributed.collective import lead
from biggan.errors import Collapsed, ModelError
from biggan.overseer import BEST, LEADERS, Unhealthy
from biggan.sitting import Sitting
from biggan.training.guard import Verdict
from biggan.training.loop import Figures, Training
from biggan.training.state import list_states, read_record


def look(sitting: Sitting, run: Training, figures: Figures) -> None:
    """Hook: counts figures in; looks at the pictures when it is time, and judges.

    Raises:
        Unhealthy: The run has collapsed.
    """
    sitting.overseer.means.add(figures)
    if sitting.overseer.is_due:
        verdict = lead(lambda: _look(sitting))
        if verdict:
            raise Unhealthy(verdict)


def _look(sitting: Sitting) -> Verdict | None:
    found = sitting.overseer.look()
    sitting.write_figures(found)
    sitting.looked, sitting.seen = sitting.run.images, found
    guarded = sitting.run.config.train.guard
    return sitting.overseer.guard.judge(sitting.run.images, found) if guarded else None


def go_back(sitting: Sitting, verdict: Verdict) -> None:
    """Puts the run where it was before it collapsed, with the next remedy; or ends it there.

    Raises:
        Collapsed: It may not go back any more.
    """
    run, overseer, seconds = sitting.run, sitting.overseer, sitting.seconds
    number, at = overseer.guard.incidents + 1, run.images
    speed = sitting.keeper.pace.images_per_second if sitting.keeper else 0.0
    course = run.course.after(number, LEADERS.get(verdict.rule))
    changed = course.words(run.config.augment, run.config.optim.loss)
    sitting.say(f"After {at:,} images {verdict.reason}.")
    pictures = [lead(lambda: overseer.picture(f"{number:03}-collapsed"))]
    run.reset()
    sitting.restore(lead(lambda: _usable(sitting.out, verdict)))
    sitting.seconds_before, sitting.looked = seconds, None
    sitting.model.forget()
    run.course, overseer.guard.incidents = course, number
    if sitting.keeper:
        sitting.keeper.go_back(sitting.seconds, speed)
    pictures.append(lead(lambda: overseer.picture(f"{number:03}-restored")))
    incident = {"incident": number, "images": at, "rule": verdict.rule, "reason": verdict.reason}
    remedy = {"back_to": run.images, "remedy": changed, "pictures": pictures}
    lead(lambda: overseer.note({**incident, **remedy}))
    if lead(lambda: overseer.best is None):  # it collapsed before anything was saved, and may not come as far again
        sitting.save(run, {})
    else:
        sitting.save_here()
    sitting.say(f"Back to {run.images:,} images, with {changed}.")
    check(sitting)


def _usable(out: Path, verdict: Verdict) -> int:
    """Images of the newest state to go back to.

    That is up to when all was good, or where nothing was saved by then the oldest state that was saved before the
    complaint; 0, the start, where there is none.
    """
    states = list_states(out)
    if states and int(states[0].name) > verdict.good:
        return next((int(folder.name) for folder in states if not _complains(folder, verdict.rule)), 0)
    return verdict.good


def _complains(folder: Path, rule: str) -> bool:
    """Whether a state was saved when a complaint held, or cannot be read."""
    try:
        guard = read_record(folder).get("guard", {})
        return bool(guard["past"]["counts"].get(rule)) if guard else False
    except (ModelError, KeyError, TypeError, AttributeError):
        return True


def check(sitting: Sitting) -> None:
    """Checks that a run may go on, and drops incidents written down that it has not met yet.

    Raises:
        Collapsed: It has gone back more often than it may.
    """
    train, number = sitting.run.config.train, sitting.overseer.guard.incidents
    lead(sitting.overseer.rewind)
    if train.guard and number > train.incidents:
        sitting.model.finish_best()
        kept = lead(lambda: _kept(sitting))
        raise Collapsed(
            f"Training collapsed {number} times, and --incidents allows {train.incidents}; {kept}. With more the "
            f"same command goes on from {sitting.run.images:,} images; lower --lr-g and --lr-d may be better."
        )


def _kept(sitting: Sitting) -> str:
    best = sitting.overseer.best
    if best is None:
        return "no model was kept"
    return f"the best model, of {best.training['images']:,} images, is in {sitting.out / BEST}"
