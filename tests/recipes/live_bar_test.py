"""The progress bar of a whole run."""

import types
import warnings

import pytest

from keras_dinolm.callbacks.collapse_monitor import CollapseWarning
from keras_dinolm.recipes import live_bar
from keras_dinolm.recipes.live_bar import LiveBar
from keras_dinolm.recipes.live_bar import clock


def follow(bar, index, steps, first=0, **logs):
    """Reports an epoch, as `fit` does."""
    progress = bar.phase(index)
    position = types.SimpleNamespace(step=first)
    progress.checkpoint = types.SimpleNamespace(position=position)
    progress.on_train_begin()
    progress.on_epoch_begin(1)
    for batch in range(steps):
        progress.on_train_batch_end(batch, logs)
    progress.on_epoch_end(1, logs)
    return progress


def test_a_log_gets_lines(capsys):
    bar = LiveBar(["bag", "blocks"], [10, 30], verbose=2)
    follow(bar, 0, 4, loss=1.5, feature_std=0.5, skipped_steps=0.0)
    bar.seconds = [1.0, 2.0]
    follow(bar, 0, 2, 4, loss=1.25, rankme=7.0)
    bar.seconds = [1.0, 2.0]
    follow(bar, 1, 10, loss=1.0, skipped_steps=2.0)
    lines = capsys.readouterr().out.splitlines()
    first, resumed, second, said, third = lines
    assert said.startswith("Phase blocks begins.")
    assert first.startswith("4/40 steps  bag (1 of 2)  0:00 left in this phase")
    assert first.endswith("loss 1.5  feature_std 0.5")
    assert resumed == "Resuming phase bag after step 4."
    assert second.endswith("loss 1.25  rankme 7")
    assert third.startswith("20/40 steps  blocks (2 of 2)  0:")
    assert third.endswith("loss 1  skipped_steps 2")
    assert "\r" not in first


def test_time_left_counts_later_phases_once_their_steps_are_timed():
    bar = LiveBar(["bag", "blocks"], [10, 30], [1.0, 2.0], verbose=2)
    assert "  1:05 left" in bar.describe(0, 5, {})
    assert "  0:40 left" in bar.describe(1, 10, {})
    assert "left" not in LiveBar(["bag"], [9], verbose=2).describe(0, 5, {})
    assert clock(3_661) == "1:01:01" and clock(59.6) == "1:00"


def test_a_terminal_gets_one_line_that_is_redrawn(capsys, monkeypatch):
    monkeypatch.setattr(live_bar, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    bar = LiveBar(["all"], [4], verbose=1)
    follow(bar, 0, 4, loss=1.5)
    bar.finish()
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and printed.count("\r") >= 4
    last = printed.rsplit("\r", 1)[1]
    assert last.startswith("[" + "=" * live_bar.WIDTH + "] 4/4 steps")
    assert "loss 1.5" in last


def test_a_narrow_terminal_shows_no_half_of_a_number():
    bar = LiveBar(["all"], [4], verbose=1)
    values = {"loss": 1.5, "rankme": 98.51}
    assert bar.describe(0, 2, values) == "2/4 steps  loss 1.5  rankme 98.5"
    assert bar.describe(0, 2, values, 31) == "2/4 steps  loss 1.5"
    assert bar.describe(0, 2, values, 5) == "2/4 steps"


def test_the_numbers_are_explained_before_they_are_shown(capsys):
    LiveBar(["all"], [4], verbose=2).explain()
    printed = capsys.readouterr().out
    for name in ("loss", "feature_std", "rankme", "Ctrl-C"):
        assert name in printed


def test_silence(capsys):
    bar = LiveBar(["all"], [4], verbose=0)
    follow(bar, 0, 4, loss=1.5)
    bar.say("a")
    bar.finish()
    assert capsys.readouterr().out == ""


def test_collapse_is_shown_kept_and_survives_a_kill(capsys):
    bar = LiveBar(["all"], [4], verbose=2)
    with bar.phase(0) as progress:
        warnings.warn("Collapse by x.", CollapseWarning, stacklevel=1)
    assert "Warning: Collapse by x." in capsys.readouterr().out
    resumed = bar.phase(0)
    resumed.set_run_state(progress.get_run_state())
    assert resumed.warnings == ["Collapse by x."]
    with pytest.warns(UserWarning, match="another"):
        with bar.phase(0):
            warnings.warn("another", UserWarning, stacklevel=1)


def test_a_narrow_terminal_shows_the_loss_before_a_long_bar(
    capsys, monkeypatch
):
    monkeypatch.setattr(live_bar, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    monkeypatch.setenv("COLUMNS", "60")
    bar = LiveBar(["bag", "blocks"], [7_000, 400], [1.0, 1.0], verbose=1)
    values = {"loss": 9.85, "feature_std": 0.51}
    bar.draw(1, 100, values, force=True)
    drawn = capsys.readouterr().out.rsplit("\r", 1)[1]
    assert len(drawn) < 60 and drawn.endswith("blocks (2 of 2)  5:00 left")
    monkeypatch.setenv("COLUMNS", "90")
    bar.draw(1, 100, values, force=True)
    drawn = capsys.readouterr().out.rsplit("\r", 1)[1].rstrip()
    assert drawn.endswith("loss 9.85  feature_std 0.51")
