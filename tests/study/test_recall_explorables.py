"""What the figures say is what the library computes."""

import numpy as np
import pytest

from ulmfit_lib.study.recall_explorables import (
    OPTIMUM,
    annealing_explorer,
    landscape_explorer,
    paths_of,
)
from ulmfit_lib.training.recadam import Annealing


def test_the_pull_and_what_is_left_of_a_random_start():
    figure = annealing_explorer(ks=(0.1, 1.0), t0s=(100, 250), pulls=(0.05, 0.1), steps=300)
    parts = figure.parts((0, 1, 1))
    assert "at t0 a random start has" in parts["readout.text"]
    found = [chart for state, chart in figure._charts.items() if state == (1, 1, 1)][0]
    left = dict(zip(found.lines[2].x, found.lines[2].y, strict=True))
    near = min(left, key=lambda t: abs(t - 200))
    assert left[near] == pytest.approx(0.9**near, rel=1e-6)


def test_decoupled_a_random_start_goes_straight_to_the_pre_trained_weights():
    never = Annealing("sigmoid", 100.0, 10**6)
    paths = paths_of((-0.6, 1.6), never, 4.0, 0.05, 40)
    direction = paths["RecAdam"][:, 0] / paths["RecAdam"][:, 1]
    np.testing.assert_allclose(direction, direction[0])  # both weights by the same factor
    first = paths["coupled"][1] - paths["coupled"][0]
    np.testing.assert_allclose(np.abs(first), 0.05, rtol=1e-5)  # both by the learning rate


def test_with_an_early_turn_all_paths_end_near_the_optimum():
    paths = paths_of((0.0, 0.0), Annealing("sigmoid", 0.5, 60), 4.0, 0.05, 400)
    for name, path in paths.items():
        assert path.shape == (401, 2)
        assert np.linalg.norm(path[-1] - OPTIMUM) < 0.1, name


def test_every_frame_has_words():
    figure = landscape_explorer(gammas=(1.0, 4.0), steps=30)
    assert "RecAdam ends at" in figure.parts(figure.start)["image.alt"]
    assert "<img" in figure.html()
