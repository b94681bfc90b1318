"""Importance of tokens: prefixes of many texts together, against one prefix at a time.

    python benchmarks/token_importance.py
    python benchmarks/token_importance.py --texts 100 --threads 2
    python benchmarks/token_importance.py --bfloat16

The algorithm asks a classifier about one growing prefix of a text after the other. Three ways to do
that with the same tuned classifier, whose judgements are compared:

- the library's: texts side by side, prefixes of like lengths in a batch;
- the released code's: texts side by side, 32 prefixes at once, each padded to 128 tokens;
- a loop, one call for each prefix.

Times are of the processor, since a busy machine lends its clock to others. The number of tokens
that the encoder must read is the same in the first and the last, so their ratio has a limit: the
encoder's own speed in full batches over its speed on one prefix. It is measured, too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ulmfit_lib.models.encoder import load_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, tune_encoder
from ulmfit_lib.study.seeds import few_labels
from ulmfit_lib.study.task_study import LabelledTexts, labelled
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.framing import frame
from ulmfit_lib.text.tokenizer import PAD_ID, encode, load_tokenizer
from ulmfit_lib.training.token_importance import (
    ImportanceConfig,
    TokenImportance,
    class_confidence,
    important_tokens,
)

MAX_LENGTH = 128  # tokens of a text
RELEASED_BATCH = 32  # prefixes at once in the released code
PER_CLASS = 50  # labelled sentences of each class that the classifier learned from
DELTA = ImportanceConfig().delta


def tuned(train: LabelledTexts, n_classes: int) -> EncoderClassifier:
    """A classifier as the chapter has it, so that the prefixes are as long as they would be."""
    shown = train.take(few_labels(train.labels, PER_CLASS, seed=0))
    documents = encode(load_tokenizer(), shown.texts)
    config = EncoderTuning(updates=60)
    model, _ = tune_encoder(load_encoder().bert, documents, shown.labels, n_classes, config)
    return model.eval()


def one_prefix_at_a_time(
    model: EncoderClassifier, documents: Sequence[Sequence[int]], classes: Sequence[int]
) -> list[TokenImportance]:
    """The published loop."""
    found = []
    for ids, label in zip(documents, classes, strict=True):
        whole, buffer = float(_ask(model, ids)[label]), list[int]()
        missing, important = list[float](), list[bool]()
        for token in ids:
            missing.append(whole - float(_ask(model, [*buffer, token])[label]))
            important.append(missing[-1] < DELTA)
            buffer += [] if important[-1] else [token]
        found.append(TokenImportance(tuple(missing), tuple(important)))
    return found


def _ask(model: EncoderClassifier, ids: Sequence[int]) -> Tensor:
    with torch.no_grad():
        return model(torch.tensor([frame(ids, MAX_LENGTH)])).softmax(dim=1)[0]


def side_by_side(
    model: EncoderClassifier,
    documents: Sequence[Sequence[int]],
    classes: Sequence[int],
    bfloat16: bool = False,
) -> list[TokenImportance]:
    """The library's way."""
    confidence = class_confidence(model, MAX_LENGTH, bfloat16=bfloat16)
    return important_tokens(documents, classes, confidence)


def as_released(
    model: EncoderClassifier, documents: Sequence[Sequence[int]], classes: Sequence[int]
) -> list[TokenImportance]:
    """The released code's way to ask: batches of RELEASED_BATCH, padded to MAX_LENGTH."""

    def confidence(texts: Sequence[Sequence[int]], of: Sequence[int]) -> Tensor:
        """Probability (N,) of each text's class."""
        framed = [frame(ids, MAX_LENGTH) for ids in texts]
        ids = torch.tensor([row + [PAD_ID] * (MAX_LENGTH - len(row)) for row in framed])
        with torch.inference_mode():
            logits = torch.cat([model(batch) for batch in ids.split(RELEASED_BATCH)])
        return logits.softmax(dim=1).gather(1, torch.tensor(of)[:, None]).squeeze(1)

    return important_tokens(documents, classes, confidence)


def encoder_speed(model: EncoderClassifier, batch: int, length: int, bfloat16: bool) -> float:
    """Tokens a second of the classifier alone, on ready batches."""
    ids = torch.randint(10, 8000, (batch, length))
    turns = max(3, 6000 // (batch * length))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        model(ids)
        start = time.process_time()
        for _ in range(turns):
            model(ids)
        return turns * batch * length / (time.process_time() - start)


def agreement(a: Sequence[TokenImportance], b: Sequence[TokenImportance]) -> tuple[float, int]:
    """Largest difference of two scores, and tokens judged differently."""
    pairs = [
        (x, y)
        for left, right in zip(a, b, strict=True)
        for x, y in zip(zip(*left, strict=True), zip(*right, strict=True), strict=True)
    ]
    apart = max(abs(x[0] - y[0]) for x, y in pairs)
    return apart, sum(x[1] != y[1] for x, y in pairs)


def prefix_length(found: Sequence[TokenImportance]) -> float:
    """Mean tokens of a question, frame included."""
    asked = []
    for judged in found:
        kept = 0
        for important in judged.important:
            asked.append(kept + 3)
            kept += not important
    return sum(asked) / len(asked)


def main() -> None:
    """Time both, text for text, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=400, help="sentences of pydocs-roles")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="of the library's way alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    task = load("pydocs-roles")
    train = labelled(task, "train")
    model = tuned(train, len(task.label_names))
    documents = [ids[:MAX_LENGTH] for ids in encode(load_tokenizer(), train.texts[: options.texts])]
    classes = train.labels[: options.texts]
    ways = {
        "side by side": partial(side_by_side, bfloat16=options.bfloat16),
        "as released": as_released,
        "one prefix at a time": one_prefix_at_a_time,
    }
    seconds, found = [], []
    for way in ways.values():
        way(model, documents[:3], classes[:3])  # the first calls load kernels
        start = time.process_time()
        found.append(way(model, documents, classes))
        seconds.append(time.process_time() - start)
    tokens = sum(map(len, documents))
    important = 100 * sum(map(sum, (f.important for f in found[0]))) / tokens
    print(
        f"{len(documents)} sentences, {tokens} tokens, {important:.0f} % of them important, "
        f"{options.threads} thread(s)"
    )
    for name, took, theirs in zip(ways, seconds, found, strict=True):
        apart, differ = agreement(found[0], theirs)
        print(
            f"{name:>21}: {took:5.1f} s, {tokens / took:4.0f} tokens a second, the first's time "
            f"times {took / seconds[0]:.1f}; scores differ by {apart:.0e}, {differ} judgements"
        )
    length = round(prefix_length(found[0]))
    many = encoder_speed(model, 256, length, options.bfloat16)
    one = encoder_speed(model, 1, length, False)
    print(
        f"a prefix has {length} tokens on average; the encoder alone reads {many:,.0f} tokens a "
        f"second in batches of 256, {one:,.0f} one prefix at a time: at most {many / one:.1f}"
    )


if __name__ == "__main__":
    main()
