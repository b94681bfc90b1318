"""How hard the embedded tasks are for a bag of words.

TF-IDF + logistic regression by labels per class, what word order adds, what
formatting alone gives away, and what the texts look like. Prints tables in
Markdown. Run from the repository root:

    python benchmarks/pydocs_baselines.py [pydocs|pydocs-roles] [--examples N]

One process, scikit-learn's default single thread; several minutes.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ulmfit_lib.text import pydocs
from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.prose import words

SEEDS = range(5)
LABELS_PER_CLASS = (5, 10, 50, 200, None)  # None: all there are
REGULARIZATION = 10.0  # C of the logistic regression: inverse strength
MARKS = list(".,;:!?()[]{}\"'`*_-=+<>/\\%&#@|~^$")


def bag_of_words(longest: int) -> BaseEstimator:
    """TF-IDF of runs of 1 to ``longest`` words, then logistic regression."""
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, longest), sublinear_tf=True),
        LogisticRegression(C=REGULARIZATION, max_iter=2000),
    )


def formatting_only() -> BaseEstimator:
    """Logistic regression on lengths, marks, digits and capitals: no word is read."""
    return make_pipeline(
        FunctionTransformer(formatting_features),
        StandardScaler(),
        LogisticRegression(C=REGULARIZATION, max_iter=2000),
    )


def formatting_features(texts: Sequence[str]) -> np.ndarray:
    """(texts, features): how long each text is and which marks it holds."""
    rows = [
        [
            len(text),
            len(text.split()),
            sum(c.isdigit() for c in text),
            sum(c.isupper() for c in text),
            len(re.findall(r"\w+_\w+", text)),
            *(text.count(mark) for mark in MARKS),
        ]
        for text in texts
    ]
    return np.log1p(np.array(rows, dtype=float))


def sample(split: Split, per_class: int | None, seed: int) -> tuple[list[str], list[int]]:
    """``per_class`` texts of each class drawn with ``seed``, and their labels."""
    chosen: list[int] = []
    generator = random.Random(seed)
    for label in sorted(set(split.labels)):
        rows = [i for i, other in enumerate(split.labels) if other == label]
        chosen += rows if per_class is None else generator.sample(rows, per_class)
    return [split.texts[i] for i in chosen], [split.labels[i] for i in chosen]


def shuffled(texts: Sequence[str]) -> list[str]:
    """The same words in a random order, text by text."""
    generator = random.Random(0)
    mixed = []
    for text in texts:
        pieces = text.split()
        generator.shuffle(pieces)
        mixed.append(" ".join(pieces))
    return mixed


def scores(
    corpus: Corpus,
    model: Callable[[], BaseEstimator],
    per_class: int | None,
    prepare: Callable[[Sequence[str]], Sequence[str]] = list,
) -> list[tuple[float, float]]:
    """(accuracy, macro-F1) on the test split, one pair per seed."""
    test = corpus.splits["test"]
    found = []
    for seed in SEEDS if per_class else SEEDS[:1]:
        texts, labels = sample(corpus.splits["train"], per_class, seed)
        predicted = model().fit(prepare(texts), labels).predict(prepare(test.texts))
        accuracy = accuracy_score(test.labels, predicted)
        found.append((accuracy, f1_score(test.labels, predicted, average="macro")))
    return found


def with_interval(values: Sequence[float]) -> str:
    """Mean in percent, and half the 95 % interval over the seeds (Student's t)."""
    mean = 100 * statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    error = 100 * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.1f} ± {stats.t.ppf(0.975, len(values) - 1) * error:.1f}"


def print_learning_curves(corpus: Corpus) -> None:
    test = corpus.splits["test"]
    rows: dict[str, tuple[Callable[[], BaseEstimator], Callable]] = {
        "TF-IDF 1-2-grams": (lambda: bag_of_words(2), list),
        "TF-IDF 1-grams": (lambda: bag_of_words(1), list),
        "TF-IDF 1-2-grams, words shuffled": (lambda: bag_of_words(2), shuffled),
        "TF-IDF 1-3-grams": (lambda: bag_of_words(3), list),
        "formatting only": (formatting_only, list),
    }
    largest = max(map(test.labels.count, set(test.labels)))
    accuracy = largest / len(test)
    noise = 100 * 1.96 * (0.25 / len(test)) ** 0.5
    print(f"\nTest texts: {len(test)}; largest class {100 * accuracy:.1f} % of them; ", end="")
    print(f"95 % noise of one accuracy near 50 %: ± {noise:.1f} points\n")
    header = [str(n) if n else "all" for n in LABELS_PER_CLASS]
    for number, measure in enumerate(("accuracy", "macro-F1")):
        print(f"| {measure}, % | " + " | ".join(header) + " |")
        print("|---" * (len(header) + 1) + "|")
        for name, (model, prepare) in rows.items():
            cells = []
            for per_class in LABELS_PER_CLASS:
                found = scores(corpus, model, per_class, prepare)
                cells.append(with_interval([pair[number] for pair in found]))
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        print()


def print_confusions(corpus: Corpus) -> None:
    """Right answers of each class, and what it is most often taken for."""
    texts, labels = sample(corpus.splits["train"], None, 0)
    test = corpus.splits["test"]
    predicted = bag_of_words(2).fit(texts, labels).predict(test.texts)
    print("| class | right, % | most often taken for |\n|---|---|---|")
    for label, name in enumerate(corpus.label_names):
        answers = [p for p, y in zip(predicted, test.labels, strict=True) if y == label]
        others = [p for p in answers if p != label]
        rival = max(set(others), key=others.count)
        share = 100 * answers.count(label) / len(answers)
        print(f"| {name} | {share:.0f} | {corpus.label_names[rival]} ({others.count(rival)}) |")


def print_sizes(corpus: Corpus) -> None:
    print(f"\n## {corpus.name}\n\nfingerprint {corpus.fingerprint}\n")
    print("| split | texts | per class | words | words per text: 5 / 50 / 95 % |")
    print("|---|---|---|---|---|")
    for name, split in corpus.splits.items():
        lengths = [len(words(text)) for text in split.texts]
        low, middle, high = np.percentile(lengths, [5, 50, 95])
        per_class = sorted({split.labels.count(i) for i in split.labels}) if split.labels else "-"
        print(
            f"| {name} | {len(split)} | {per_class} | {sum(lengths):,} | "
            f"{low:.0f} / {middle:.0f} / {high:.0f} |"
        )


def print_examples(corpus: Corpus, count: int) -> None:
    split = corpus.splits["train"]
    generator = random.Random(0)
    for label, name in enumerate(corpus.label_names):
        rows = [t for t, y in zip(split.texts, split.labels, strict=True) if y == label]
        print(f"\n{name}")
        for text in generator.sample(rows, count):
            print(f"- {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["pydocs", "pydocs-roles"])
    parser.add_argument("--examples", type=int, default=0, help="texts to print per class")
    arguments = parser.parse_args()
    corpus = pydocs.load() if arguments.task == "pydocs" else pydocs.roles()
    print_sizes(corpus)
    if arguments.examples:
        print_examples(corpus, arguments.examples)
    print_learning_curves(corpus)
    print_confusions(corpus)


if __name__ == "__main__":
    main()
