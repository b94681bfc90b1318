"""Do the models know which words praise? A test of why a bag of words beats them on reviews.

A word tells in MR if it stands in good training sentences clearly oftener than in bad ones, or the
other way round. If a model's vector of the word says which of the two, a linear model that knows
other words' answers can tell this one's. Printed is the share of words that it gets right, from

- the vectors of the models that come with the book, and random ones;
- vectors that come from counting alone, over Wikipedia and over reviews: what text of this kind
  and amount could teach;
- the encoder after reading on: reviews, and as a control as much of Wikipedia.

Then MR itself, from 200 labels of each class, by the encoder as shipped, by those that have read
on, and by TF-IDF. Needs MR, its domains' corpora and Wikipedia in ULMFIT_LIB_DATA.

    python benchmarks/word_polarity.py wikipedia-2015/train-0*.txt.xz --updates 300
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ulmfit_lib.models.pooling import masked_mean
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder, load_pretrained_encoder
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, classify, tune_encoder
from ulmfit_lib.papers.selective_masking_experiment import DOMAINS
from ulmfit_lib.papers.transfer_experiment import ENCODER_LR
from ulmfit_lib.study.baselines import tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.seeds import few_labels
from ulmfit_lib.study.statistics import contrast
from ulmfit_lib.study.task_study import LabelledTexts, labelled
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.domains import domain_texts
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.streams import join_documents
from ulmfit_lib.text.token_files import tokenize_files
from ulmfit_lib.text.tokenizer import PAD_ID, encode, load_tokenizer
from ulmfit_lib.training.document_vectors import document_vectors
from ulmfit_lib.training.encoder_start import token_vectors
from ulmfit_lib.training.further_pretraining import FurtherPretraining, further_pretrain

TASK, TFIDF, PER_CLASS = "mr", "TF-IDF", 200
SHIPPED = "encoder as shipped"
SIZE = 256  # of random and counted vectors, as of the encoder's
LEAST, Z = 8, 2.0  # texts that a word stands in; standard errors between its classes
WINDOW = 4  # tokens to either side that count as near
LENGTH = 128  # tokens of a text


def telling_words(examples: LabelledTexts) -> dict[str, int]:
    """Words that stand clearly oftener in texts of one class, and that class: 0 or 1."""
    found = Counter[str](), Counter[str]()
    for text, label in zip(examples.texts, examples.labels, strict=True):
        found[label].update({w for w in text.lower().split() if w.isalpha()})
    often = sorted(w for w, n in (found[0] + found[1]).items() if n >= LEAST)
    bad, good = (np.array([found[c][w] + 0.5 for w in often]) for c in (0, 1))
    z = np.log(good / bad) / np.sqrt(1 / good + 1 / bad)
    return {w: int(of_word > 0) for w, of_word in zip(often, z, strict=True) if abs(of_word) >= Z}


def embedded(vectors: np.ndarray, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Mean vector of each word's tokens."""
    return np.stack([vectors[list(tokens)].mean(axis=0) for tokens in ids])


