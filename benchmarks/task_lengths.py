"""How much of the texts of the BERT chapter's tasks fits into what its recorded study reads.

For each task: the share of 300 test texts, drawn at random, that are longer than one text of the
encoder, and longer than all the pieces of a hierarchy; and the labels that the paper's sizes take,
of those that there are.

    python benchmarks/task_lengths.py imdb trec6
"""

from __future__ import annotations

import argparse

import numpy as np

from ulmfit_lib.papers.bert_experiment import DOMAINS, LONG, fitting, load_task, sizes
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.task_study import labelled, sample_texts
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.text.truncation import FRAME

SAMPLE = 300  # test texts measured
STUDY = sizes(Scale.LAPTOP)
BODY = STUDY.max_length - FRAME  # tokens of a text that one sequence holds
COLUMNS = "{:>12}{:>19}{:>19}{:>20}"
HEADS = (
    "task",
    f"over {BODY} tokens, %",
    f"over {STUDY.max_pieces} pieces, %",
    "the paper's labels",
)


def report(name: str) -> str:
    """One line for a task."""
    task = load_task(name)
    texts = sample_texts(task.splits["test"].texts, SAMPLE, 0)
    tokens = np.array([len(ids) for ids in encode(load_tokenizer(), texts)])
    labels = labelled(task, "train").labels
    return COLUMNS.format(
        name,
        f"{100 * np.mean(tokens > BODY):.0f}",
        f"{100 * np.mean(tokens > BODY * STUDY.max_pieces):.0f}",
        f"{fitting(sizes(Scale.PAPER), labels).labels:,} of {len(labels):,}",
    )


def main() -> None:
    """One line for each task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="+", choices=sorted([*DOMAINS, LONG]), metavar="TASK")
    print(COLUMNS.format(*HEADS))
    for name in parser.parse_args().tasks:
        print(report(name), flush=True)


if __name__ == "__main__":
    main()
