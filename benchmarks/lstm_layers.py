"""What can be read from each layer of a frozen AWD-LSTM, and by which pooling?

Logistic regression tells the classes of a task's texts from 50 labels of each, from the embeddings
or the states of one layer, taken at the last token, as the maximum or the mean over the tokens, or
all three side by side (concat pooling). Beside the shipped models stand random weights that read
in the same direction, drawn anew for every draw of labels. Printed is the accuracy in percent with
its interval over draws and test texts.

    python benchmarks/lstm_layers.py trec6 pydocs
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from ulmfit_lib.models.pooling import masked_concat_pool
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.papers.transfer_experiment import PROBE_TOKENS
from ulmfit_lib.study.baselines import linear_probe
from ulmfit_lib.study.seeds import few_labels
from ulmfit_lib.study.statistics import bootstrap
from ulmfit_lib.study.task_study import LabelledTexts, labelled
from ulmfit_lib.text.batches import TextDataset
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.streams import DIRECTIONS
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.training.document_vectors import document_vectors

PER_CLASS, SEEDS, TEST = 50, 5, 1000  # labels of each class, draws of them, test texts at most
POOLINGS = ("last", "maximum", "mean", "all three")
Layers = list[np.ndarray]  # of the embeddings and every layer, (N, 3 H): last, maximum, mean


def layer_states(lstm: AWDLSTM, ids: Tensor) -> Iterator[Tensor]:
    """Embeddings and the states of each layer, (B, T, H)."""
    x = lstm.embedding(ids)
    yield x
    for layer in lstm.layers:
        x, _ = layer(x, None)
        yield x


def read(lstm: AWDLSTM, texts: tuple[str, ...], direction: str) -> Layers:
    """Pooled states of each text, layer by layer."""
    documents = encode(load_tokenizer(), texts)
    dataset = TextDataset(documents, None, direction == "backward", PROBE_TOKENS)
    lstm.eval()

    def pooled(states: Tensor, mask: Tensor) -> Tensor:
        """All layers side by side; ``states`` are the ids."""
        ids = states.squeeze(-1)
        return torch.cat([masked_concat_pool(x, mask) for x in layer_states(lstm, ids)], dim=1)

    vectors = document_vectors(lambda ids: ids.unsqueeze(-1), dataset, pooled).numpy()
    widths = [3 * lstm.config.embedding_size, *(3 * out for _, out in lstm.config.layer_sizes)]
    return np.split(vectors, np.cumsum(widths)[:-1], axis=1)


def views(layer: np.ndarray) -> dict[str, np.ndarray]:
    """The poolings of a layer, (N, H) or (N, 3 H)."""
    return dict(zip(POOLINGS, [*np.split(layer, 3, axis=1), layer], strict=True))


def model_of(shipped: bool, direction: str, seed: int) -> AWDLSTM:
    """The shipped model, or random weights."""
    if shipped:
        return load_language_model(direction).encoder
    torch.manual_seed(seed)
    return AWDLSTM(AWDLSTMConfig())


def report(
    shipped: bool, direction: str, train: LabelledTexts, test: LabelledTexts
) -> Iterator[str]:
    """One line a layer."""
    answers: dict[tuple[int, str], list[list[int]]] = {}
    tested: Layers = []
    for seed in range(SEEDS):
        lstm = model_of(shipped, direction, seed)
        tested = tested if shipped and tested else read(lstm, test.texts, direction)
        shown = train.take(few_labels(train.labels, PER_CLASS, seed))
        for i, layer in enumerate(read(lstm, shown.texts, direction)):
            asked = views(tested[i])
            for name, features in views(layer).items():
                found = linear_probe(features, shown.labels, asked[name])
                answers.setdefault((i, name), []).append(found)
    for i in range(len(tested)):
        told = (bootstrap(test.labels, answers[i, name], seed=0).text() for name in POOLINGS)
        name = f"layer {i}" if i else "embeddings"
        yield f"{name:>12}" + "".join(f"{text:>21}" for text in told)


def main() -> None:
    """One table for each task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.tasks:
        task = load(name)
        train, test = labelled(task, "train"), labelled(task, "test", TEST)
        print(f"{name}, {PER_CLASS} labels of each class, {len(test.texts)} test texts, accuracy %")
        print(f"{'':>12}" + "".join(f"{pooling:>21}" for pooling in POOLINGS))
        for shipped in (True, False):
            for direction in DIRECTIONS:
                print(f"{'shipped' if shipped else 'random'}, {direction}")
                for line in report(shipped, direction, train, test):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
