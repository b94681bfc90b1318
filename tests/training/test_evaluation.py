"""Loss, accuracy and probabilities: every example counted once, and nothing left behind."""

import numpy as np
import pytest
import torch

from ulmfit_lib.text.batches import BatchConfig, TextDataset, TextLoader
from ulmfit_lib.training.evaluation import (
    accuracy,
    classification_loss,
    evaluate,
    evaluation_mode,
    predict_probabilities,
)


def _documents(n=17, seed=0):
    rng = np.random.default_rng(seed)
    rows = [rng.integers(5, 20, length).tolist() for length in rng.integers(1, 30, n)]
    return TextDataset(rows, [i % 3 for i in range(n)])


def test_probabilities_come_in_the_data_sets_order(classifier):
    documents = _documents()
    loader = TextLoader(documents, BatchConfig(batch_size=4))
    probabilities = predict_probabilities(classifier, loader)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(17))
    assert classifier.training
    singly = [(torch.tensor([ids]),) for ids in documents.documents]
    one_by_one = predict_probabilities(classifier, singly)
    torch.testing.assert_close(probabilities, one_by_one, rtol=1e-4, atol=1e-6)


def test_evaluation_counts_every_example_once(classifier):
    documents = _documents()
    loader = TextLoader(documents, BatchConfig(batch_size=4))
    measured = evaluate(classifier, loader)
    probabilities = predict_probabilities(classifier, loader)
    labels = torch.tensor(documents.labels)
    right = (probabilities.argmax(1) == labels).float().mean().item()
    nll = -probabilities.log().gather(1, labels.unsqueeze(1)).mean().item()
    assert measured.n == 17
    assert measured.accuracy == pytest.approx(right)
    assert measured.loss == pytest.approx(nll, rel=1e-5)
    assert measured == evaluate(classifier, loader)


def test_evaluation_refuses_what_it_cannot_count(classifier):
    ids = torch.full((2, 3), 7)
    with pytest.raises(ValueError, match="batches is empty"):
        predict_probabilities(classifier, [])
    with pytest.raises(ValueError, match="1 labels for 3"):
        evaluate(classifier, [(ids[:1], torch.tensor([0])), (ids,)])


def test_evaluation_mode_is_left_even_after_an_error(classifier):
    with pytest.raises(RuntimeError), evaluation_mode(classifier):
        assert not classifier.training and not torch.is_grad_enabled()
        raise RuntimeError
    assert classifier.training and torch.is_grad_enabled()


def test_evaluation_mode_leaves_each_part_as_it_was():
    part = torch.nn.Dropout()
    whole = torch.nn.Sequential(part, torch.nn.Dropout()).eval()
    part.train()  # as an encoder that is being tuned, inside a wrapper that only measures
    with evaluation_mode(whole):
        assert not part.training
    assert part.training and not whole.training and not whole[1].training


def test_loss_and_accuracy_by_hand():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([1, 0])
    expected = (np.log1p(np.exp(2.0)) + np.log(2)) / 2
    assert classification_loss(logits, labels).item() == pytest.approx(expected)
    assert accuracy(logits, labels) == 0.5
