"""BPT3C: a document's answer is its own, and memory doesn't grow with its length."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.text.data import pad_chunk
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import SentenceEncoder
from fastai.text.models.core import masked_concat_pool as fastai_concat_pool
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    CLASSIFIER_DROPOUTS,
    NO_DROPOUT,
    AWDLSTMConfig,
    Dropouts,
    EncoderOutput,
)
from ulmfit_lib.models.classifier import (
    ClassifierConfig,
    ClassifierOutput,
    LinearBlock,
    TextClassifier,
    average_probabilities,
    classifier_encoder,
    classifier_head,
    pooling_window,
)
from ulmfit_lib.models.pooling import masked_concat_pool
from ulmfit_lib.text.batches import (
    BatchConfig,
    TextDataset,
    TextLoader,
    pad_batch,
)

V, E = 60, 4
SIZES = AWDLSTMConfig(vocab_size=V, embedding_size=E, hidden_size=6, n_layers=2)
SMALL = ClassifierConfig(bptt=7, max_pool_tokens=20, hidden_sizes=(5,))
POOLED = {"atol": 1e-5, "rtol": 0.0}
documents_ = st.lists(
    st.lists(st.integers(5, V - 1), min_size=1, max_size=70), min_size=1, max_size=6
)


def tiny_encoder(dropouts: Dropouts = NO_DROPOUT, seed: int = 0) -> AWDLSTM:
    """An encoder whose states depend strongly on what it reads."""
    torch.manual_seed(seed)
    encoder = AWDLSTM(SIZES, dropouts)
    nn.init.normal_(encoder.embedding.weight, std=2.0)
    return encoder


def tiny_classifier(config: ClassifierConfig = SMALL, seed: int = 0) -> TextClassifier:
    return TextClassifier(tiny_encoder(seed=seed), 3, config).eval()


def pooling_only(config: ClassifierConfig = SMALL) -> TextClassifier:
    """A classifier that answers with the pooled vector (B, 3E) itself."""
    model = tiny_classifier(config)
    model.head = nn.Identity()
    return model.eval()


def document(n: int, seed: int = 0) -> list[int]:
    return torch.randint(5, V, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def last_states(model: TextClassifier, ids: list[int], n: int) -> Tensor:
    """The last ``n`` states (n, E) of a document read in one go, without chunks."""
    return model.encoder(torch.tensor([ids])).raw[0, -n:]


def pool_alone(states: Tensor) -> Tensor:
    return torch.cat([states[-1], states.max(dim=0).values, states.mean(dim=0)])


# A document's answer is its own


@given(documents_)
@settings(max_examples=25)
def test_logits_do_not_depend_on_batch_mates(documents: list[list[int]]) -> None:
    model = tiny_classifier()
    together = model(pad_batch(documents))
    alone = torch.cat([model(pad_batch([ids])) for ids in documents])
    torch.testing.assert_close(together, alone, **POOLED)


@given(documents_, st.integers(1, 30))
@settings(max_examples=25)
def test_logits_do_not_depend_on_the_amount_of_padding(
    documents: list[list[int]], extra: int
) -> None:
    model = tiny_classifier()
    ids = pad_batch(documents)
    padded = nn.functional.pad(ids, (0, extra), value=SIZES.pad_id)
    torch.testing.assert_close(model(padded), model(ids), **POOLED)


@given(documents_, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_logits_follow_the_order_of_the_batch(documents: list[list[int]], random: Any) -> None:
    model = tiny_classifier()
    order = random.sample(range(len(documents)), len(documents))
    shuffled = model(pad_batch([documents[i] for i in order]))
    torch.testing.assert_close(shuffled, model(pad_batch(documents))[order], **POOLED)


@given(documents_, st.integers(1, 80), st.integers(1, 80))
@settings(max_examples=25)
def test_logits_do_not_depend_on_the_chunk_size(
    documents: list[list[int]], bptt: int, window: int
) -> None:
    one_chunk = ClassifierConfig(bptt=100, max_pool_tokens=window)
    chunks = ClassifierConfig(bptt=bptt, max_pool_tokens=window)
    ids = pad_batch(documents)
    torch.testing.assert_close(
        tiny_classifier(chunks)(ids), tiny_classifier(one_chunk)(ids), **POOLED
    )


def test_different_documents_get_different_answers() -> None:
    logits = tiny_classifier()(pad_batch([document(30, seed) for seed in range(8)]))
    distances = torch.cdist(logits, logits)[~torch.eye(8, dtype=torch.bool)]
    assert distances.min() > 100 * POOLED["atol"]  # what the tests above would call different


@given(documents_, st.integers(1, 20), st.integers(1, 50))
@settings(max_examples=25)
def test_exactly_the_last_tokens_of_each_row_are_pooled(
    documents: list[list[int]], bptt: int, window: int
) -> None:
    model = pooling_only(ClassifierConfig(bptt=bptt, max_pool_tokens=window))
    pooled = model(pad_batch(documents))
    expected = [pool_alone(last_states(model, ids, window)) for ids in documents]
    torch.testing.assert_close(pooled, torch.stack(expected), **POOLED)


# The traps of padding and pooling, one by one


def test_trap_1_padding_is_not_averaged_in() -> None:
    """fastai 0.7 took the mean over padding: the same text got other answers in other batches."""
    model = pooling_only()
    short, long = document(4), document(19, seed=1)
    mean = model(pad_batch([short, long]))[0, 2 * E :]
    states = model.encoder(pad_batch([short, long])).raw[0]
    torch.testing.assert_close(mean, states[:4].mean(dim=0), **POOLED)
    assert (mean - states.mean(dim=0)).abs().max() > 1e-2


def test_trap_2_the_last_state_is_that_of_the_last_real_token() -> None:
    """``output[:, -1]`` (fastai 1) is right only when the padding comes first."""
    model = pooling_only()
    short, long = document(4), document(19, seed=1)
    last = model(pad_batch([short, long]))[0, :E]
    states = model.encoder(pad_batch([short, long])).raw[0]
    torch.testing.assert_close(last, states[3], **POOLED)
    assert (last - states[-1]).abs().max() > 1e-2


class Echo(nn.Module):
    """An "encoder" whose output (B, T, 1) is its input: shows which tokens were read."""

    def forward(self, ids: Tensor) -> Tensor:
        return ids.float().unsqueeze(-1)


def tokens_lost_by_fastai(lengths: list[int], chunk: int) -> list[int]:
    """Tokens of each document that fastai's SentenceEncoder replaces by zeros or by others."""
    rows = [torch.arange(100 * n, 100 * n + n) for n in lengths]
    ids = torch.stack([pad_chunk(r, 1, seq_len=chunk, pad_len=max(lengths)) for r in rows])
    outputs, is_padding = SentenceEncoder(chunk, Echo(), pad_idx=1)(ids)
    wrong = (outputs.squeeze(-1) != ids) & ~is_padding
    return wrong.sum(dim=1).tolist()


