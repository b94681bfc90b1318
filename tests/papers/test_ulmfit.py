"""ULMFiT's plans, variants and recipes are the paper's, and its stages learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ulmfit_lib.models.awd_lstm import AWDLSTM, NO_DROPOUT, AWDLSTMConfig, LanguageModel
from ulmfit_lib.models.classifier import ClassifierConfig
from ulmfit_lib.papers import ulmfit
from ulmfit_lib.papers.ulmfit import PAPER, RELEASED_SCRIPTS, ClassifierTuning, LMTuning
from ulmfit_lib.training.groups import ULMFIT_RATIO

SIZES = AWDLSTMConfig(vocab_size=40, embedding_size=16, hidden_size=16, n_layers=2)
TINY = ulmfit.at_size(PAPER, 3, 60, 5, batch_size=8, drop_mult=0.0)


def documents() -> tuple[list[list[int]], list[int]]:
    """Two classes that differ in their words."""
    good = [[6, 7 + i % 4, 20, 21] for i in range(16)]
    bad = [[6, 7 + i % 4, 30, 31] for i in range(16)]
    return good + bad, [1] * 16 + [0] * 16


@pytest.fixture
def language_model() -> LanguageModel:
    torch.manual_seed(2)
    return LanguageModel(AWDLSTM(SIZES))


# Plans


def shape(plan: ulmfit.Plan) -> list[tuple[tuple[int, ...], int]]:
    return [(stage.trainable, stage.epochs) for stage in plan]


@pytest.mark.parametrize(
    ("unfreezing", "expected"),
    [
        ("full", [((0, 1, 2, 3, 4), 9)]),
        ("last", [((4,), 9)]),
        ("two-stage", [((4,), 1), ((3, 4), 1), ((0, 1, 2, 3, 4), 7)]),
        (
            "gradual",
            [((4,), 1), ((3, 4), 1), ((2, 3, 4), 1), ((1, 2, 3, 4), 1), ((0, 1, 2, 3, 4), 5)],
        ),
        (
            "chain-thaw",
            [((4,), 1), ((0,), 1), ((1,), 1), ((2,), 1), ((3,), 1), ((0, 1, 2, 3, 4), 4)],
        ),
    ],
)
def test_every_plan_is_as_long_as_asked(
    unfreezing: str, expected: list[tuple[tuple[int, ...], int]]
) -> None:
    config = ClassifierTuning(epochs=9, unfreezing=unfreezing)
    assert shape(ulmfit.classifier_plan(5, 100, config)) == expected


def test_updates_become_whole_epochs() -> None:
    config = ClassifierTuning(updates=100, thaw_updates=20, epochs=3)
    assert shape(ulmfit.classifier_plan(3, 10, config)) == [((2,), 2), ((1, 2), 2), ((0, 1, 2), 6)]
    assert [e for _, e in shape(ulmfit.classifier_plan(3, 900, config))] == [1, 1, 1]


def test_the_rates_of_the_paper_and_of_the_scripts() -> None:
    paper = ulmfit.classifier_plan(5, 100, PAPER.classifier)
    assert paper[-1].schedule(10, 100, 0.01) == pytest.approx(0.01)  # a tenth rises
    assert paper[0].schedule(0, 100, 0.01) == pytest.approx(0.01 / 32)
    first, _, last = ulmfit.classifier_plan(5, 100, RELEASED_SCRIPTS.classifier)
    assert first.schedule(8, 24, 0.01) == last.schedule(3, 24, 0.01) == pytest.approx(0.01)
    assert first.schedule(0, 24, 0.01) == pytest.approx(0.01 / 8)
    assert first.lr_max == 0.01
    backward = ulmfit.classifier_plan(5, 100, RELEASED_SCRIPTS.classifier, "backward")
    assert {stage.lr_max for stage in backward} == {0.005}


def test_chain_thaw_has_a_tenth_of_the_rate_after_its_first_stage() -> None:
    plan = ulmfit.classifier_plan(5, 1, ulmfit.classifier_variant("chain-thaw"))
    assert [stage.lr_max for stage in plan] == pytest.approx([1e-3] + [1e-4] * 5)


def test_the_language_model_is_tuned_whole() -> None:
    assert shape(ulmfit.lm_plan(4, LMTuning(epochs=7))) == [((0, 1, 2, 3), 7)]


# Variants


def test_the_variants_of_the_language_model() -> None:
    found = {name: ulmfit.lm_variant(name) for name in ulmfit.LM_VARIANTS}
    assert found["full+discr+stlr"] == PAPER.lm
    assert (found["full+discr"].ratio, found["full+discr"].schedule) == (ULMFIT_RATIO, "constant")
    assert (found["full"].ratio, found["full"].schedule) == (1.0, "constant")


def test_the_variants_of_the_classifier() -> None:
    found = {name: ulmfit.classifier_variant(name) for name in ulmfit.CLASSIFIER_VARIANTS}
    assert len(found) == 11 and found["freez+discr+stlr"] == PAPER.classifier
    for name, config in found.items():
        discriminative = "discr" in name
        assert config.lr_max == pytest.approx(0.01 if discriminative else 0.001), name
        assert config.ratio == (ULMFIT_RATIO if discriminative else 1.0), name
        assert config.unfreezing == ("gradual" if "freez" in name else config.unfreezing)
        assert (config.epochs, config.batch_size) == (50, 64)
    assert found["from scratch"] == found["full"]
    assert found["freez+cos"].schedule == "cosine" and found["last"].unfreezing == "last"


@pytest.mark.parametrize("make", [ulmfit.lm_variant, ulmfit.classifier_variant])
def test_an_unknown_variant_is_named(make: object) -> None:
    with pytest.raises(ValueError, match=r"name='best' must be one of .*full\+discr"):
        make("best")  # type: ignore[operator]


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match="schedule='linear' must be one of constant, cosine, stlr"):
        LMTuning(schedule="linear")
    with pytest.raises(ValueError, match="unfreezing='none' must be one of gradual"):
        ClassifierTuning(unfreezing="none")


# Paper against scripts


def test_the_differences_are_those_of_the_two_recipes_and_have_sources() -> None:
    rows = {row.setting: row for row in ulmfit.differences()}
    assert set(rows) == set(ulmfit.SOURCES)
    assert (rows["classifier.batch_size"].first, rows["classifier.batch_size"].second) == (64, 32)
    assert rows["lm.ratio"].second == (1 / 6, 1 / 3, 1.0, 1 / 2)
    assert rows["classifier.steps.betas"].first == (0.7, 0.99)
    assert all(
        "scripts" in r.source or ".py" in r.source or "see" in r.source for r in rows.values()
    )


def test_a_recipe_does_not_differ_from_itself() -> None:
    assert ulmfit.differences(PAPER, PAPER) == ()
    other = replace(PAPER, directions=("forward",))
    (row,) = ulmfit.differences(PAPER, other)
    assert (row.setting, row.second, row.source) == ("directions", ("forward",), "")


@pytest.mark.parametrize("directions", [(), ("forward", "backwards")])
def test_a_recipe_names_its_models(directions: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="directions?="):
        ulmfit.Recipe(directions=directions)


@pytest.mark.parametrize("recipe", [PAPER, RELEASED_SCRIPTS])
def test_both_recipes_can_be_run(recipe: ulmfit.Recipe) -> None:
    texts, labels = documents()
    torch.manual_seed(0)
    three_layers = LanguageModel(AWDLSTM(replace(SIZES, n_layers=3)))
    starts = {"forward": three_layers, "backward": three_layers}
    short = ulmfit.at_size(recipe, 1, 3, 1, batch_size=16, drop_mult=0.5)
    tuned = ulmfit.fine_tune(texts, labels, 2, short, starts=starts)
    assert list(tuned.history) == [
        "lm forward",
        "classifier forward",
        "lm backward",
        "classifier backward",
    ]
    together = ulmfit.probabilities(tuned.classifiers, texts)
    single = [ulmfit.probabilities({d: m}, texts) for d, m in tuned.classifiers.items()]
    torch.testing.assert_close(together, (single[0] + single[1]) / 2)
    head = tuned.classifiers["forward"].head
    assert head[1][1].p == recipe.classifier.head.head_dropouts[1]


# Training


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_both_stages_learn(language_model: LanguageModel, direction: str) -> None:
    texts, labels = documents()
    before = {k: v.clone() for k, v in language_model.state_dict().items()}
    lm = replace(TINY.lm, lr_max=0.05, epochs=6, bptt=10)
    tuned, rows = ulmfit.tune_language_model(texts, direction, lm, start=language_model)
    assert rows[-1]["valid_loss"] < rows[0]["valid_loss"] - 0.3
    config = replace(TINY.classifier, lr_max=0.05, ratio=1.0)
    model, rows = ulmfit.tune_classifier(tuned.encoder, texts, labels, 2, config, direction)
    answers = ulmfit.probabilities({direction: model}, texts)
    assert answers.argmax(dim=1).tolist() == labels
    assert [row["stage"] for row in rows][:2] == [0, 1]
    assert all(torch.equal(v, before[k]) for k, v in language_model.state_dict().items())


def test_unlabelled_text_reaches_the_language_model_alone(language_model: LanguageModel) -> None:
    texts, labels = documents()
    recipe = replace(
        ulmfit.at_size(TINY, 1, 4, 1), directions=("forward",), lm=replace(TINY.lm, epochs=1)
    )
    starts = {"forward": language_model}
    without = ulmfit.fine_tune(texts, labels, 2, recipe, starts=starts)
    unseen = [[35, 36, 37]] * 200
    with_it = ulmfit.fine_tune(texts, labels, 2, recipe, unseen, starts=starts)
    row = [
        model.classifiers["forward"].encoder.embedding.weight[36] for model in (without, with_it)
    ]
    assert not torch.equal(row[0], row[1])


def test_the_same_seed_gives_the_same_classifier(language_model: LanguageModel) -> None:
    texts, labels = documents()
    config = replace(TINY.classifier, updates=4, thaw_updates=1)
    one, two, other = (
        ulmfit.probabilities(
            {"forward": ulmfit.tune_classifier(language_model.encoder, *args, seed=seed)[0]}, texts
        )
        for args in [(texts, labels, 2, config)]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize("carry", [False, True])
def test_bpt3c_with_and_without_gradient_through_the_state(
    language_model: LanguageModel, carry: bool
) -> None:
    texts, labels = [[6, 7, 8, 9, 10, 11] * 3] * 8, [0, 1] * 4
    head = ClassifierConfig(bptt=4, carry_gradient=carry)
    config = replace(TINY.classifier, updates=2, unfreezing="full", head=head)
    model, rows = ulmfit.tune_classifier(language_model.encoder, texts, labels, 2, config)
    assert model.config.carry_gradient == carry and len(rows) == 2


def test_short_text_makes_a_narrow_stream(language_model: LanguageModel) -> None:
    model, rows = ulmfit.tune_language_model([[7]], config=TINY.lm, start=language_model)
    assert len(rows) == 3 and model.encoder.dropouts == NO_DROPOUT


def test_long_documents_are_cut_from_the_front(language_model: LanguageModel) -> None:
    texts, labels = documents()
    config = replace(TINY.classifier, updates=2, max_tokens=3, max_batch_tokens=20)
    model, _ = ulmfit.tune_classifier(language_model.encoder, texts, labels, 2, config)
    long, cut = [5] * 50 + [7, 8], [7, 8]
    answers = ulmfit.probabilities({"forward": model}, [long, cut], max_tokens=3)
    torch.testing.assert_close(answers[0], answers[1], atol=1e-6, rtol=0)


def test_a_label_out_of_range_is_refused_before_any_training() -> None:
    with pytest.raises(ValueError, match=r"label 2 is outside 0 \.\. 1"):
        ulmfit.fine_tune([[6], [7]], [0, 2], 2)


def test_the_language_model_reads_no_more_text_than_asked(language_model: LanguageModel) -> None:
    many = [[7] * 9 for _ in range(30)]
    assert [len(ids) for ids in ulmfit._drawn(many, 55, seed=0)] == [9] * 5 + [4]
    assert ulmfit._drawn(many, 300, seed=0) is many
    assert [len(ids) for ids in ulmfit._drawn([[7] * 99], 50, seed=0)] == [49]
    numbered = [[n] for n in range(10)]
    assert ulmfit._drawn(numbered, 6, 1) == ulmfit._drawn(numbered, 6, 1) != numbered[:3]
    config = replace(TINY.lm, max_tokens=100, epochs=1)
    long = [[7] * 100_000] * 2
    ulmfit.tune_language_model(long, config=config, start=language_model, valid=long)