def states(encoder: PretrainedEncoder, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Mean state of each word, read alone, in the encoder's last layer."""

    def read(batch: torch.Tensor) -> torch.Tensor:
        """States of framed words."""
        return encoder.model(batch, attention_mask=batch != PAD_ID).last_hidden_state

    return document_vectors(read, FramedDataset(ids, LENGTH), masked_mean).numpy()


def told(vectors: np.ndarray, truth: np.ndarray) -> str:
    """Share of words whose class the other words' classes tell, with an interval over words."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    folds = KFold(10, shuffle=True, random_state=0)
    right = cross_val_predict(model, vectors, truth, cv=folds) == truth
    drawn = np.random.default_rng(0).choice(right, size=(2000, len(right))).mean(axis=1)
    low, high = 100 * np.quantile(drawn, [0.025, 0.975])
    return f"{100 * right.mean():.1f} [{low:.1f}, {high:.1f}]"


def input_vectors(encoder: PretrainedEncoder) -> np.ndarray:
    """The encoder's vectors of its tokens, (V, H)."""
    return encoder.model.get_input_embeddings().weight.detach().numpy()


def after_reading(
    encoder: PretrainedEncoder, documents: Sequence[Sequence[int]], updates: int
) -> PretrainedEncoder:
    """The encoder after ``updates`` batches of ``documents``."""
    config = FurtherPretraining(updates, bfloat16=has_fast_bfloat16())
    return further_pretrain(encoder, documents, config)[0]


def answers(
    encoder: PretrainedEncoder, shown: LabelledTexts, test: LabelledTexts, seed: int
) -> list[int]:
    """Classes of the test texts, by the encoder tuned as in the study of transfer."""
    tuning = EncoderTuning(lr_max=ENCODER_LR, updates=90, bfloat16=has_fast_bfloat16())
    documents = encoder.encode(shown.texts)
    model, _ = tune_encoder(encoder.model, documents, shown.labels, 2, tuning, seed)
    said = classify(model, encoder.encode(test.texts), LENGTH, bfloat16=tuning.bfloat16)
    return said.argmax(dim=1).tolist()


def accuracies(
    train: LabelledTexts, test: LabelledTexts, encoders: dict[str, PretrainedEncoder], seeds: int
) -> list[str]:
    """Accuracy of each way, and its difference from TF-IDF's, with intervals."""
    said: dict[str, list[list[int]]] = {name: [] for name in (*encoders, TFIDF)}
    for seed in range(seeds):
        shown = train.take(few_labels(train.labels, PER_CLASS, seed))
        said[TFIDF].append(tfidf_logistic_regression(shown.texts, shown.labels, test.texts))
        for name, encoder in encoders.items():
            said[name].append(answers(encoder, shown, test, seed))
    lines = []
    for name, of_seeds in said.items():
        line = f"{name:>42}: {contrast(test.labels, [of_seeds], [1], seed=0).text()}"
        if name != TFIDF:
            apart = contrast(test.labels, [of_seeds, said[TFIDF]], [1, -1], seed=0)
            line += f"; over TF-IDF {apart.text(sign=True)}"
        lines.append(line)
    return lines


def counted(tokens: np.ndarray, special: np.ndarray) -> np.ndarray:
    """Vectors (V, SIZE) that come from counting neighbours."""
    return token_vectors(tokens, special, SIZE, WINDOW)


def compared(
    words: Sequence[Sequence[int]],
    encoders: dict[str, PretrainedEncoder],
    wikipedia: np.ndarray,
    reviews: np.ndarray,
) -> dict[str, np.ndarray]:
    """The vectors of ``words``, by where they come from."""
    special, n = encoders[SHIPPED].vocabulary.special.numpy(), len(reviews)
    of_tokens = {
        "random vectors": np.random.default_rng(0).standard_normal((len(special), SIZE)),
        "forward AWD-LSTM, input vectors": load_language_model("forward")
        .encoder.embedding.weight.detach()
        .numpy(),
        f"counted, {n / 1e6:.1f}M tokens of Wikipedia": counted(wikipedia[:n], special),
        f"counted, {len(wikipedia) / 1e6:.1f}M tokens of Wikipedia": counted(wikipedia, special),
        f"counted, {n / 1e6:.1f}M tokens of reviews": counted(reviews, special),
    }
    found = {name: embedded(vectors, words) for name, vectors in of_tokens.items()}
    for name, encoder in encoders.items():
        found[f"{name}, input vectors"] = embedded(input_vectors(encoder), words)
        found[f"{name}, last layer"] = states(encoder, words)
    return found


def report_words(
    train: LabelledTexts,
    encoders: dict[str, PretrainedEncoder],
    wikipedia: np.ndarray,
    reviews: np.ndarray,
    updates: int,
) -> None:
    """How many telling words each kind of vector tells rightly."""
    telling = telling_words(train)
    words = encode(load_tokenizer(), [f" {w}" for w in telling])
    truth = np.array(list(telling.values()))
    whole = 100 * np.mean([len(tokens) == 1 for tokens in words])
    print(
        f"{len(words)} telling words of {TASK}, {whole:.0f} % of them one token, "
        f"{100 * truth.mean():.0f} % good; {updates} updates of reading on\n"
        "words told rightly, %"
    )
    for name, vectors in compared(words, encoders, wikipedia, reviews).items():
        print(f"{name:>42}: {told(vectors, truth)}", flush=True)


def main() -> None:
    """The words, then the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="of Wikipedia")
    parser.add_argument("--updates", type=int, default=300, help="of reading on")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task, encoder = load(TASK), load_pretrained_encoder()
    train, test = labelled(task, "train"), labelled(task, "test")
    wikipedia = tokenize_files(options.files, load_tokenizer()).tokens
    reviews = encoder.encode([text for name in DOMAINS[TASK] for text in domain_texts(name)])
    joined = join_documents(reviews).astype(np.uint16)
    pieces = [piece.tolist() for piece in np.array_split(wikipedia[: len(joined)], len(reviews))]
    encoders = {
        SHIPPED: encoder,
        "encoder after reviews": after_reading(encoder, reviews, options.updates),
        "encoder after Wikipedia": after_reading(encoder, pieces, options.updates),
    }
    report_words(train, encoders, wikipedia, joined, options.updates)
    print(f"{TASK}, {PER_CLASS} labels of each class, {len(test.texts)} test texts: accuracy, %")
    print(*accuracies(train, test, encoders, options.seeds), sep="\n")


if __name__ == "__main__":
    main()