def tokens_lost_by_ours(lengths: list[int], chunk: int) -> list[int]:
    config = ClassifierConfig(bptt=chunk, max_pool_tokens=1400, return_outputs=True)
    model = tiny_classifier(config)
    documents = [document(n, seed=n) for n in lengths]
    output = model(pad_batch(documents))
    lost = []
    for ids, raw, mask in zip(documents, output.raw, output.mask, strict=True):
        alone = last_states(model, ids, 1400)
        assert mask.sum() == len(alone)
        lost.append(int(((raw[mask] - alone).abs().amax(dim=1) > 1e-5).sum()))
    return lost


@pytest.mark.parametrize(
    ("lengths", "lost"),
    [
        ([100, 90, 75, 40, 20], [0, 0, 0, 0, 20]),
        ([200, 150, 130, 100, 60], [0, 0, 0, 28, 0]),
        ([144, 72, 72], [0, 0, 0]),
    ],
)
def test_trap_3_fastai_loses_tokens_in_mixed_batches_and_this_classifier_none(
    lengths: list[int], lost: list[int]
) -> None:
    assert tokens_lost_by_fastai(lengths, 72) == lost
    assert tokens_lost_by_ours(lengths, 72) == [0] * len(lengths)


def test_trap_3_fastai_answers_zeros_for_a_whole_short_document() -> None:
    lengths = [100, 90, 75, 40, 20]
    torch.manual_seed(0)
    encoder = SentenceEncoder(72, AWD_LSTM(V, E, 6, 2), pad_idx=1).eval()
    rows = [torch.tensor(document(n, seed=n)) for n in lengths]
    ids = torch.stack([pad_chunk(row, 1, seq_len=72, pad_len=100) for row in rows])
    theirs = fastai_concat_pool(*encoder(ids), 72)
    assert (theirs[-1] == 0).all()
    ours = pooling_only(ClassifierConfig(bptt=72))(pad_batch([row.tolist() for row in rows]))
    assert (ours[-1] != 0).all()


