"""The Fisher information squares each example's gradient, and only then averages."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from ulmfit_lib.models.encoder import EncoderConfig, MaskedPositionsModel, build_encoder
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import HeldOutSequences
from ulmfit_lib.text.tokenizer import BOS_ID, load_tokenizer
from ulmfit_lib.training.fisher import diagonal_fisher, masked_lm_answers, relative

X = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
W = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)


@pytest.fixture
def regression():
    """Logistic regression as a softmax over (0, x w): its Fisher information is known."""
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(W)
    return model


def answers(model, example):
    x, y = example
    logit = model(x)
    return torch.stack([torch.zeros_like(logit), logit], dim=1)[:, :, 0].log_softmax(dim=1), y


def examples(labels):
    return [(x.unsqueeze(0), y.view(1)) for x, y in zip(X, labels, strict=True)]


P = torch.sigmoid(X @ W)
GOLDEN = (X**2 * (P * (1 - P)).unsqueeze(1)).mean(dim=0)


def test_the_true_fisher_of_logistic_regression_is_known(regression):
    found = diagonal_fisher(regression, examples(torch.zeros(400).long()), answers, "exact")
    torch.testing.assert_close(found["weight"][0], GOLDEN)


def test_drawn_answers_give_it_without_bias(regression):
    labels = torch.zeros(400).long()
    draws = [
        diagonal_fisher(regression, examples(labels), answers, "sampled", seed)["weight"][0]
        for seed in range(8)
    ]
    torch.testing.assert_close(torch.stack(draws).mean(dim=0), GOLDEN, rtol=0.15, atol=0)
    assert not torch.equal(draws[0], draws[1])


def test_the_empirical_fisher_is_another_quantity(regression):
    labels = (torch.arange(400) % 2).long()  # nothing to do with x
    found = diagonal_fisher(regression, examples(labels), answers, "empirical")["weight"][0]
    expected = (X**2 * ((labels - P) ** 2).unsqueeze(1)).mean(dim=0)
    torch.testing.assert_close(found, expected)
    assert (found > 1.3 * GOLDEN).all()


def test_the_square_of_the_mean_gradient_is_a_common_mistake(regression):
    labels = torch.bernoulli(P, generator=torch.Generator().manual_seed(4)).long()
    (log_p, _) = answers(regression, (X, labels))
    loss = log_p.gather(1, labels.unsqueeze(1)).mean()
    (mean_gradient,) = torch.autograd.grad(loss, [regression.weight])
    assert (mean_gradient[0] ** 2 < 0.1 * GOLDEN).all()


def test_it_agrees_with_vmap_of_grad(regression):
    labels = (X[:, 0] > 0).long()

    def likelihood(params, x, y):
        logit = functional_call(regression, params, (x.unsqueeze(0),))
        both = torch.stack([torch.zeros_like(logit), logit], dim=1)[:, :, 0]
        return both.log_softmax(dim=1)[0].gather(0, y.view(1))[0]

    params = {name: p.detach() for name, p in regression.named_parameters()}
    per_example = vmap(grad(likelihood), in_dims=(None, 0, 0))(params, X, labels)
    expected = per_example["weight"].pow(2).mean(dim=0)
    found = diagonal_fisher(regression, examples(labels), answers, "empirical")["weight"]
    torch.testing.assert_close(found, expected)


def test_dropout_is_off_and_the_mode_is_put_back():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1, bias=False)).double().train()
    labels = torch.zeros(400).long()
    first, again = (diagonal_fisher(model, examples(labels), answers, "exact") for _ in range(2))
    assert torch.equal(first["1.weight"], again["1.weight"]) and model.training


def test_an_encoder_has_a_fisher_information_of_its_masks():
    torch.manual_seed(0)
    tokenizer = load_tokenizer()
    model = build_encoder(EncoderConfig(8192, 16, 1, 2, 32, max_length=16))
    tokens = np.array([BOS_ID, *range(300, 380)], dtype=np.uint16)
    sequences = HeldOutSequences(tokens, 16, masking_vocabulary(tokenizer), batch_size=1)
    fisher = diagonal_fisher(MaskedPositionsModel(model), sequences, masked_lm_answers)
    assert {n for n, _ in model.named_parameters()} == {n.removeprefix("model.") for n in fisher}
    assert all((f >= 0).all() for f in fisher.values())
    rest = relative(fisher)
    weights = sum(f.numel() for f in rest.values())
    assert sum(f.sum().item() for f in rest.values()) / weights == pytest.approx(1, rel=1e-3)


def test_nonsense_is_refused(regression):
    with pytest.raises(ValueError, match="kind='true'"):
        diagonal_fisher(regression, [], answers, "true")
    with pytest.raises(ValueError, match="examples is empty"):
        diagonal_fisher(regression, [], answers)
    with pytest.raises(ValueError, match="0 everywhere"):
        relative({"w": torch.zeros(3)})
