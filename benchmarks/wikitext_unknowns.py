"""What "<unk>" costs the shipped AWD-LSTMs on WikiText-2, and what is left without it.

The published file has "<unk>" in the place of every rare word. These models read and predict it as
several sub-words, at a cost that a model with "<unk>" in its vocabulary does not have. Printed are
how many of the tokens belong to it and how dear they are, the perplexity a word with and without
that cost, and beside them what WikiText-2's own word frequencies give, with no model at all.

    python benchmarks/wikitext_unknowns.py wikitext-2/test.txt.xz --train wikitext-2/train.txt.xz
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.text.running_text import read_lines
from ulmfit_lib.text.streams import DIRECTIONS, LMStream, StreamConfig, join_documents
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.text.wikitext import UNKNOWN, WikiText, read_wikitext
from ulmfit_lib.training.held_out import ROWS

BPTT = 70  # tokens read at once


def marked_documents(documents: list[str]) -> Iterator[list[int]]:
    """For each document, 1 for a token of "<unk>" or of the blank before it, 0 for any other."""
    tokenizer = load_tokenizer()
    for text in documents:
        inside = np.zeros(len(text), dtype=bool)
        for found in re.finditer(f" ?{re.escape(UNKNOWN)}", text):
            inside[slice(*found.span())] = True
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        yield [int(inside[a:b].any()) for a, b in offsets]


def costs(model: LanguageModel, read: WikiText, direction: str) -> tuple[np.ndarray, np.ndarray]:
    """Nats of every predicted token, and whether it belongs to "<unk>"; both (N,)."""
    config = StreamConfig(ROWS, BPTT, False, direction)
    tokens = join_documents(encode(load_tokenizer(), read.documents))
    marks = join_documents(list(marked_documents(read.documents)), bos_id=0)
    nats, unknown = [], []
    model.eval()
    model.reset()
    with torch.no_grad():
        for (ids, targets), (_, mark) in zip(
            LMStream(tokens, config), LMStream(marks, config), strict=True
        ):
            logits = model(ids).logits.flatten(0, 1).float()
            nats.append(cross_entropy(logits, targets.flatten(), reduction="none").numpy())
            unknown.append(mark.flatten().numpy() > 0)
    return np.concatenate(nats).astype(np.float64), np.concatenate(unknown)


def report(direction: str, read: WikiText) -> str:
    """One model's line."""
    model = load_language_model(direction)
    nats, unknown = costs(model, read, direction)
    share, words = nats.size / (nats.size + ROWS), read.n_words  # the first of a row is not asked
    whole = math.exp(nats.sum() / (share * words))
    known = math.exp(nats[~unknown].sum() / (share * (words - read.n_unknown)))
    return (
        f"{direction:>8}: {100 * unknown.mean():.1f} % of the tokens belong to {UNKNOWN}, at "
        f"{nats[unknown].mean():.2f} nats each, {nats[unknown].sum() / read.n_unknown:.1f} for one "
        f"{UNKNOWN}; all others {nats[~unknown].mean():.2f} nats each\n"
        f"{'':>10}perplexity a word: {whole:,.0f}; of the known words {known:,.0f}"
    )


def frequencies_alone(train: Path, test: Path) -> float:
    """Perplexity of a word of ``test`` under counts of ``train``, one added to each word's."""
    counts, asked = (
        Counter(w for line in read_lines(path) for w in [*line.split(), "\n"])
        for path in (train, test)
    )
    total = sum(counts.values()) + len(counts | asked)
    nats = sum(n * math.log(total / (counts[word] + 1)) for word, n in asked.items())
    return math.exp(nats / sum(asked.values()))


def main() -> None:
    """Both directions, then the frequencies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("test", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    options = parser.parse_args()
    read = read_wikitext(options.test)
    print(
        f"{read.n_words:,} words, {read.n_unknown:,} of them {UNKNOWN}; torch {torch.__version__}"
    )
    for direction in DIRECTIONS:
        print(report(direction, read), flush=True)
    print(
        f"word frequencies alone: perplexity {frequencies_alone(options.train, options.test):,.0f}"
    )


if __name__ == "__main__":
    main()