@pytest.mark.parametrize("n", [1330, 1399, 1400, 1401, 1469, 1470, 1471, 1540])
def test_trap_off_by_one_at_the_edge_of_the_window(n: int) -> None:
    """1,400 tokens of 1,400, and of 1,470: fastai 0.7 kept 1,330 of both, fastai 2 1,398."""
    model = pooling_only(ClassifierConfig(return_outputs=True))
    ids = document(n)
    output = model(pad_batch([ids, document(30, seed=1)]))
    states = last_states(model, ids, 1400)
    assert output.mask.sum(dim=1).tolist() == [min(n, 1400), 30]
    torch.testing.assert_close(output.logits[0], pool_alone(states), **POOLED)
    torch.testing.assert_close(output.raw[0][output.mask[0]], states, **POOLED)


def test_trap_4_a_document_gets_one_answer_alone_padded_and_in_any_batch() -> None:
    model = tiny_classifier()
    ids = document(33)
    alone = model(pad_batch([ids]))[0]
    for mates in ([document(1)], [document(90, 1), document(5, 2)], [document(33, 3)] * 4):
        for position in range(len(mates) + 1):
            batch = [*mates[:position], ids, *mates[position:]]
            torch.testing.assert_close(model(pad_batch(batch))[position], alone, **POOLED)


def test_trap_5_an_all_padding_row_is_refused() -> None:
    ids = torch.tensor([[4, 7, 8], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"rows \[1\] of ids are all padding"):
        tiny_classifier()(ids)


def test_trap_6_batch_norm_cannot_be_trained_on_one_document() -> None:
    model = tiny_classifier()
    ids = pad_batch([document(9)])
    assert model.eval()(ids).shape == (1, 3)
    with pytest.raises(ValueError, match="BatchNorm can't be trained on one document"):
        model.train()(ids)


@pytest.mark.parametrize("row", [[0, 0, 7, 8], [7, 0, 8, 0]])
def test_padding_before_or_inside_a_text_is_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match="before or inside a text"):
        tiny_classifier()(torch.tensor([[7, 8, 9, 9], row]))


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 0), (1, 2, 3)])
def test_ids_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ids has shape"):
        tiny_classifier()(torch.ones(shape, dtype=torch.long))


# Windows, gradients, memory


@given(st.integers(1, 5_000), st.integers(1, 100), st.integers(1, 2_000))
def test_a_window_starts_on_the_grid_and_ends_with_the_text(n: int, bptt: int, size: int) -> None:
    config = ClassifierConfig(bptt=bptt, max_pool_tokens=size)
    start, skipped, length = (int(t) for t in pooling_window(torch.tensor([n]), config))
    assert start % bptt == 0
    assert 0 <= skipped < bptt
    assert start + length == n
    assert length - skipped == min(n, size)


def token_gradients(config: ClassifierConfig, n: int, of: Callable[[Tensor], Tensor]) -> list[int]:
    """Positions of a document (all tokens different) that a pooled quantity's gradient reaches."""
    model = pooling_only(config)
    ids = list(range(5, 5 + n))
    of(model(pad_batch([ids, document(3)]))[0]).backward()
    gradient = model.encoder.embedding.weight.grad
    assert gradient is not None
    return [i for i in range(n) if gradient[ids[i]].abs().sum() > 0]


def test_the_gradient_reaches_the_window_and_no_further() -> None:
    # 25 tokens, the last 10 pooled: they begin in the chunk of tokens 12 to 15.
    config = ClassifierConfig(bptt=4, max_pool_tokens=10)
    assert token_gradients(config, 25, torch.sum) == list(range(12, 25))


def test_without_carried_gradient_a_state_learns_from_its_own_chunk_only() -> None:
    config = ClassifierConfig(bptt=4, max_pool_tokens=10)
    last_state = slice(0, E)
    assert token_gradients(config, 25, lambda pooled: pooled[last_state].sum()) == [24]
    assert token_gradients(config, 24, lambda pooled: pooled[last_state].sum()) == [20, 21, 22, 23]


def test_with_carried_gradient_a_state_learns_from_the_whole_window() -> None:
    config = ClassifierConfig(bptt=4, max_pool_tokens=10, carry_gradient=True)
    last_state = slice(0, E)
    reached = token_gradients(config, 25, lambda pooled: pooled[last_state].sum())
    assert reached == list(range(12, 25))


