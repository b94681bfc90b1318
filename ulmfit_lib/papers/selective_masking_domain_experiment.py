"""What the size of the domain is worth, and general text read for as many tokens.

``python -m ulmfit_lib run selective_masking_domain --task mr`` writes its run
record, apart from that of
:mod:`ulmfit_lib.papers.selective_masking_experiment`. Introduced in the chapter
*Selective masking*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder, load_pretrained_encoder
from ulmfit_lib.papers.selective_masking_experiment import (
    MaskingArm,
    MaskingSizes,
    MaskingStudy,
    domains_of,
    fitting,
    masking_task,
    sizes,
)
from ulmfit_lib.papers.three_stages import RANDOM, SELECTIVE
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.seeds import derive
from ulmfit_lib.study.task_study import Curves, LabelledTexts, sample_texts
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.domains import domain_texts
from ulmfit_lib.text.truncation import FRAME
from ulmfit_lib.training.fine_tuning import Documents
from ulmfit_lib.training.further_pretraining import further_pretrain

PART = 4  # the smaller domain has one text in so many
GENERAL = "general"  # the arm that reads on in general text, random masks and no domain
GENERAL_CORPUS = "wikitext-2"
_TRAINING = 3  # forward passes that an update costs: the backward pass is about two


class DomainStudy(MaskingStudy):
    """The study of the domain's size, with an arm that reads general text.

    Introduced in the chapter *Selective masking*.

    Args:
        task: labelled texts with splits "train", "valid" and "test".
        size: how much of it to use.
        encoder: where every arm starts.
        domains: unlabelled texts by name; the selective arm of the first sets the cost.
        general: texts of no domain.
        bfloat16: compute products in bfloat16.
    """

    def __init__(
        self,
        task: Corpus,
        size: MaskingSizes,
        encoder: PretrainedEncoder,
        domains: Mapping[str, Sequence[str]],
        general: Sequence[str],
        bfloat16: bool = False,
    ) -> None:
        super().__init__(task, size, encoder, domains, bfloat16, (RANDOM, SELECTIVE))
        self.arms = {**self.arms, GENERAL: MaskingArm(size.per_class[-1], GENERAL)}
        self.general = encoder.encode(general)

    def tokens_spent(self, shown: LabelledTexts, seed: int) -> float:
        """Tokens that the selective arm sends through the encoder, in forward passes.

        Judging, the labeller, choosing and reading. The classifier that judges
        is left out: it is the arm "none", trained in any case.

        Args:
            shown: the labelled texts.
            seed: the run's seed.
        """
        classifier = self._plain_classifier(shown, seed)
        rows, found = self._judge(classifier, shown)
        given, delta = self.as_read(shown).given, self.judging.importance.delta
        judging = 0
        for row, judged in zip(rows, found, strict=True):
            kept = len(given[row])
            for missing in judged.missing:
                judging += kept + 1 + FRAME  # the buffer, the token, the frame
                kept += missing >= delta
        texts = next(iter(self.domains.values()))
        labelling = self.labelling.updates * self.labelling.batch_size
        reading = self.reading.updates * self.reading.batch_size
        labels, _ = self._judged(classifier, shown)
        trained = labelling * _mean_length(labels) + reading * _mean_length(texts)
        return judging + len(texts) * _mean_length(texts) + _TRAINING * trained

    def _start(
        self, arm: MaskingArm, shown: LabelledTexts, seed: int
    ) -> tuple[PretrainedEncoder, Curves]:
        if arm.policy != GENERAL:
            return super()._start(arm, shown, seed)
        per_update = _TRAINING * self.reading.batch_size * self.reading.length
        updates = max(1, round(self.tokens_spent(shown, seed) / per_update))
        config = replace(self.reading, updates=updates)
        read, _ = further_pretrain(self.encoder, self.general, config, derive(seed, "reading"))
        return read, {"updates": [float(updates)]}


def _mean_length(documents: Documents) -> float:
    """Tokens of a text, frame included."""
    return sum(len(ids) + FRAME for ids in documents) / max(1, len(documents))


def study(task_name: str, scale: Scale) -> DomainStudy:
    """All texts of a task's first domain, a quarter of them, and general text.

    The quarter is read for as many updates, so that each of its texts comes
    back four times as often. General text is WikiText-2, from the data folder or
    the hub. Introduced in the chapter *Selective masking*.

    Args:
        task_name: a task whose domain is known.
        scale: sets the sizes.

    Raises:
        ValueError: no domain is known for the task.
    """
    name, *_ = domains_of(task_name)
    task, encoder = masking_task(task_name), load_pretrained_encoder()
    size = fitting(sizes(scale), task, encoder)
    texts = sample_texts(domain_texts(name), size.texts, seed=0)
    lines = [text for text in domain_texts(GENERAL_CORPUS) if text.strip()]
    general = sample_texts(lines, PART * size.texts, seed=0)  # more updates read more text
    domains = {name: texts, f"{name}/{PART}": texts[: len(texts) // PART]}
    return DomainStudy(task, size, encoder, domains, general, has_fast_bfloat16())
