"""Budgets are kept, special tokens are never masked, the control has as many masks per text."""

import pytest
import torch

from ulmfit_lib.text.masking import MaskingVocabulary, corrupt
from ulmfit_lib.text.selective_masks import as_many_at_random, mask_budget, most_important

SIZE, MASK_ID = 30, 4
SPECIAL = torch.arange(SIZE) < 5
VOCABULARY = MaskingVocabulary(MASK_ID, SPECIAL, SPECIAL, SPECIAL)
IDS = torch.tensor(
    [
        [1, *range(10, 24), 2],  # 14 ordinary tokens: a budget of 2
        [1, 10, 11, 2, *[0] * 12],  # 2: a budget of 1
        [1, 2, *[0] * 14],  # none
    ]
)
EVERY = torch.ones_like(IDS, dtype=torch.bool)


def test_a_budget_is_a_share_of_the_ordinary_tokens_and_at_least_one():
    assert mask_budget(IDS, VOCABULARY).tolist() == [2, 1, 0]
    assert mask_budget(IDS, VOCABULARY, 0.5).tolist() == [7, 1, 0]
    with pytest.raises(ValueError, match="rate=2"):
        mask_budget(IDS, VOCABULARY, 2)


def test_the_highest_scored_candidates_are_chosen():
    scores = torch.arange(16.0).repeat(3, 1)
    chosen = most_important(IDS, scores, EVERY, VOCABULARY)
    assert chosen[0].nonzero().flatten().tolist() == [13, 14]  # 15 is [SEP]
    assert chosen[1].nonzero().flatten().tolist() == [2]
    assert not chosen[2].any()


def test_fewer_candidates_make_fewer_masks():
    candidates = torch.zeros_like(EVERY)
    candidates[0, 3] = candidates[1, 0] = True  # [CLS] cannot be chosen
    chosen = most_important(IDS, torch.zeros(IDS.shape), candidates, VOCABULARY)
    assert chosen.nonzero().tolist() == [[0, 3]]


def test_candidates_rank_by_logit_even_below_zero():
    scores = torch.full(IDS.shape, -5.0)
    scores[0, 7], scores[0, 9] = -1.0, -1e9
    candidates = torch.zeros_like(EVERY)
    candidates[0, [7, 9]] = True
    chosen = most_important(IDS, scores, candidates, VOCABULARY)
    assert chosen[0].nonzero().flatten().tolist() == [7, 9]


def test_the_control_has_as_many_masks_in_every_text_and_hits_all_tokens_alike():
    generator = torch.Generator().manual_seed(0)
    chosen = most_important(IDS, torch.zeros(IDS.shape), EVERY, VOCABULARY, 0.3)
    hits = torch.zeros(IDS.shape)
    for _ in range(2000):
        random = as_many_at_random(IDS, chosen, VOCABULARY, generator)
        assert torch.equal(random.sum(dim=1), chosen.sum(dim=1))
        assert not (random & SPECIAL[IDS]).any()
        hits += random
    share = hits[0, 1:15] / 2000
    assert share.sub(4 / 14).abs().max() < 0.04  # five standard errors


def test_the_choice_is_hidden_as_bert_hides_it():
    generator = torch.Generator().manual_seed(0)
    chosen = most_important(IDS, torch.zeros(IDS.shape), EVERY, VOCABULARY)
    fates = torch.zeros(3)
    for _ in range(2000):
        seen, labels = corrupt(IDS, chosen, VOCABULARY, generator)
        assert torch.equal(labels != -100, chosen)
        assert torch.equal(seen[~chosen], IDS[~chosen])
        now, was = seen[chosen], IDS[chosen]
        fates += torch.stack([(now == MASK_ID).sum(), (now == was).sum(), torch.tensor(len(now))])
    masked, same = fates[:2] / fates[2]
    assert masked == pytest.approx(0.8, abs=0.02)
    assert same == pytest.approx(0.1 + 0.1 / 25, abs=0.02)  # a random token may be the right one


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        most_important(IDS, torch.zeros(3, 5), EVERY, VOCABULARY)