def test_carried_gradient_is_the_gradient_of_the_unchunked_encoder() -> None:
    model = pooling_only(ClassifierConfig(bptt=5, max_pool_tokens=100, carry_gradient=True))
    ids = pad_batch([document(23), document(11, seed=1)])
    weights = torch.randn(2, 3 * E, generator=torch.Generator().manual_seed(0))
    (model(ids) * weights).sum().backward()
    chunked = [p.grad for p in model.encoder.parameters()]
    model.zero_grad()
    (masked_concat_pool(model.encoder(ids).raw, ids != 0) * weights).sum().backward()
    for ours, whole in zip(chunked, model.encoder.parameters(), strict=True):
        torch.testing.assert_close(ours, whole.grad, atol=1e-5, rtol=1e-5)


def saved_bytes(model: TextClassifier, ids: Tensor) -> int:
    """Bytes that autograd keeps for the backward pass."""
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        model(ids)
    return total


def test_training_memory_does_not_grow_with_the_document() -> None:
    # The same phase of the chunk grid, so that not even a part of a chunk differs.
    config = ClassifierConfig(bptt=10, max_pool_tokens=50)
    model = TextClassifier(tiny_encoder(CLASSIFIER_DROPOUTS), 3, config).train()
    sizes = [
        saved_bytes(model, pad_batch([document(n), document(n, seed=1)])) for n in (50, 300, 2_000)
    ]
    assert sizes[0] == sizes[1] == sizes[2]
    assert saved_bytes(model, pad_batch([document(2_000), document(50)])) == sizes[0]


def encoder_calls(model: TextClassifier, ids: Tensor) -> list[tuple[int, int, bool]]:
    """(rows, tokens, with graph) of each piece the encoder reads."""
    calls = []
    hook = model.encoder.register_forward_pre_hook(
        lambda _, args: calls.append((*args[0].shape, torch.is_grad_enabled()))
    )
    model(ids)
    hook.remove()
    return calls


def test_chunks_before_the_window_keep_no_graph_and_ended_documents_cost_nothing() -> None:
    model = tiny_classifier(ClassifierConfig(bptt=10, max_pool_tokens=20))
    ids = pad_batch([document(5), document(45), document(20)])
    assert encoder_calls(model, ids) == [
        (1, 10, False),  # the long document's tokens 0 to 19
        (1, 10, False),
        (3, 10, True),  # all three documents' windows, however far apart in their texts
        (2, 10, True),
        (1, 5, True),  # tokens 40 to 44; its window began at token 25
    ]


def test_reading_a_long_document_holds_two_chunks_at_a_time() -> None:
    model = tiny_classifier(ClassifierConfig(bptt=50, max_pool_tokens=1400))
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def watch(_: nn.Module, __: Any, output: EncoderOutput) -> None:
        nonlocal most
        alive.append(weakref.ref(output.raw))
        most = max(most, sum(ref() is not None for ref in alive))

    model.encoder.register_forward_hook(watch)
    with torch.no_grad():
        model(pad_batch([document(5_000)]))
    assert len(alive) == 100
    assert most <= 2


def test_a_document_is_read_from_its_first_token_though_only_its_end_is_pooled() -> None:
    model = tiny_classifier()
    long = document(60)
    changed = [*document(1, seed=9), *long[1:]]
    assert changed != long
    logits = model(pad_batch([long, changed, long]))
    assert logits[0].equal(logits[2])
    # The first token moves the state, however little, at token 40 (the window's first).
    with torch.no_grad():
        states = model.encoder(pad_batch([long, changed])).raw
    assert not states[0, 8].equal(states[1, 8])


def test_mixed_precision_keeps_every_gradient() -> None:
    model = TextClassifier(tiny_encoder(), 3, SMALL).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(pad_batch([document(60), document(9, 1), document(30, 2)])).square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# Parts


def test_the_head_is_batch_norm_dropout_linear_relu() -> None:
    head = classifier_head(12, 7, ClassifierConfig())
    kinds = [[type(part).__name__ for part in block] for block in head]
    assert kinds == [
        ["BatchNorm1d", "Dropout", "Linear", "ReLU"],
        ["BatchNorm1d", "Dropout", "Linear"],
    ]
    assert [block[1].p for block in head] == [0.4, 0.1]
    assert [(block[2].in_features, block[2].out_features) for block in head] == [(12, 50), (50, 7)]


def test_a_linear_block_is_what_its_name_says() -> None:
    torch.manual_seed(0)
    block = LinearBlock(4, 3, dropout=0.5, relu=True).eval()
    nn.init.normal_(block[0].running_mean)
    x = torch.randn(5, 4)
    normalised = (x - block[0].running_mean) / (block[0].running_var + block[0].eps).sqrt()
    expected = (normalised @ block[2].weight.T + block[2].bias).clamp(min=0)
    torch.testing.assert_close(block(x), expected)


