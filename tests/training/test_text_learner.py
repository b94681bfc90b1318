"""fastai's own recipe runs on the book's model, and its methods answer as fastai's do."""

from __future__ import annotations

import pytest
import torch
from fastai.learner import Learner

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from ulmfit_lib.models.classifier import ClassifierConfig
from ulmfit_lib.text.batches import BatchConfig
from ulmfit_lib.text.tokenizer import train_tokenizer
from ulmfit_lib.training.text_learner import TextDataLoaders, TextLearner, text_classifier_learner

TEXTS = [f"{w} {end}" for w in "abcdefgh" for end in ("good film", "bad show, long and sad")]
LABELS = ["pos", "neg"] * 8
TOKENIZER = train_tokenizer(TEXTS * 5, vocab_size=300)


def learner(direction: str = "forward") -> TextLearner:
    torch.manual_seed(0)
    encoder = AWDLSTM(AWDLSTMConfig(TOKENIZER.get_vocab_size(), 8, 12, 3))
    encoder.embedding.reset_parameters()
    learn = text_classifier_learner(
        (TEXTS * 4, LABELS * 4),
        (TEXTS[:6], LABELS[:6]),
        direction=direction,
        drop_mult=0.0,
        encoder=encoder,
        tokenizer=TOKENIZER,
        batches=BatchConfig(8, pool_batches=1),  # the classes differ in length
        head=ClassifierConfig(head_dropouts=(0.0, 0.0)),
    )
    learn.remove_cbs(learn.progress)
    return learn


def open_groups(learn: Learner) -> list[bool]:
    return [any(p.requires_grad for p in group) for group in learn.opt.param_lists]


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_fastais_recipe_learns(direction: str) -> None:
    learn = learner(direction)
    with learn.no_logging():
        learn.fit_one_cycle(1, 2e-2)
        learn.freeze_to(-2)
        learn.fit_one_cycle(1, slice(1e-2 / 2.6**4, 1e-2))
        learn.unfreeze()
        learn.fit_one_cycle(8, 2e-2)
    assert learn.validate()[1] == 1.0
    name, index, probabilities = learn.predict("h good film")
    assert (name, int(index)) == ("pos", 1) and probabilities.argmax() == 1
    assert learn.predict("z bad show, long and sad")[0] == "neg"


def test_a_mistyped_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="direction='backwards' must be one of"):
        learner("backwards")


def test_freezing_is_fastais() -> None:
    learn = learner()
    assert open_groups(learn) == [False] * 4 + [True]
    before = {k: v.clone() for k, v in learn.model.encoder.state_dict().items()}
    with learn.no_logging():
        learn.fit_one_cycle(1, 2e-2)
    assert all(torch.equal(v, before[k]) for k, v in learn.model.encoder.state_dict().items())
    learn.freeze_to(-2)
    assert open_groups(learn) == [False] * 3 + [True] * 2
    learn.unfreeze()
    assert open_groups(learn) == [True] * 5


def test_a_slice_of_rates_is_the_papers_rule() -> None:
    learn = learner()
    learn.create_opt()
    learn.opt.set_hyper("lr", learn.lr)
    with learn.no_logging():
        learn.fit(1, lr=slice(1e-2 / 2.6**4, 1e-2))
    rates = [hyper["lr"] for hyper in learn.opt.hypers]
    assert rates == pytest.approx([1e-2 / 2.6**k for k in (4, 3, 2, 1, 0)])


def test_predictions_are_probabilities_in_the_order_of_the_texts() -> None:
    learn = learner()
    with learn.no_bar():
        probabilities, labels = learn.get_preds()
        new, none = learn.get_preds(dl=learn.dls.test_dl(TEXTS[:6]))
    assert labels.tolist() == [learn.dls.vocab.index(name) for name in LABELS[:6]]
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(new, probabilities)
    one_by_one = torch.stack([learn.predict(text)[2] for text in TEXTS[:6]])
    torch.testing.assert_close(one_by_one, probabilities, atol=1e-5, rtol=0)


def test_a_class_without_training_texts_is_named() -> None:
    with pytest.raises(ValueError, match="valid has the class 'odd'"):
        TextDataLoaders((TEXTS, LABELS), (["x"], ["odd"]), TOKENIZER)


def test_an_encoder_of_another_vocabulary_is_refused() -> None:
    encoder = AWDLSTM(AWDLSTMConfig(60_000, 2, 2, 1))
    with pytest.raises(
        ValueError, match=r"tokenizer has 8,192 tokens, encoder 60,000 .*tokenizer="
    ):
        text_classifier_learner((TEXTS, LABELS), (TEXTS, LABELS), encoder=encoder)


def test_the_encoder_given_stays_as_it_was() -> None:
    encoder = AWDLSTM(AWDLSTMConfig(TOKENIZER.get_vocab_size(), 8, 12, 3))
    learn = text_classifier_learner(
        (TEXTS, LABELS), (TEXTS, LABELS), encoder=encoder, tokenizer=TOKENIZER, metrics=[]
    )
    assert learn.model.encoder is not encoder and learn.metrics == []
    assert learn.model.encoder.dropouts.input == 0.2  # half of the paper's


def test_few_texts_are_not_bucketed_by_length() -> None:
    """Where classes differ in length, buckets would be batches of one class."""
    loaders = TextDataLoaders((TEXTS * 10, LABELS * 10), (TEXTS, LABELS), TOKENIZER)
    assert all(len(set(labels.tolist())) == 2 for _, labels in loaders.train)
