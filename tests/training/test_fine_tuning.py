"""Fine-tuning by a plan: what reaches the learner, in which order the answers come."""

import pytest
import torch
from fastai.callback.core import Callback

from ulmfit_lib.text.batches import BatchConfig
from ulmfit_lib.text.streams import StreamConfig
from ulmfit_lib.training.fine_tuning import (
    CLASSIFIER_STEPS,
    StepConfig,
    class_probabilities,
    free_order,
    tune_on_documents,
    tune_on_stream,
)
from ulmfit_lib.training.learner import LearningRateLog
from ulmfit_lib.training.schedules import constant
from ulmfit_lib.training.unfreezing import full, last_only

DOCUMENTS = [[5 + i % 3] * (3 + i % 5) for i in range(24)]
LABELS = [i % 3 for i in range(24)]
CUT = StreamConfig(batch_size=3, bptt=6, random_lengths=False)


class Seen(Callback):
    """What the learner trains on."""

    def __init__(self):
        self.batches, self.settings = [], {}

    def before_batch(self):
        if self.training:
            self.batches.append(self.xb[0].tolist())
            self.settings = {**self.opt.hypers[0], "clip": self.learn.gradient_clip.max_norm}
            self.names = {type(cb).__name__ for cb in self.learn.cbs}


def test_a_stream_is_tuned_by_the_plan_with_the_settings(language_model):
    seen, log = Seen(), LearningRateLog()
    plan = full(4, 2, 0.1, constant)
    steps = StepConfig(clip=0.7, betas=(0.8, 0.98), weight_decay=0.01, bfloat16=True)
    rows = tune_on_stream(
        language_model,
        DOCUMENTS,
        plan,
        (0.1, 0.2, 1.0, 0.5),
        CUT,
        order_seed=1,
        steps=steps,
        cbs=[seen, log],
    )
    assert [(row["stage"], row["epoch"]) for row in rows] == [(0, 0), (0, 1)]
    assert log.rates[0] == pytest.approx([0.01, 0.02, 0.1, 0.05])
    assert seen.settings["mom"] == 0.8 and seen.settings["sqr_mom"] == 0.98
    assert seen.settings["wd"] == 0.01 and seen.settings["clip"] == 0.7
    assert "BFloat16" in seen.names
    assert language_model.state is None


def test_the_order_of_the_documents_follows_its_seed(make_classifier, language_model):
    def first_batch(order_seed):
        seen = Seen()
        plan = full(4, 1, 0.0, constant)
        tune_on_stream(language_model, DOCUMENTS, plan, 1.0, CUT, order_seed=order_seed, cbs=[seen])
        return seen.batches[0]

    assert first_batch(1) == first_batch(1) != first_batch(2)


def test_a_classifier_is_tuned_by_a_plan_that_knows_the_batches(make_classifier):
    seen, asked = Seen(), []

    def plan(batches_per_epoch):
        asked.append(batches_per_epoch)
        return last_only(5, 1, 0.02, constant)

    model = make_classifier(return_outputs=True)
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    rows = tune_on_documents(
        model,
        DOCUMENTS,
        LABELS,
        plan,
        0.3,
        BatchConfig(6),
        valid=(DOCUMENTS[:4], LABELS[:4]),
        max_tokens=4,
        steps=StepConfig(clip=3.0, alpha=2.0, beta=1.0),
        cbs=[seen],
    )
    assert asked == [4] and len(seen.batches) == 4 and len(rows) == 1
    assert max(len(row) for batch in seen.batches for row in batch) == 4
    assert "ActivationRegularizer" in seen.names and seen.settings["clip"] == 3.0
    assert all(torch.equal(v, before[k]) for k, v in model.encoder.state_dict().items())


def test_the_backward_model_reads_reversed_documents(classifier):
    seen = Seen()
    documents = [[5, 6, 7, 8]] * 4
    tune_on_documents(
        classifier,
        documents,
        [0, 1, 0, 1],
        lambda n: full(5, 1, 0.0, constant),
        1.0,
        BatchConfig(4),
        direction="backward",
        steps=CLASSIFIER_STEPS,
        cbs=[seen],
    )
    assert [row[1:] for row in seen.batches[0]] == [[8, 7, 6, 5]] * 4


def test_a_mistyped_direction_does_not_read_forward(classifier):
    with pytest.raises(ValueError, match="direction='backwards' must be one of"):
        class_probabilities(classifier, DOCUMENTS, "backwards")


def test_probabilities_come_in_the_order_of_the_documents(classifier):
    together = class_probabilities(classifier, DOCUMENTS, batches=BatchConfig(5, max_tokens=40))
    alone = torch.cat([class_probabilities(classifier, [d]) for d in DOCUMENTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    cut = class_probabilities(classifier, [[5, 6, 7, 8]], max_tokens=3)
    torch.testing.assert_close(cut, class_probabilities(classifier, [[7, 8]]), atol=1e-5, rtol=0)


def test_few_batches_are_shuffled_freely():
    assert free_order(64, 32, 0).pool_batches == 1
    assert free_order(32 * 80, 32, 0).pool_batches == 10
