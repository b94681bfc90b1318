"""Importance by prefixes equals the algorithm one prefix at a time; golden toys; known traps."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.text.tokenizer import CLS_ID, SEP_ID
from ulmfit_lib.training.token_importance import (
    ImportanceConfig,
    TokenImportance,
    class_confidence,
    important_tokens,
    leave_one_out,
    rightly_classified,
    telling_tokens,
    without_stop_words,
)

THE, FILM, WAS, GREAT = 10, 11, 12, 13
SENTENCE = [THE, FILM, WAS, GREAT]


def toy(bias):
    """p(y | text) = sigmoid(bias + 3 for each "great")."""

    def ask(texts, classes):
        """Probability of class 1."""
        logits = torch.tensor([bias + 3.0 * list(ids).count(GREAT) for ids in texts])
        return logits.sigmoid()

    return ask


def one_prefix_at_a_time(ids, label, model, delta, keeps=False, guarded=False):
    """The published loop, from its description: one text, one prefix, one call at a time."""

    def sure(tokens):
        """p(label | tokens), by a call of its own."""
        with torch.no_grad():
            logits = model(torch.tensor([[CLS_ID, *tokens, SEP_ID]]))
        return float(logits.softmax(dim=1)[0, label])

    whole, buffer, important, missing = sure(ids), [], [], []
    before = sure([])
    for token in ids:
        now = sure([*buffer, token])
        missing.append(whole - now)
        is_important = whole - now < delta and not (guarded and whole - before < delta)
        important.append(is_important)
        if keeps or not is_important:
            buffer.append(token)
            before = now
    return missing, important


SMALL, LARGER = EncoderConfig(40, 16, 2, 2, 32, 24), EncoderConfig(40, 32, 3, 4, 64, 24)


@pytest.fixture(scope="module")
def model():
    return random_classifier(SMALL, 0)


def random_classifier(config, seed):
    torch.manual_seed(seed)
    classifier = EncoderClassifier(build_encoder(config).bert, 3)
    classifier.eval()
    with torch.no_grad():  # an untrained head hardly tells texts apart: make it sure of some
        classifier.head.weight.normal_(std=2.0)
        logits = torch.cat([classifier(torch.tensor([[CLS_ID, i, SEP_ID]])) for i in range(5, 40)])
        classifier.head.bias.copy_(-logits.mean(dim=0))
    return classifier


def texts_of(seed, n=12):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 15, (n,), generator=generator).tolist()
    return [torch.randint(5, 40, (k,), generator=generator).tolist() for k in lengths]


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("delta", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("size", [SMALL, LARGER], ids=["small", "larger"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_answers_are_those_of_the_loop_over_single_prefixes(seed, size, delta, keeps, guarded):
    model, texts = random_classifier(size, seed), texts_of(seed + 1)
    classes = [i % 3 for i in range(len(texts))]
    config = ImportanceConfig(delta, keeps, guarded)
    found = important_tokens(texts, classes, class_confidence(model, 24), config)
    for ids, label, got in zip(texts, classes, found, strict=True):
        missing, important = one_prefix_at_a_time(ids, label, model, delta, keeps, guarded)
        assert got.missing == pytest.approx(missing, abs=1e-6 if size is SMALL else 5e-6)
        assert list(got.important) == important
    some = 0 < sum(map(sum, (f.important for f in found))) < sum(map(len, texts))
    assert some or (
        keeps and (seed, size) != (0, SMALL)
    )  # what is kept may make all that follows important, or nothing


def test_the_golden_sentence():
    (found,) = important_tokens([SENTENCE], [1], toy(-1.0))
    whole, without = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    assert found.missing == pytest.approx([whole - without] * 3 + [0.0])
    assert found.important == (False, False, False, True)


def test_the_degenerate_case_and_its_guard():
    # The class prior alone is within delta of P: every token is "important".
    (found,) = important_tokens([SENTENCE], [1], toy(4.0))
    assert found.missing[0] == pytest.approx(0.0171, abs=1e-4)
    assert found.important == (True,) * 4
    (guarded,) = important_tokens([SENTENCE], [1], toy(4.0), ImportanceConfig(guarded=True))
    assert guarded.important == (False,) * 4


def test_a_kept_important_token_makes_every_later_one_important():
    again = [GREAT, THE, FILM]
    popped, kept = (
        important_tokens([again], [1], toy(-1.0), ImportanceConfig(keeps_important=keeps))[0]
        for keeps in (False, True)
    )
    assert popped.important == (True, False, False)
    assert kept.important == (True, True, True)


def test_a_prefix_that_is_surer_than_the_text_counts_too():
    # S < 0: less is missing than nothing. "abs(S)" would call this token unimportant.
    def ask(texts, classes):
        """Sure of short texts."""
        return torch.tensor([0.9 if len(ids) == 1 else 0.5 for ids in texts])

    (found,) = important_tokens([[7, 8]], [0], ask)
    assert found.missing[0] == pytest.approx(-0.4) and found.important[0]


def test_what_is_given_stands_before_every_prefix():
    asked = []

    def ask(texts, classes):
        """Sure of class 1 where "great" stands."""
        asked.extend(list(ids) for ids in texts)
        return toy(-1.0)(texts, classes)

    (found,) = important_tokens([[FILM, WAS]], [1], ask, given=[[GREAT, THE]])
    assert all(ids[:2] == [GREAT, THE] for ids in asked)
    assert found.important == (True, True) and found.missing == pytest.approx((0.0, 0.0))
    with pytest.raises(ValueError, match="1 texts and 2 classes"):
        important_tokens([[1], [2]], [0, 0], ask, given=[[3]])


def test_bfloat16_is_near_and_not_equal(model):
    texts = texts_of(3)
    plain, fast = (class_confidence(model, 24, bfloat16=b)(texts, [0] * 12) for b in (False, True))
    assert fast.dtype == torch.float32 and not torch.equal(plain, fast)
    torch.testing.assert_close(plain, fast, atol=0.1, rtol=0)


def test_leaving_one_out():
    (found,) = leave_one_out([SENTENCE], [1], toy(-1.0))
    assert found.important == (False, False, False, True)
    assert found.missing[:3] == pytest.approx([0.0] * 3) and found.missing[3] > 0.6
    assert leave_one_out([[]], [1], toy(0.0)) == [TokenImportance((), ())]


def test_long_texts_are_asked_about_in_portions(model, monkeypatch):
    texts, classes = [*texts_of(4), [7] * 60, list(range(5, 35))], [1] * 14
    at_once = leave_one_out(texts, classes, class_confidence(model, 24))
    monkeypatch.setattr("ulmfit_lib.training.token_importance._HELD", 200)
    portions, real = [], class_confidence(model, 24)

    def spied(asked, of):
        """As the classifier, noting the tokens of each portion."""
        portions.append(sum(len(ids) + 2 for ids in asked))
        return real(asked, of)

    found = leave_one_out(texts, classes, spied)
    assert len(portions) > 20 and max(portions[1:]) <= 200  # the first asks about the texts
    for one, other in zip(found, at_once, strict=True):
        assert one.missing == pytest.approx(other.missing, abs=1e-6)


def test_no_batch_has_more_padded_tokens_than_allowed(model):
    batches = []
    handle = model.register_forward_pre_hook(lambda _, given: batches.append(given[0].shape))
    texts = [*texts_of(5, 60), *([9] * 21 + [token] for token in range(5, 39))]
    class_confidence(model, 24, batch_tokens=100, batch_size=16)(texts, [0] * len(texts))
    handle.remove()
    assert sum(rows for rows, _ in batches) == len(set(map(tuple, texts)))
    assert max(rows * columns for rows, columns in batches) <= 100
    assert max(rows for rows, _ in batches) <= 16


def test_equal_texts_are_read_once_and_answered_each_for_its_class(model):
    texts, classes, batches = [[7, 8], [9], [7, 8], [7, 8]], [0, 0, 1, 0], []
    confidence = class_confidence(model, 24)
    alone = [float(confidence([ids], [c])) for ids, c in zip(texts, classes, strict=True)]
    with model.register_forward_pre_hook(lambda _, given: batches.append(given[0])):
        found = confidence(texts, classes)
    assert sum(map(len, batches)) == 2
    assert found.tolist() == pytest.approx(alone, abs=1e-6)


def test_prefixes_of_like_lengths_go_together_wherever_they_end():
    # Every second token of the first text is important and leaves the buffer again.
    asked = []

    def ask(texts, classes):
        """Sure of a text that ends in GREAT."""
        asked.append([len(ids) for ids in texts])
        return torch.tensor([0.9 if ids and ids[-1] == GREAT else 0.1 for ids in texts])

    texts = [[THE, GREAT] * 20, [THE] * 30 + [GREAT], [THE, FILM, GREAT]] * 4
    important_tokens(texts, [0] * 12, ask)
    lengths = asked[2:]  # after the whole texts and the empty buffers
    assert all(max(each) * len(each) - sum(each) <= 48 for each in lengths)
    assert [min(each) for each in lengths] == sorted(min(each) for each in lengths)
    assert sum(map(len, lengths)) == sum(map(len, texts))


def test_the_gold_class_is_asked_about_and_memory_does_not_change_answers(model):
    texts = texts_of(2)
    for label in range(3):
        classes = [label] * len(texts)
        roomy = class_confidence(model, 24)(texts, classes)
        tight = class_confidence(model, 24, batch_tokens=30, batch_size=2)(texts, classes)
        torch.testing.assert_close(roomy, tight, atol=1e-6, rtol=1e-5)
        with torch.no_grad():
            alone = model(torch.tensor([[CLS_ID, *texts[3], SEP_ID]])).softmax(dim=1)[0, label]
        assert float(roomy[3]) == pytest.approx(float(alone), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(5, 20), max_size=12), max_size=6))
def test_every_token_gets_one_answer(texts):
    found = important_tokens(texts, [1] * len(texts), toy(-1.0))
    assert [len(f.missing) for f in found] == [len(f.important) for f in found]
    assert [len(f.missing) for f in found] == [len(ids) for ids in texts]


def test_stop_words_are_never_important():
    found = important_tokens([SENTENCE], [1], toy(4.0))
    (kept,) = without_stop_words([SENTENCE], found, {THE, WAS})
    assert kept.important == (False, True, False, True)
    assert kept.missing == found[0].missing


def test_only_the_surest_right_answers_are_asked_about():
    sure = torch.tensor([0.9, 0.6, 0.99, 0.7, 0.8])
    classes, says = [0, 1, 1, 0, 1], [0, 1, 0, 0, 1]
    assert rightly_classified([[1]] * 5, classes, says, sure, 1.0) == [0, 1, 3, 4]
    assert rightly_classified([[1]] * 5, classes, says, sure, 0.5) == [0, 4]
    assert rightly_classified([[1]] * 5, classes, says, sure, 0.01) == [0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="2 texts and 1 classes"):
        important_tokens([[1], [2]], [0], toy(0.0))
    with pytest.raises(ValueError, match="share=0"):
        rightly_classified([[1]], [0], [0], torch.ones(1), 0)


def test_tokens_are_ranked_by_the_share_of_their_occurrences():
    texts = [[THE, GREAT], [THE, GREAT], [THE, GREAT, FILM], [THE]]
    marks = [(False, True), (True, True), (False, True, True), (False,)]
    found = [TokenImportance((0.0,) * len(m), m) for m in marks]
    tallies = telling_tokens(texts, found)
    assert list(tallies.items()) == [(GREAT, (3, 3)), (THE, (1, 4))]  # FILM is seen once
    assert tallies[THE].share == 0.25
