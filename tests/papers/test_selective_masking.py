"""The three stages fit together: judged texts teach a labeller, whose choices keep their budget."""

import pytest
import torch

from tests.tiny_checkpoints import POSITIONS
from tests.toy_reviews import LABELS, TEXTS
from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.models.token_labeller import TokenLabeller
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, classify, tune_encoder
from ulmfit_lib.papers.selective_masking import (
    Judging,
    LabellerTuning,
    judge_texts,
    merge_judgements,
    pretrain_on_choice,
    random_choice,
    selective_choice,
    task_lexicon,
    token_label_loss,
    token_scores,
    tune_labeller,
)
from ulmfit_lib.text.masking import IGNORED
from ulmfit_lib.text.selective_masks import ChosenMasks, FramedTokenLabels
from ulmfit_lib.training.further_pretraining import FurtherPretraining


@pytest.fixture(scope="module")
def encoder():
    return load_pretrained_encoder()


@pytest.fixture(scope="module")
def documents(encoder):
    return encoder.encode(TEXTS)


@pytest.fixture(scope="module")
def telling(encoder):
    """Ids of the two words that tell the classes apart."""
    return {encoder.encode([f" {word}"])[0][0] for word in ("great", "bad")}


@pytest.fixture(scope="module")
def right(documents, telling):
    return [[token in telling for token in ids] for ids in documents]


@pytest.fixture(scope="module")
def labeller(encoder, documents, right):
    config = LabellerTuning(updates=40, batch_size=10, lr_max=2e-3)
    return tune_labeller(encoder, documents, right, config)[0]


def test_the_classifier_points_at_the_words_that_tell(encoder, documents, telling):
    tuning = EncoderTuning(updates=60, batch_size=10, lr_max=1e-3)
    classifier, _ = tune_encoder(encoder.model, documents, LABELS, 2, tuning)
    judged = judge_texts(classifier, documents, LABELS, Judging(max_length=32))
    assert len(judged.rows) == len(judged.found) >= 18
    hits = [
        any(i for t, i in zip(documents[row], found.important, strict=True) if t in telling)
        for row, found in zip(judged.rows, judged.found, strict=True)
    ]
    assert sum(hits) / len(hits) > 0.8
    few = judge_texts(classifier, documents, LABELS, Judging(share=0.5, max_length=32), telling)
    assert len(few.rows) == round(len(judged.rows) / 2)
    for row, found in zip(few.rows, few.found, strict=True):
        important = {t for t, i in zip(documents[row], found.important, strict=True) if i}
        assert not important & telling  # taken for stop-words here


def test_the_labeller_learns_which_tokens_are_important(labeller, encoder, documents, right):
    found = selective_choice(labeller, documents, encoder, rate=1.0)
    scores = token_scores(found, right)
    assert scores.precision > 0.9 and scores.recall > 0.9
    other = encoder.encode(["The night was great in all."])
    (choice,) = selective_choice(labeller, other, encoder)
    assert sum(choice) == 1  # max(1, 15 % of a few tokens)


def test_the_control_and_the_lexicon_keep_the_budget(labeller, encoder, documents, telling):
    choice = selective_choice(labeller, documents, encoder)
    control = random_choice(documents, choice, encoder, seed=3)
    assert [sum(row) for row in control] == [sum(row) for row in choice]
    assert control != choice and control == random_choice(documents, choice, encoder, seed=3)
    assert task_lexicon(documents, LABELS, n=2) == telling
    assert not task_lexicon(documents, LABELS, telling) & telling  # taken for stop-words here
    words = random_choice(documents, choice, encoder, seed=3, lexicon=telling)
    assert [sum(row) for row in words] == [sum(row) for row in choice]
    for ids, row in zip(documents, words, strict=True):
        hidden = {t for t, c in zip(ids, row, strict=True) if c}
        assert hidden <= telling or telling & set(ids) <= hidden  # others only when these are out


def test_a_choice_of_other_texts_is_refused(encoder, documents):
    with pytest.raises(ValueError, match="text 0 has .* tokens and .* labels"):
        random_choice(documents, [[True] * (len(ids) + 1) for ids in documents], encoder)
    with pytest.raises(ValueError, match="shorter"):
        random_choice(documents, [[True] * len(documents[0])], encoder)


def test_what_is_cut_off_is_never_chosen(encoder, documents):
    everything = [[True] * len(ids) for ids in documents]
    control = random_choice(documents, everything, encoder, max_length=5)
    assert all(sum(row) == 3 and not any(row[3:]) for row in control)


def test_filling_chosen_masks_teaches_those_tokens(encoder, documents, right):
    config = FurtherPretraining(updates=30, batch_size=10, length=32, lr_max=1e-3)
    before = {n: p.clone() for n, p in encoder.masked_lm.named_parameters()}
    read = pretrain_on_choice(encoder, documents, right, config)
    assert all(torch.equal(before[n], p) for n, p in encoder.masked_lm.named_parameters())
    texts = FramedTokenLabels(documents, right, 32, encoder.special)
    (ids, positions, mask, targets) = next(iter(ChosenMasks(texts, encoder.vocabulary, 20, 1)))
    loss = {}
    for name, model in (("before", encoder.masked_lm), ("after", read.masked_lm)):
        with torch.no_grad():
            logits = model(ids, attention_mask=mask).logits.flatten(0, 1)[positions]
        loss[name] = float(torch.nn.functional.cross_entropy(logits, targets))
    assert loss["after"] < loss["before"] / 2


