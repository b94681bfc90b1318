"""The recipe is its steps, one after the other; only the choice of masks differs between arms."""

from dataclasses import replace

import pytest
import torch

from tests.toy_reviews import LABELS, TEXTS
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers import three_stages as recipe
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, tune_encoder
from ulmfit_lib.papers.selective_masking import Judging, LabellerTuning
from ulmfit_lib.papers.three_stages import (
    LEXICON,
    NONE,
    POLICIES,
    RANDOM,
    SELECTIVE,
    ThreeStages,
    hidden_by,
    stop_ids,
    three_stages,
)
from ulmfit_lib.training.further_pretraining import FurtherPretraining

CONFIG = ThreeStages(
    EncoderTuning(updates=20, batch_size=10, lr_max=1e-3, max_length=16),
    Judging(max_length=16),
    LabellerTuning(updates=30, batch_size=10, lr_max=2e-3, max_length=16),
    FurtherPretraining(updates=2, batch_size=4, length=16),
)


@pytest.fixture(scope="module")
def encoder():
    return load_pretrained_encoder()


@pytest.fixture(scope="module")
def documents(encoder):
    return encoder.encode(TEXTS)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def tuned(encoder, documents, policy):
    stops = stop_ids(encoder)
    return three_stages(encoder, documents, LABELS, 2, documents, policy, CONFIG, stops, seed=3)


def test_of_a_longer_text_the_beginning_is_judged_and_learned(encoder, documents):
    short = replace(CONFIG, judging=Judging(max_length=6))
    assert all(len(ids) > 4 for ids in documents)
    stops = stop_ids(encoder)
    once = documents, LABELS, 2, documents, SELECTIVE, short, stops, 3
    assert isinstance(three_stages(encoder, *once), EncoderClassifier)


def test_without_the_middle_stage_it_is_fine_tuning(encoder, documents):
    alone, _ = tune_encoder(encoder.model, documents, LABELS, 2, CONFIG.tuning, seed=3)
    assert torch.equal(weights(tuned(encoder, documents, NONE)), weights(alone))


def test_arms_differ_in_their_masks_alone_and_hide_as_many(encoder, documents, monkeypatch):
    hidden, before = {}, weights(encoder.model)
    read = recipe.pretrain_on_choice

    def noted(encoder, texts, choice, config, seed):
        hidden[policy] = choice
        return read(encoder, texts, choice, config, seed)

    monkeypatch.setattr(recipe, "pretrain_on_choice", noted)
    models = {}
    for policy in POLICIES:
        models[policy] = weights(tuned(encoder, documents, policy))
    budgets = {policy: [sum(row) for row in choice] for policy, choice in hidden.items()}
    assert sum(budgets[SELECTIVE]) > 0
    assert budgets[RANDOM] == budgets[SELECTIVE] == budgets[LEXICON]
    assert hidden[RANDOM] != hidden[SELECTIVE]
    assert not torch.equal(models[RANDOM], models[SELECTIVE])
    assert torch.equal(weights(encoder.model), before), "the general encoder is left as it is"


def test_the_selective_choice_is_taken_as_it_is(encoder, documents):
    chosen = [[i == 1 for i in range(len(ids))] for ids in documents]
    assert hidden_by(SELECTIVE, documents, chosen, encoder) is chosen
    first = {documents[0][3]}
    found = hidden_by(LEXICON, documents, chosen, encoder, lexicon=first)
    assert found[0][3] and sum(found[0]) == 1
    at_random = hidden_by(RANDOM, documents, chosen, encoder, lexicon=first)
    assert at_random == hidden_by(RANDOM, documents, chosen, encoder)


def test_an_unknown_policy_is_named(encoder, documents):
    with pytest.raises(ValueError, match="policy='best'"):
        tuned(encoder, documents, "best")


def test_stop_words_are_known_with_and_without_a_blank(encoder):
    found = stop_ids(encoder)
    for form in ("the", " the", "The", " The"):
        assert encoder.encode([form])[0][0] in found
    assert encoder.encode([" tensor"])[0][0] not in found
