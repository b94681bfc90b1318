"""The three stages of *Train No Evil* as one recipe: given weights, chosen masks, fine-tuning.

General pre-training (GenePT) is given. The encoder then reads text of the
task's domain and fills the masks that a policy has chosen (TaskPT), and is
tuned on the task. Every step is a function of
:mod:`ulmfit_lib.papers.selective_masking`. Introduced in the chapter
*Selective masking*.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, tune_encoder
from ulmfit_lib.papers.selective_masking import (
    READING,
    Choice,
    Judging,
    LabellerTuning,
    judge_texts,
    pretrain_on_choice,
    random_choice,
    selective_choice,
    task_lexicon,
    tune_labeller,
)
from ulmfit_lib.training.fine_tuning import Documents
from ulmfit_lib.training.further_pretraining import FurtherPretraining

NONE, SELECTIVE, RANDOM, LEXICON = "none", "selective", "random", "lexicon"
POLICIES = (RANDOM, SELECTIVE, LEXICON)  # which tokens are hidden; NONE leaves the stage out


@dataclass(frozen=True)
class ThreeStages:
    """Settings of the recipe, step by step. Introduced in the chapter *Selective masking*."""

    tuning: EncoderTuning = EncoderTuning()  # of the judging classifier, and of the last stage
    judging: Judging = Judging()
    labelling: LabellerTuning = LabellerTuning()
    reading: FurtherPretraining = READING


def three_stages(
    encoder: PretrainedEncoder,
    documents: Documents,
    labels: Sequence[int],
    n_classes: int,
    domain: Documents,
    policy: str = SELECTIVE,
    config: ThreeStages = ThreeStages(),
    stops: Collection[int] = (),
    seed: int = 0,
) -> EncoderClassifier:
    """A classifier that was pre-trained, has read the domain with chosen masks, and was tuned.

    Source: Gu et al. 2020, section 2. Introduced in the chapter *Selective
    masking*.

    Args:
        encoder: with its general pre-training; left as it is.
        documents: token ids of the task's training texts.
        labels: class of each.
        n_classes: of the task.
        domain: token ids of unlabelled texts.
        policy: NONE or one of POLICIES; all of these have the budget of SELECTIVE.
        config: settings of the steps.
        stops: tokens that are never important, of :func:`stop_ids`.
        seed: of everything random.

    Raises:
        ValueError: an unknown policy, or the labeller calls no token important.
    """
    if policy not in (NONE, *POLICIES):
        raise ValueError(f"policy={policy!r}: give one of {(NONE, *POLICIES)}")

    def tuned(start: PretrainedEncoder) -> EncoderClassifier:
        """The last stage; on the general encoder, the classifier that judges."""
        sizes = documents, labels, n_classes, config.tuning, seed
        return tune_encoder(start.model, *sizes, special=encoder.special)[0]

    if policy == NONE:
        return tuned(encoder)
    task, length = (documents, labels), config.reading.length
    chosen = _important_in(domain, encoder, tuned(encoder), task, config, stops, seed)
    words = task_lexicon(documents, labels, stops) if policy == LEXICON else ()
    choice = hidden_by(policy, domain, chosen, encoder, seed, length, words)
    return tuned(pretrain_on_choice(encoder, domain, choice, config.reading, seed))


def _important_in(
    domain: Documents,
    encoder: PretrainedEncoder,
    judge: EncoderClassifier,
    task: tuple[Documents, Sequence[int]],
    config: ThreeStages,
    stops: Collection[int],
    seed: int,
) -> Choice:
    """The selective choice: a labeller carries over what the judge finds in the task's texts."""
    documents, labels = task
    judging, special = config.judging, encoder.special
    rows, found = judge_texts(judge, documents, labels, judging, stops, None, special)
    marks = [list(each.important) for each in found]
    texts = [documents[i][: len(row)] for i, row in zip(rows, marks, strict=True)]
    labeller, _ = tune_labeller(encoder, texts, marks, config.labelling, seed)
    return selective_choice(labeller, domain, encoder, max_length=config.reading.length)


def hidden_by(
    policy: str,
    documents: Documents,
    chosen: Choice,
    encoder: PretrainedEncoder,
    seed: int = 0,
    max_length: int = 128,
    lexicon: Collection[int] = (),
) -> Choice:
    """Which tokens ``policy`` hides, with the budget of the selective choice, text by text.

    Introduced in the chapter *Selective masking*.

    Args:
        policy: one of POLICIES.
        documents: token ids of the texts to mask.
        chosen: the selective choice.
        encoder: whose vocabulary it is.
        seed: of the draw.
        max_length: tokens of a text, frame included, as of ``chosen``.
        lexicon: of :func:`~ulmfit_lib.papers.selective_masking.task_lexicon`, for LEXICON.
    """
    if policy == SELECTIVE:
        return chosen
    words = lexicon if policy == LEXICON else ()
    return random_choice(documents, chosen, encoder, seed, max_length, words)


def stop_ids(encoder: PretrainedEncoder) -> frozenset[int]:
    """Ids of the tokens that are stop-words, at the start of a text or after a blank.

    The released code compares single word pieces, too. Introduced in the
    chapter *Selective masking*.

    Args:
        encoder: whose vocabulary it is.
    """
    words = [form for word in sorted(ENGLISH_STOP_WORDS) for form in (word, word.capitalize())]
    forms = [f"{before}{word}" for word in words for before in ("", " ")]
    return frozenset(ids[0] for ids in encoder.encode(forms) if len(ids) == 1)