def test_the_classifier_encoder_copies_weights_and_takes_its_own_dropouts() -> None:
    language_model = tiny_encoder(Dropouts(0.02, 0.25, 0.2, 0.15, 0.1))
    encoder = classifier_encoder(language_model, drop_mult=0.5)
    assert encoder.dropouts == Dropouts(0.025, 0.2, 0.25, 0.15, 0.0)
    assert language_model.dropouts.weight == 0.2
    for name, weight in language_model.state_dict().items():
        assert encoder.state_dict()[name].equal(weight)
    with torch.no_grad():
        encoder.embedding.weight.zero_()
    assert language_model.embedding.weight.abs().sum() > 0
    with pytest.raises(ValueError, match="not a dropout probability"):
        classifier_encoder(language_model, drop_mult=3)


def test_layer_groups_hold_every_parameter_once_from_the_bottom_up() -> None:
    model = tiny_classifier()
    groups = model.layer_groups()
    assert groups[0] is model.encoder.embedding
    assert groups[1:-1] == list(model.encoder.layers)
    assert groups[-1] is model.head
    grouped = [id(p) for group in groups for p in group.parameters()]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def test_outputs_for_regularisation_are_zero_where_nothing_is_pooled() -> None:
    config = ClassifierConfig(bptt=7, max_pool_tokens=20, return_outputs=True)
    documents = [document(33), document(5, 1), document(14, 2)]
    output = tiny_classifier(config)(pad_batch(documents))
    assert isinstance(output, ClassifierOutput)
    assert output.raw.shape == (*output.mask.shape, E)
    assert output.mask.sum(dim=1).tolist() == [20, 5, 14]
    assert (output.raw[~output.mask] == 0).all()
    without = tiny_classifier(replace(config, return_outputs=False))
    torch.testing.assert_close(output.logits, without(pad_batch(documents)), **POOLED)
    for ids, raw, mask in zip(documents, output.raw, output.mask, strict=True):
        alone = last_states(tiny_classifier(), ids, 20)
        torch.testing.assert_close(raw[mask], alone, **POOLED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bptt": 0}, "bptt=0"),
        ({"max_pool_tokens": 0}, "max_pool_tokens=0"),
        ({"hidden_sizes": (50, 20)}, "each of the 3 linear blocks"),
    ],
)
def test_wrong_configurations_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassifierConfig(**arguments)


def test_wrong_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="n_classes=0"):
        TextClassifier(tiny_encoder(), 0)
    with pytest.raises(ValueError, match=r"dropout=1\.0"):
        TextClassifier(tiny_encoder(), 2, ClassifierConfig(head_dropouts=(1.0, 0.1)))


# Both directions


def test_averaging_probabilities() -> None:
    forward, backward = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    torch.testing.assert_close(average_probabilities(forward, backward), torch.tensor([[0.7, 0.3]]))


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        ([[0.5, 0.5]], [[0.5, 0.5], [1.0, 0.0]], "differ"),
        ([[0.5, 0.5]], [[2.0, 1.0]], "backward holds no probabilities"),
        ([[1.5, -0.5]], [[0.5, 0.5]], "forward holds no probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(
    forward: list[list[float]], backward: list[list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        average_probabilities(torch.tensor(forward), torch.tensor(backward))


# It learns


def test_it_learns_a_task_through_fastai() -> None:
    """Does every fourth token or so say 7? Learnt in a few epochs, by all parts together."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(8, V, (10 + i % 30,), generator=generator) for i in range(96)]
    for ids in rows[::2]:
        ids[torch.rand(len(ids), generator=generator) < 0.25] = 7
    dataset = TextDataset([ids.tolist() for ids in rows], [i % 2 for i in range(len(rows))])
    config = BatchConfig(16)
    loaders = TextLoader(dataset, config, shuffle=True), TextLoader(dataset, config)
    dls = DataLoaders(*loaders, device=torch.device("cpu"))
    model = TextClassifier(tiny_encoder(), 2, ClassifierConfig(bptt=7, head_dropouts=(0.0, 0.0)))
    learn = Learner(dls, model, loss_func=nn.CrossEntropyLoss())
    before = learn.validate()[0]
    with learn.no_logging():
        learn.fit(6, lr=0.01)
    logits, targets = learn.get_preds(act=lambda x: x)
    assert nn.functional.cross_entropy(logits, targets) < 0.6 * before
    assert (logits.argmax(dim=1) == targets).float().mean() > 0.85
