"""Layer groups: who is in them, in what order, with which learning rate."""

import numpy as np
import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn

from ulmfit_lib.training.groups import (
    FITLAM_RATIO,
    ULMFIT_RATIO,
    check_partition,
    classifier_groups,
    discriminative_lrs,
    layer_decay,
    layerwise_groups,
    lm_groups,
)
from ulmfit_lib.training.optimizers import adam


def _ids(params):
    return {id(p) for p in params}


def test_language_model_groups_are_the_layers_then_the_tied_ends(language_model):
    groups = lm_groups(language_model)
    assert len(groups) == 4
    for group, layer in zip(groups, language_model.encoder.layers, strict=False):
        assert _ids(group) == _ids(layer.parameters())
    ends = [language_model.encoder.embedding.weight, language_model.decoder_bias]
    assert _ids(groups[-1]) == _ids(ends)
    check_partition(language_model, groups)


def test_classifier_groups_run_from_the_embedding_to_the_head(classifier):
    groups = classifier_groups(classifier)
    assert len(groups) == 5
    assert _ids(groups[0]) == {id(classifier.encoder.embedding.weight)}
    for group, layer in zip(groups[1:], classifier.encoder.layers, strict=False):
        assert _ids(group) == _ids(layer.parameters())
    assert _ids(groups[-1]) == _ids(classifier.head.parameters())
    check_partition(classifier, groups)


def test_groups_hold_frozen_parameters_too(classifier):
    classifier.encoder.requires_grad_(False)
    assert sum(map(len, classifier_groups(classifier))) == len(list(classifier.parameters()))


@pytest.mark.parametrize(
    ("ratio", "multipliers"),
    [
        (ULMFIT_RATIO, [1, 0.38462, 0.14793, 0.0569, 0.02188]),
        (FITLAM_RATIO, [1, 0.3, 0.09, 0.027, 0.0081]),
        (1.0, [1, 1, 1, 1, 1]),
    ],
)
def test_discriminative_rates_fall_from_the_top_down(ratio, multipliers):
    lrs = discriminative_lrs(0.01, 5, ratio)
    np.testing.assert_allclose(lrs[::-1], 0.01 * np.array(multipliers), rtol=2e-4)


def test_discriminative_rates_of_a_layer_decay():
    lrs = discriminative_lrs(1.0, 13, 0.95)
    golden = {12: 1, 11: 0.95, 10: 0.9025, 1: 0.5688, 0: 0.5404}
    assert {i: round(lrs[i], 4) for i in golden} == golden


@pytest.mark.parametrize(("lr", "n", "ratio"), [(0.1, 0, 0.3), (0.1, 3, 0.0), (-1.0, 3, 0.3)])
def test_bad_rates_are_named(lr, n, ratio):
    with pytest.raises(ValueError, match=f"lr_max={lr}, n_groups={n}, ratio={ratio}"):
        discriminative_lrs(lr, n, ratio)


def test_layerwise_groups_feed_a_torch_optimizer(language_model, classifier):
    for model, n_groups in ((language_model, 4), (classifier, 5)):
        optimizer = torch.optim.SGD(layerwise_groups(model, 0.1, 0.3))
        lrs = [group["lr"] for group in optimizer.param_groups]
        assert lrs == discriminative_lrs(0.1, n_groups, 0.3)
        stepped = [p for group in optimizer.param_groups for p in group["params"]]
        assert sorted(map(id, stepped)) == sorted(map(id, model.parameters()))


def test_layerwise_groups_refuse_an_unknown_model():
    with pytest.raises(TypeError, match="Linear"):
        layerwise_groups(nn.Linear(2, 2), 0.1, 0.3)


def test_a_missing_parameter_is_named(language_model):
    groups = lm_groups(language_model)[1:]
    missing = r"encoder\.layers\.0\.weight_ih is in none of the 3 groups"
    with pytest.raises(ValueError, match=missing):
        check_partition(language_model, groups)


def test_a_missing_frozen_parameter_is_no_fault(language_model):
    language_model.encoder.layers[0].requires_grad_(False)
    check_partition(language_model, lm_groups(language_model)[1:])


def test_a_tied_weight_in_two_groups_is_named(language_model):
    groups = lm_groups(language_model)
    groups[0].append(language_model.encoder.embedding.weight)
    with pytest.raises(ValueError, match=r"encoder\.embedding\.weight is in groups 0 and 3"):
        check_partition(language_model, groups)


def test_a_parameter_of_another_model_is_refused(language_model):
    groups = [*lm_groups(language_model), [nn.Parameter(torch.zeros(2, 9))]]
    with pytest.raises(ValueError, match=r"group 4 holds a \(2, 9\) tensor"):
        check_partition(language_model, groups)


def test_groups_are_a_splitter_for_fastai(classifier):
    dls = DataLoaders([], [])
    learn = Learner(
        dls,
        classifier,
        loss_func=nn.CrossEntropyLoss(),
        opt_func=adam(),
        splitter=classifier_groups,
    )
    learn.create_opt()
    assert [len(group) for group in learn.opt.param_lists] == [1, 4, 4, 4, 8]
    learn.opt.set_hyper("lr", discriminative_lrs(0.01, 5, 0.3))
    assert [h["lr"] for h in learn.opt.hypers] == discriminative_lrs(0.01, 5, 0.3)


def test_listed_factors_replace_the_ratio():
    assert discriminative_lrs(0.6, 3, (0.5, 1.0, 2.0)) == pytest.approx([0.3, 0.6, 1.2])
    with pytest.raises(ValueError, match="lists 2 factors for 3 groups"):
        discriminative_lrs(0.6, 3, (0.5, 1.0))
    for wrong in ((), (0.0, 1.0)):
        with pytest.raises(ValueError, match="positive ratio"):
            discriminative_lrs(0.6, 2, wrong)


def test_layer_decay_has_the_paper_s_golden_factors():
    embeddings, *layers, head = layer_decay(12, 0.95)
    assert (head, layers[-1]) == (1.0, 1.0)
    assert layers[-3:] == pytest.approx([0.9025, 0.95, 1.0])
    assert layers[0] == pytest.approx(0.5688, abs=5e-5)
    assert embeddings == pytest.approx(0.5404, abs=5e-5)


def test_released_rates_leave_the_embeddings_out():
    assert layer_decay(2, 0.5, embeddings=2.5, head=2.5) == (2.5, 0.5, 1.0, 2.5)
    assert layer_decay(3, 1.0) == (1.0,) * 5


@pytest.mark.parametrize("wrong", [(0, 0.95), (2, 0.0), (2, 0.9, -1.0), (2, 0.9, None, 0.0)])
def test_impossible_decay_is_refused(wrong):
    with pytest.raises(ValueError, match="positive factors"):
        layer_decay(*wrong)
