"""Train No Evil: Selective Masking for Task-Guided Pre-Training (Gu et al. 2020).

Three stages instead of two. Between general pre-training (GenePT) and
fine-tuning, the encoder fills masks in text of the task's domain (TaskPT),
and the masks are put where the task's answers hang:

1. a classifier is tuned on the task, and asked which tokens of its training
   texts are important (:func:`judge_texts`),
2. a token labeller learns to tell them (:func:`tune_labeller`), so that text
   without labels can be judged (:func:`selective_choice`),
3. the encoder fills those masks (:func:`pretrain_on_choice`), and is tuned.

The control hides as many tokens of every text at random
(:func:`random_choice`). Introduced in the chapter *Selective masking*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from fastai.data.core import DataLoaders
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder
from ulmfit_lib.models.token_labeller import TokenLabeller
from ulmfit_lib.papers.bert_finetuning import classify
from ulmfit_lib.study.seeds import derive, seed_everything
from ulmfit_lib.text.batches import BatchConfig, TextLoader, pad_batch
from ulmfit_lib.text.framing import frame
from ulmfit_lib.text.masking import IGNORED
from ulmfit_lib.text.selective_masks import (
    RATE,
    ChosenMasks,
    FramedTokenLabels,
    as_many_at_random,
    most_important,
)
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.truncation import FRAME
from ulmfit_lib.training.evaluation import evaluation_mode
from ulmfit_lib.training.fine_tuning import Documents, StepConfig
from ulmfit_lib.training.further_pretraining import (
    FurtherPretraining,
    check_positions,
    read_on,
)
from ulmfit_lib.training.groups import classifier_groups
from ulmfit_lib.training.learner import BFloat16, classifier_learner, fit_stages
from ulmfit_lib.training.schedules import linear_warmup
from ulmfit_lib.training.token_importance import (
    ImportanceConfig,
    TokenImportance,
    class_confidence,
    important_tokens,
    rightly_classified,
    without_stop_words,
)
from ulmfit_lib.training.unfreezing import full

Choice = list[list[bool]]  # for each token of each text: hide it
READING = FurtherPretraining()  # as other further pre-training: so many updates, at that rate
_AT_ONCE = 128  # texts that are judged in one batch


@dataclass(frozen=True)
class Judging:
    """Which texts are judged, and how. Introduced in the chapter *Selective masking*."""

    importance: ImportanceConfig = ImportanceConfig()  # threshold and variants
    share: float = 1.0  # of the rightly classified texts, the surest first
    max_length: int = 128  # tokens of a text, frame included
    batch_tokens: int = 8192  # padded tokens that are in the classifier at once
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them


class Judged(NamedTuple):
    """Texts of a task whose tokens were judged. Introduced in the chapter *Selective masking*."""

    rows: list[int]  # positions of the judged texts in the training set
    # of each of them; of a longer one, of its first tokens, as many as the classifier reads
    found: list[TokenImportance]


@dataclass(frozen=True)
class LabellerTuning:
    """How the token labeller is trained. Introduced in the chapter *Selective masking*."""

    lr_max: float = 5e-4  # of the head; 1e-5 in the released scripts, for BERT-base
    ratio: float = 0.95  # rate of a layer over that of the layer above
    warmup: float = 0.1  # share of the updates during which the rate rises
    updates: int = 100  # optimizer steps, in whole epochs; 10 epochs in the released scripts
    batch_size: int = 32  # texts; 32 in two steps in the released scripts
    max_length: int = 128  # tokens of a text, frame included
    class_weights: tuple[float, float] = (1.0, 3.0)  # of unimportant and important tokens
    weight_decay: float = 0.01  # decoupled, per unit of learning rate
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them


class TokenScores(NamedTuple):
    """How well a labeller tells important tokens. Introduced in the chapter *Selective masking*."""

    precision: float  # share of the tokens called important that are; 1 where none is called so
    recall: float  # share of the important tokens that are called so; 1 where there are none
    share: float  # of all tokens that are called important


def judge_texts(
    classifier: EncoderClassifier,
    documents: Documents,
    labels: Sequence[int],
    config: Judging = Judging(),
    stop_ids: Collection[int] = (),
    given: Documents | None = None,
    special: SpecialTokens = BOOK_TOKENS,
) -> Judged:
    """The important tokens of the texts that ``classifier`` gets right.

    Source: Gu et al. 2020, section 2.2; the released code for stop-words and
    the choice of texts. Introduced in the chapter *Selective masking*.

    Args:
        classifier: tuned on the task.
        documents: token ids of the task's training texts; of each so many are
            judged as ``config.max_length`` leaves room for.
        labels: class of each.
        config: threshold, variants, choice of texts.
        stop_ids: token ids of stop-words, which are never important.
        given: tokens that stand before each text in every question, and are
            not judged: an aspect and ``[SEP]``.
        special: ids of the classifier's special tokens.

    Raises:
        ValueError: documents, labels and what is given differ in number, or a
            share is none.
    """
    most, starts = config.max_length - FRAME, given or [[] for _ in documents]
    pairs = list(zip(starts, documents, strict=True))
    whole = [[*start, *ids][:most] for start, ids in pairs]
    fast, length = config.bfloat16, config.max_length
    probabilities = classify(classifier, whole, length, special=special, bfloat16=fast)
    says = probabilities.argmax(dim=1).tolist()
    sure = probabilities.gather(1, torch.tensor(list(labels))[:, None]).squeeze(1)
    rows = rightly_classified(whole, labels, says, sure, config.share)
    before = [starts[i] for i in rows]
    texts = [list(documents[i][: max(0, most - len(starts[i]))]) for i in rows]
    confidence = class_confidence(
        classifier, length, config.batch_tokens, bfloat16=fast, special=special
    )
    classes = [labels[i] for i in rows]
    found = important_tokens(texts, classes, confidence, config.importance, before)
    return Judged(rows, without_stop_words(texts, found, stop_ids))


def merge_judgements(documents: Documents, important: Choice) -> tuple[Documents, Choice]:
    """Every text once; a token is important where any judgement of its text says so.

    A sentence with opinions on several aspects is judged once for each.
    Source: the released code. Introduced in the chapter *Selective masking*.

    Args:
        documents: token ids of judged texts, with repeats.
        important: the judgement on each token.

    Raises:
        ValueError: they differ in number, or a judgement in length from its text.
    """
    merged: dict[tuple[int, ...], list[bool]] = {}
    for ids, row in zip(documents, important, strict=True):
        known = merged.get(tuple(ids), [False] * len(ids))
        merged[tuple(ids)] = [a or b for a, b in zip(known, row, strict=True)]
    return [list(ids) for ids in merged], list(merged.values())


def tune_labeller(
    encoder: PretrainedEncoder,
    documents: Documents,
    important: Choice,
    config: LabellerTuning = LabellerTuning(),
    seed: int = 0,
    quiet: bool = True,
) -> tuple[TokenLabeller, list[dict[str, float]]]:
    """A token labeller that learns which tokens are important.

    It starts from the general encoder, not from the task's classifier.
    Source: the released code, ``mask_model_pretrain``. Introduced in the
    chapter *Selective masking*.

    Args:
        encoder: the general encoder; copied.
        documents: token ids of judged texts.
        important: the judgement on each token.
        config: rates, updates, weights.
        seed: of the head, the order and dropout.
        quiet: show nothing.

    Returns:
        The labeller and one row per epoch.

    Raises:
        ValueError: fewer than two texts, not one label a token, or more tokens than positions.
    """
    seed_everything(derive(seed, "token labeller"))
    model = _new_labeller(encoder, config)
    train = FramedTokenLabels(documents, important, config.max_length, encoder.special)
    order = BatchConfig(config.batch_size, seed=derive(seed, "batches"))
    few = FramedTokenLabels(documents[:8], important[:8], config.max_length, encoder.special)
    loader = TextLoader(train, order, shuffle=True)
    dls = DataLoaders(loader, TextLoader(few, order), device=next(model.parameters()).device)
    steps = StepConfig(1.0, 0.0, 0.0, (0.9, 0.999), config.weight_decay)
    loss = partial(token_label_loss, weights=config.class_weights)
    learn = classifier_learner(
        model, dls, quiet=quiet, loss_func=loss, metrics=[], **steps.settings()
    )
    learn.add_cbs([BFloat16()] if config.bfloat16 else [])
    epochs = max(1, round(config.updates / len(loader)))
    schedule = partial(linear_warmup, warmup=config.warmup)
    plan = full(len(classifier_groups(model)), epochs, config.lr_max, schedule)
    return model, fit_stages(learn, plan, config.ratio)


def _new_labeller(encoder: PretrainedEncoder, config: LabellerTuning) -> TokenLabeller:
    check_positions(config.max_length, encoder)
    special = encoder.special
    head = EncoderClassifierConfig(pad_id=special.pad_id, sep_id=special.sep_id)
    return TokenLabeller(encoder.model, 2, head)


def token_label_loss(logits: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
    """Weighted mean cross-entropy of the tokens, in nats, computed in 32 bits.

    Introduced in the chapter *Selective masking*.

    Args:
        logits: (B, T, 2).
        labels: (B, T); padding is ``IGNORED``.
        weights: of the two classes.
    """
    weight = torch.tensor(weights, device=logits.device)
    flat = logits.float().flatten(0, 1), labels.flatten()
    return F.cross_entropy(*flat, weight=weight, ignore_index=IGNORED)


def selective_choice(
    labeller: TokenLabeller,
    documents: Documents,
    encoder: PretrainedEncoder,
    rate: float = RATE,
    max_length: int = 128,
    bfloat16: bool = False,
) -> Choice:
    """The tokens that ``labeller`` calls important, the surest first, within the budget of a text.

    A text in which it calls none important gets no mask. Source: the released
    code. Introduced in the chapter *Selective masking*.

    Args:
        labeller: of :func:`tune_labeller`.
        documents: token ids of the texts to mask.
        encoder: whose vocabulary it is.
        rate: largest share of a text's tokens.
        max_length: tokens of a text, frame included; tokens after that are not chosen.
        bfloat16: compute matrix products in bfloat16.

    Raises:
        ValueError: more tokens than the encoder has positions, or ``rate`` is no share.
    """
    check_positions(max_length, encoder)
    device = next(labeller.parameters()).device

    def choose(ids: Tensor) -> Tensor:
        """Within the budget, by the logit of "important"."""
        logits = labeller(ids.to(device)).float().cpu()
        called = logits.argmax(dim=-1) == 1
        return most_important(ids, logits[..., 1], called, encoder.vocabulary, rate)

    with evaluation_mode(labeller), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        return _chosen(documents, encoder, max_length, choose)


def random_choice(
    documents: Documents,
    choice: Choice,
    encoder: PretrainedEncoder,
    seed: int = 0,
    max_length: int = 128,
    lexicon: Collection[int] = (),
) -> Choice:
    """In each text as many tokens as ``choice`` has there, drawn at random.

    With a lexicon its tokens are drawn first, and others where a text has too
    few: the budget is the same. Introduced in the chapter *Selective masking*.

    Args:
        documents: token ids of the texts to mask.
        choice: whose budget is matched, text by text.
        encoder: whose vocabulary it is.
        seed: of the draw.
        max_length: as of ``choice``.
        lexicon: of :func:`task_lexicon`.

    Raises:
        ValueError: ``choice`` is that of other texts: it has more or fewer rows or tokens.
    """
    wanted = torch.tensor(sorted(lexicon), dtype=torch.long)
    generator = torch.Generator().manual_seed(derive(seed, "random masks"))
    framed = FramedTokenLabels(documents, choice, max_length, encoder.special)
    budgets = (framed[i][1] for i in range(len(framed)))

    def choose(ids: Tensor) -> Tensor:
        """As many at random."""
        like = pad_batch([next(budgets) for _ in ids], 0).bool()
        first = torch.isin(ids, wanted)
        return as_many_at_random(ids, like, encoder.vocabulary, generator, first)

    return _chosen(documents, encoder, max_length, choose)


def task_lexicon(
    documents: Documents, labels: Sequence[int], stop_ids: Collection[int] = (), n: int = 300
) -> set[int]:
    """The tokens that say most about the class, by logistic regression on which ones a text has.

    What selective masking must beat to be worth its three models. Introduced
    in the chapter *Selective masking*.

    Args:
        documents: token ids of labelled texts.
        labels: class of each.
        stop_ids: tokens that are left out; the judge leaves the same ones alone.
        n: tokens to keep, at most.

    Raises:
        ValueError: one class only, or no token at all.
    """
    counter = CountVectorizer(analyzer=list, binary=True)
    held = counter.fit_transform([[str(i) for i in ids] for ids in documents])
    weights = np.abs(LogisticRegression(C=1.0, max_iter=1000).fit(held, list(labels)).coef_)
    names = counter.get_feature_names_out()
    best = [int(names[i]) for i in np.argsort(-weights.max(axis=0), kind="stable")]
    return set([token for token in best if token not in stop_ids][:n])


def pretrain_on_choice(
    encoder: PretrainedEncoder,
    documents: Documents,
    choice: Choice,
    config: FurtherPretraining = READING,
    seed: int = 0,
) -> PretrainedEncoder:
    """A copy of ``encoder`` that has filled the chosen masks (TaskPT).

    One text a row, as in the released code; no packing, since a choice
    belongs to its text. Introduced in the chapter *Selective masking*.

    Args:
        encoder: left as it is.
        documents: token ids of the domain's texts.
        choice: which tokens to hide.
        config: updates, rate, batch size, length of a text; its masking is not used.
        seed: of order and masks.

    Raises:
        ValueError: no token is chosen in any text, or a text may be longer than the encoder
            has positions.
    """
    check_positions(config.length, encoder)
    texts = FramedTokenLabels(documents, choice, config.length, encoder.special)
    batches = ChosenMasks(
        texts, encoder.vocabulary, config.batch_size, config.updates, derive(seed, "masks")
    )
    return read_on(encoder, batches, config, seed)[0]


def token_scores(found: Choice, right: Choice) -> TokenScores:
    """Precision and recall of judgements on tokens, over all texts together.

    Introduced in the chapter *Selective masking*.

    Args:
        found: what a labeller says of each token of each text.
        right: what the classifier said.
    """
    pairs = [p for f, r in zip(found, right, strict=True) for p in zip(f, r, strict=True)]
    both = sum(f and r for f, r in pairs)
    called, important = (sum(pair[i] for pair in pairs) for i in (0, 1))
    return TokenScores(
        both / called if called else 1.0,
        both / important if important else 1.0,
        called / max(1, len(pairs)),
    )


def _chosen(
    documents: Documents,
    encoder: PretrainedEncoder,
    max_length: int,
    choose: Callable[[Tensor], Tensor],
) -> Choice:
    """``choose`` on framed batches of ``documents``, without the frame, in their order."""
    found: Choice = []
    for batch in _batches(documents):
        framed = [frame(ids, max_length, special=encoder.special) for ids in batch]
        rows = choose(pad_batch(framed, encoder.special.pad_id))
        for ids, row in zip(batch, rows, strict=True):
            kept = row[1 : 1 + min(len(ids), max_length - 2)].tolist()
            found.append(kept + [False] * (len(ids) - len(kept)))
    return found


def _batches(documents: Documents) -> Iterator[Documents]:
    for start in range(0, len(documents), _AT_ONCE):
        yield documents[start : start + _AT_ONCE]