def test_batches_hold_the_chosen_tokens_and_nothing_else(encoder, documents, right):
    none = [[False] * len(ids) for ids in documents[:5]]
    texts = FramedTokenLabels(documents, none + right[5:], 32, encoder.special)
    batches = list(ChosenMasks(texts, encoder.vocabulary, 4, updates=7, seed=1))
    assert len(batches) == 7
    for ids, positions, mask, targets in batches:
        assert len(targets) == len(ids) == 4  # one chosen token a text; those without are left out
        assert mask.flatten()[positions].all()
    again = list(ChosenMasks(texts, encoder.vocabulary, 4, updates=7, seed=1))
    assert all(
        torch.equal(a, b)
        for x, y in zip(batches, again, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    with pytest.raises(ValueError, match="no token is chosen"):
        ChosenMasks(FramedTokenLabels(documents[:5], none, 32), encoder.vocabulary, 4, 1)
    with pytest.raises(ValueError, match="text 0 has"):
        FramedTokenLabels(documents[:1], [[True]], 32)


def test_padding_has_no_part_in_the_labeller_s_loss():
    logits, labels = torch.randn(2, 3, 2), torch.tensor([[0, 1, 0], [1, IGNORED, IGNORED]])
    kept = torch.cat([logits[0], logits[1, :1]])
    weights = torch.tensor([1.0, 3.0])
    expected = torch.nn.functional.cross_entropy(kept, torch.tensor([0, 1, 0, 1]), weight=weights)
    torch.testing.assert_close(token_label_loss(logits, labels, (1.0, 3.0)), expected)


def test_a_text_judged_twice_has_the_important_tokens_of_both():
    documents, rows = [[7, 8], [9], [7, 8]], [[True, False], [False], [False, True]]
    assert merge_judgements(documents, rows) == ([[7, 8], [9]], [[True, True], [False]])
    with pytest.raises(ValueError):
        merge_judgements([[7, 8]], [[True]])


def test_what_is_given_is_asked_with_and_not_judged(encoder, documents):
    tuning = EncoderTuning(updates=4, batch_size=10)
    classifier, _ = tune_encoder(encoder.model, documents, LABELS, 2, tuning)
    split = [[ids[:2], ids[2:]] for ids in documents]
    given, texts = (list(part) for part in zip(*split, strict=True))
    whole = judge_texts(classifier, documents, LABELS)
    kept = judge_texts(classifier, texts, LABELS, given=given)
    assert whole.rows == kept.rows and whole.rows  # the same texts are asked about
    assert [len(f.missing) for f in kept.found] == [len(texts[i]) for i in kept.rows]
    tight = Judging(max_length=6)
    for row, found in zip(*judge_texts(classifier, texts, LABELS, tight, given=given), strict=True):
        assert len(found.missing) == min(len(texts[row]), 2)  # six less the frame and two given
    full = [[*ids, *ids, ids[0]] for ids in given]  # one more than there is room for
    judged = judge_texts(classifier, texts, LABELS, tight, given=full)
    assert judged.rows and not any(found.missing for found in judged.found)


def test_scores_of_judgements():
    assert token_scores([[True, True, False]], [[True, False, True]]) == (0.5, 0.5, 2 / 3)
    assert token_scores([[False]], [[False]]) == (1.0, 1.0, 0.0)


def test_another_checkpoint_is_asked_with_its_own_tokens(checkpoint):
    other = load_pretrained_encoder(checkpoint)
    texts = ["the old mill", "a new bridge rises"] * 4
    documents = [ids[: POSITIONS - 2] for ids in other.encode(texts)]
    tuning = EncoderTuning(updates=2, batch_size=4, max_length=POSITIONS)
    classifier, _ = tune_encoder(
        other.model, documents, [0, 1] * 4, 2, tuning, special=other.special
    )
    says = classify(classifier, documents, POSITIONS, special=other.special)
    labels = says.argmax(dim=1).tolist()  # right, whatever it has learned
    asked = []
    classifier.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0]))
    judging = Judging(max_length=POSITIONS)
    judged = judge_texts(classifier, documents, labels, judging, special=other.special)
    assert judged.rows == list(range(8)) and len(asked) > 3
    around = other.special
    for ids in (row for batch in asked for row in batch):
        kept = ids[ids != around.pad_id]
        assert kept[0] == around.cls_id and kept[-1] == around.sep_id
    config = LabellerTuning(updates=2, batch_size=4, max_length=POSITIONS)
    marks = [list(found.important) for found in judged.found]
    labeller, _ = tune_labeller(other, documents, marks, config)
    assert (labeller.config.pad_id, labeller.config.sep_id) == (around.pad_id, around.sep_id)
    choice = random_choice(documents, [[True] * len(ids) for ids in documents], other)
    reading = FurtherPretraining(updates=2, batch_size=4, length=POSITIONS)
    pretrain_on_choice(other, documents, choice, reading)
    assert len(selective_choice(labeller, documents, other, max_length=POSITIONS)) == 8


def test_texts_longer_than_the_encoder_s_positions_are_refused(checkpoint):
    other = load_pretrained_encoder(checkpoint)
    documents = other.encode(["the old mill"] * 2)
    marks, long = [[True] * len(ids) for ids in documents], POSITIONS + 1
    labeller = TokenLabeller(other.model, 2)
    with pytest.raises(ValueError, match=f"length={long}, but the encoder has {POSITIONS} places"):
        selective_choice(labeller, documents, other, max_length=long)
    with pytest.raises(ValueError, match=f"length={long}"):
        pretrain_on_choice(other, documents, marks, FurtherPretraining(2, length=long))
    with pytest.raises(ValueError, match=f"length={long}"):
        tune_labeller(other, documents, marks, LabellerTuning(max_length=long))
