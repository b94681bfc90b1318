"""The dial: three names, one code path."""

from dataclasses import dataclass

import pytest

from ulmfit_lib.study.scale import Scale, current_scale, pick


@pytest.mark.parametrize("text", ["smoke", "laptop", "paper", " Paper "])
def test_the_variable_sets_the_scale(monkeypatch, text):
    monkeypatch.setenv("ULMFIT_SCALE", text)
    assert current_scale() == Scale(text.strip().lower())


@pytest.mark.parametrize("text", [None, "", "  "])
def test_laptop_is_the_default(monkeypatch, text):
    monkeypatch.delenv("ULMFIT_SCALE", raising=False)
    if text is not None:
        monkeypatch.setenv("ULMFIT_SCALE", text)
    assert current_scale() is Scale.LAPTOP


def test_a_wrong_name_is_refused_with_the_right_ones(monkeypatch):
    monkeypatch.setenv("ULMFIT_SCALE", "lapptop")
    with pytest.raises(ValueError, match="'lapptop'.*smoke, laptop, paper"):
        current_scale()


def test_pick_follows_the_variable(monkeypatch):
    monkeypatch.setenv("ULMFIT_SCALE", "paper")
    assert pick(smoke=1, laptop=3, paper=5) == 5
    assert pick(smoke=1, laptop=3, paper=5, scale=Scale.SMOKE) == 1


def test_sizes_may_be_numbers_names_tuples_and_configurations():
    @dataclass(frozen=True)
    class Config:
        hidden: int

    scale = Scale.LAPTOP
    assert pick(smoke=1, laptop=2.5, paper=3, scale=scale) == 2.5
    assert pick(smoke="a", laptop="b", paper="c", scale=scale) == "b"
    assert pick(smoke=(10,), laptop=(10, 50), paper=(10, 50, 200), scale=scale) == (10, 50)
    assert pick(smoke=Config(1), laptop=Config(2), paper=Config(3), scale=scale) == Config(2)


@pytest.mark.parametrize("value", [True, None, len, [1, 2], (True,), {"a": 1}])
def test_what_could_switch_the_code_path_is_refused(value):
    with pytest.raises(TypeError, match="is no size"):
        pick(smoke=value, laptop=value, paper=value)


def test_types_must_agree():
    with pytest.raises(TypeError, match="smoke=1, laptop='2', paper=3.*one type"):
        pick(smoke=1, laptop="2", paper=3)
