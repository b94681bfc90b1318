"""What the domains of the recorded studies hold, and what they share with the tasks' test texts.

For each task: its texts and those of its domain, their length in tokens of the shipped vocabulary
(mean of 1,000 at random), how many texts of the domain are near copies of validation or test texts
(the study leaves these out), and how many test texts stand *inside* a text of the domain: half of
their runs of five words, or more, are in it. Whole texts are compared in the search for near
copies, so it does not find those. Test texts of fewer than ten words are not looked for.

    python benchmarks/domain_texts.py acl-arc chemprot
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ulmfit_lib.papers.bert_experiment import load_task
from ulmfit_lib.papers.dont_stop_experiment import SETTINGS
from ulmfit_lib.study.task_study import sample_texts
from ulmfit_lib.text.domains import domain_texts
from ulmfit_lib.text.near_copies import shingles, unlike
from ulmfit_lib.text.tokenizer import encode, load_tokenizer

SAMPLE, RUN, FEWEST = 1000, 5, 6  # texts measured; words of a run; runs of a test text
COLUMNS = "{:>16}{:>12}{:>8}{:>16}{:>8}{:>13}{:>14}"
HEADS = ("task", "test texts", "tokens", "domain's texts", "tokens", "near copies", "inside one")


def mean_tokens(texts: Sequence[str]) -> float:
    """Of a text, over a random sample."""
    return float(
        np.mean([len(ids) for ids in encode(load_tokenizer(), sample_texts(texts, SAMPLE, 0))])
    )


def inside(tested: Sequence[str], texts: Sequence[str]) -> int:
    """How many of ``tested`` have half of their runs of words, or more, in one of ``texts``."""
    runs = [shingles(text, RUN) for text in tested]
    holders = defaultdict(list)
    for i, own in enumerate(runs):
        for run in own if len(own) >= FEWEST else ():
            holders[run].append(i)
    found: set[int] = set()
    for text in texts:
        shared = Counter(i for run in shingles(text, RUN) for i in holders.get(run, ()))
        found |= {i for i, n in shared.items() if n >= len(runs[i]) / 2}
    return len(found)


def report(name: str) -> str:
    """One line for a task."""
    task = load_task(name)
    tested = task.splits["test"].texts
    held_out = [text for split in ("valid", "test") for text in task.splits[split].texts]
    texts = [text for domain in SETTINGS[name].domain for text in domain_texts(domain)]
    return COLUMNS.format(
        name,
        f"{len(tested):,}",
        f"{mean_tokens(tested):.0f}",
        f"{len(texts):,}",
        f"{mean_tokens(texts):.0f}",
        len(texts) - len(unlike(texts, held_out)),
        inside(tested, texts),
    )


def main() -> None:
    """One line for each task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="+", choices=sorted(SETTINGS), metavar="TASK")
    print(COLUMNS.format(*HEADS))
    for name in parser.parse_args().tasks:
        print(report(name), flush=True)


if __name__ == "__main__":
    main()
