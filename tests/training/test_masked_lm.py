"""The MLM loss is that of transformers, and every masked token counts once."""

import pytest
import torch

from ulmfit_lib.models.encoder import EncoderConfig, MaskedPositionsModel, build_encoder
from ulmfit_lib.text.masking import IGNORED, MaskedTokens
from ulmfit_lib.text.packing import gather_targets
from ulmfit_lib.text.tokenizer import PAD_ID
from ulmfit_lib.training.masked_lm import masked_lm_loss, score_masked_lm

SIZES = EncoderConfig(30, 16, 1, 2, 32, max_length=10, dropout=0.5)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_encoder(SIZES)


def batch(rows, seed=0):
    """Rows of ten tokens, a few of them masked, the last row half padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 30, (rows, 10), generator=generator)
    ids[-1, 5:] = PAD_ID
    chosen = (torch.rand(ids.shape, generator=generator) < 0.4) & (ids != PAD_ID)
    return MaskedTokens(torch.where(chosen, 3, ids), torch.where(chosen, ids, IGNORED))


def test_the_loss_is_that_of_transformers(model):
    model.eval()
    masked = batch(3)
    ids, positions, targets = gather_targets(masked)
    mask = ids != PAD_ID
    loss = masked_lm_loss(MaskedPositionsModel(model)(ids, positions, mask), targets)
    expected = model(ids, attention_mask=mask, labels=masked.labels).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_nothing_masked_costs_nothing(model):
    ids = torch.full((1, 4), 7)
    nothing = torch.empty(0, dtype=torch.long)
    assert masked_lm_loss(MaskedPositionsModel(model)(ids, nothing), nothing).item() == 0.0


@pytest.mark.parametrize("training", [True, False])
def test_a_score_counts_every_masked_token_once(model, training):
    model.train(training)
    small, large = batch(2, seed=1), batch(6, seed=2)
    network = MaskedPositionsModel(model).train(training)
    score = score_masked_lm(network, [gather_targets(small), gather_targets(large)])
    assert network.training is training
    model.eval()
    nll, right, n = 0.0, 0, 0
    for ids, labels in (small, large):
        logits = model(ids, attention_mask=ids != PAD_ID).logits.detach()[labels != IGNORED]
        wanted = labels[labels != IGNORED]
        nll += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
        right += int((logits.argmax(1) == wanted).sum())
        n += len(wanted)
    assert score.n == n
    assert score.loss == pytest.approx(nll / n, rel=1e-5)
    assert score.accuracy == pytest.approx(right / n)


def test_text_without_masks_is_refused(model):
    with pytest.raises(ValueError, match="no masked token"):
        score_masked_lm(MaskedPositionsModel(model), [])
