"""Importance of tokens: prefixes of many texts together, against one prefix at a time.

    python benchmarks/token_importance.py
    python benchmarks/token_importance.py --texts 100 --threads 2
    python benchmarks/token_importance.py --bfloat16

The published algorithm asks a classifier about one growing prefix after the other. The loop below
does that, a call per prefix; the library reads the texts side by side. Both judge the same
sentences with the same weights, and their judgements are compared. Times are of the processor,
since a busy machine lends its clock to others.

The number of tokens that the encoder must read is the same in both, so the ratio has a limit: the
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
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.framing import frame
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.training.token_importance import (
    ImportanceConfig,
    TokenImportance,
    class_confidence,
    important_tokens,
)

MAX_LENGTH = 128  # tokens of a text
DELTA = ImportanceConfig().delta


def sharpened(model: EncoderClassifier, documents: Sequence[Sequence[int]]) -> EncoderClassifier:
    """``model`` with a head that tells texts apart, as a tuned one does: both loops take turns."""
    torch.manual_seed(0)
    with torch.no_grad():
        model.head.weight.normal_(std=1.0)
        logits = torch.cat([model(torch.tensor([frame(ids, MAX_LENGTH)])) for ids in documents])
        model.head.bias.copy_(-logits.mean(dim=0))
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
    parser.add_argument("--texts", type=int, default=200, help="sentences of pydocs-roles")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="of the library's way alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    split = load("pydocs-roles").splits["train"]
    assert split.labels is not None
    documents = [ids[:MAX_LENGTH] for ids in encode(load_tokenizer(), split.texts[: options.texts])]
    classes = [int(label) for label in split.labels[: options.texts]]
    model = sharpened(EncoderClassifier(load_encoder().bert, 6), documents[:50])
    seconds, found = [], []
    fast = partial(side_by_side, bfloat16=options.bfloat16)
    for way in (fast, one_prefix_at_a_time):
        way(model, documents[:3], classes[:3])  # the first calls load kernels
        start = time.process_time()
        found.append(way(model, documents, classes))
        seconds.append(time.process_time() - start)
    tokens = sum(map(len, documents))
    apart, differ = agreement(*found)
    print(f"{len(documents)} sentences, {tokens} tokens, {options.threads} thread(s)")
    for name, took in zip(("side by side", "one prefix at a time"), seconds, strict=True):
        print(f"{name:>21}: {took:6.1f} s, {tokens / took:7.0f} tokens a second")
    important = sum(map(sum, (f.important for f in found[0]))) / tokens
    print(
        f"ratio {seconds[1] / seconds[0]:.1f}; scores differ by {apart:.1e} at most; "
        f"{differ} tokens judged differently; {100 * important:.0f} % important"
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
