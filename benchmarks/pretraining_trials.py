"""Short pre-training runs that compare one choice each: sizes, habits, vocabularies, precision.

Every trial is a complete run, warm-up and decay to zero included, on the same text. Printed are
its speed, its held-out loss (for an AWD-LSTM also spread over the words, which alone compares
vocabularies), the accuracy of logistic regression on its frozen states (a probe: 50 labels of each
class of a task, mean over draws with the standard error) and how many documents of 64 tokens a
second a classifier of it is fine-tuned on. Losses and accuracies do not depend on what else the
machine does, speeds do. Trials of one group that differ in the seed alone show the noise.

    python benchmarks/pretraining_trials.py encoder-sizes train.txt.xz --valid valid.txt.xz
    python benchmarks/pretraining_trials.py awd-lstm-habits train.txt.xz --valid valid.txt.xz
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import AWDLSTMConfig, Dropouts
from ulmfit_lib.models.classifier import TextClassifier
from ulmfit_lib.models.encoder import EncoderConfig
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.papers.transfer_experiment import mean_states
from ulmfit_lib.study.baselines import linear_probe
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.seeds import few_labels
from ulmfit_lib.study.task_study import labelled
from ulmfit_lib.text.batches import TextDataset
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.masking import MaskingConfig, masking_vocabulary
from ulmfit_lib.text.packing import PackConfig
from ulmfit_lib.text.running_text import read_documents
from ulmfit_lib.text.streams import StreamConfig
from ulmfit_lib.text.token_files import TokenFile, tokenize_files
from ulmfit_lib.text.tokenizer import PAD_ID, encode, load_tokenizer, train_tokenizer
from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig, pretrain_encoder
from ulmfit_lib.training.pretraining import PretrainConfig, pretrain

LENGTH, CLASSES = 128, 6  # tokens of an encoder's sequence; classes of the fine-tuned classifier
PER_CLASS, SEEDS, TEST = 50, 5, 1000  # labels of each class, draws of them, test texts at most
SHIPPED = 8192  # token types of the shipped vocabulary
COLUMNS = "{:>24}{:>8}{:>10}{:>8}{:>8}{:>13}{:>8}"
HEADER = COLUMNS.format("trial", "params", "tokens/s", "loss", "a word", "probe", "docs/s")

States = Callable[[Tensor], Tensor]  # ids (B, T) to hidden states (B, T, H)
FAST = has_fast_bfloat16()
ENCODER = MLMPretrainConfig(
    model=EncoderConfig.of_width(256, 4, LENGTH), packing=PackConfig(16, LENGTH), bfloat16=FAST
)
# A hundredth of warm-up, as in a long run, is too few steps here: the loss gets stuck.
AWD_LSTM = PretrainConfig(warmup=0.1, stream=StreamConfig(batch_size=16), bfloat16=FAST)


def encoder_of(n_layers: int, width: int) -> MLMPretrainConfig:
    """An encoder of another size."""
    return replace(ENCODER, model=EncoderConfig.of_width(width, n_layers, LENGTH))


def lstm_of(lr: float = AWD_LSTM.lr_max, **sizes: int) -> PretrainConfig:
    """An AWD-LSTM of another size or rate."""
    return replace(AWD_LSTM, lr_max=lr, model=AWDLSTMConfig(**sizes))


GROUPS: dict[str, dict[str, MLMPretrainConfig | PretrainConfig]] = {
    "encoder-sizes": {
        "4 x 256, as shipped": ENCODER,
        "4 x 256, from random": replace(ENCODER, start=None),
        "4 x 256, counts alone": replace(ENCODER, lr_max=0.0),
        "6 x 192": encoder_of(6, 192),
        "2 x 384": encoder_of(2, 384),
    },
    "encoder-habits": {
        "as shipped": ENCODER,
        "another seed": replace(ENCODER, seed=1),
        "float32": replace(ENCODER, bfloat16=False),
        "dropout 0.1": replace(ENCODER, model=replace(ENCODER.model, dropout=0.1)),
        "15 % masked throughout": replace(ENCODER, first_rate=0.15),
        "30 % masked throughout": replace(ENCODER, masking=MaskingConfig(rate=0.3)),
        "whole words masked": replace(ENCODER, masking=MaskingConfig(whole_words=True)),
    },
    "awd-lstm-sizes": {
        "192/320/3, as shipped": AWD_LSTM,
        "192/320/2": lstm_of(n_layers=2),
        "192/320/2, rate 0.004": lstm_of(4e-3, n_layers=2),
        "192/320/2, rate 0.001": lstm_of(1e-3, n_layers=2),
        "256/512/2": lstm_of(embedding_size=256, hidden_size=512, n_layers=2),
    },
    "awd-lstm-habits": {
        "as shipped": AWD_LSTM,
        "another seed": replace(AWD_LSTM, seed=1),
        "float32": replace(AWD_LSTM, bfloat16=False),
        "a fifth of the dropout": replace(AWD_LSTM, dropouts=Dropouts().scaled(0.2)),
        "4,096 token types": lstm_of(vocab_size=4096),
        "16,384 token types": lstm_of(vocab_size=16_384),
    },
}


@dataclass(frozen=True)
class Text:
    """What a trial reads, in its vocabulary."""

    tokenizer: Tokenizer
    train: TokenFile
    valid: TokenFile


@dataclass(frozen=True)
class Trained:
    """A model after its trial."""

    n_parameters: int
    tokens_per_second: float
    loss: float  # held-out
    states: States
    classifier: nn.Module
    framed: bool  # whether it reads [CLS] and [SEP] around a text


def read_text(vocab_size: int, files: list[Path], valid: Path) -> Text:
    """The text in the shipped vocabulary, or in one of ``vocab_size`` learned from it."""
    if vocab_size == SHIPPED:
        tokenizer = load_tokenizer()
    else:
        tokenizer = train_tokenizer(read_documents(files[0]), vocab_size)
    return Text(tokenizer, tokenize_files(files, tokenizer), tokenize_files([valid], tokenizer))


def trained(config: MLMPretrainConfig | PretrainConfig, updates: int, text: Text) -> Trained:
    """The model of ``config`` after ``updates`` batches."""
    config = replace(config, updates=updates, segment=updates, horizon=updates)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(config, MLMPretrainConfig):
            return _encoder(config, text, folder)
        return _awd_lstm(config, text, folder)


def _encoder(config: MLMPretrainConfig, text: Text, folder: str) -> Trained:
    vocabulary = masking_vocabulary(text.tokenizer)
    model, progress = pretrain_encoder(
        config, text.train, text.valid, vocabulary, folder, lambda _: None
    )
    bert, row = model.bert.eval(), progress.history[-1]

    def states(ids: Tensor) -> Tensor:
        """The last layer's."""
        return bert(ids, attention_mask=ids != PAD_ID).last_hidden_state

    size, speed = model.num_parameters(), row["tokens"] / row["seconds"]
    classifier = EncoderClassifier(bert, CLASSES)
    return Trained(size, speed, row["valid_loss"], states, classifier, framed=True)


def _awd_lstm(config: PretrainConfig, text: Text, folder: str) -> Trained:
    model, progress = pretrain(config, text.train, text.valid, folder, lambda _: None)
    lstm, row = model.encoder.eval(), progress.history[-1]

    def states(ids: Tensor) -> Tensor:
        """The last layer's."""
        return lstm(ids).raw

    size, speed = sum(p.numel() for p in model.parameters()), row["tokens"] / row["seconds"]
    classifier = TextClassifier(lstm, CLASSES)
    return Trained(size, speed, row["valid_loss"], states, classifier, framed=False)


def probe(model: Trained, task_name: str, tokenizer: Tokenizer) -> str:
    """Accuracy of logistic regression on frozen states: mean over draws, standard error."""
    task = load(task_name)
    train, test = labelled(task, "train"), labelled(task, "test", TEST)

    def read(texts: tuple[str, ...]) -> np.ndarray:
        """Mean state of each text."""
        documents = encode(tokenizer, texts)
        framed = FramedDataset(documents, LENGTH)
        dataset = framed if model.framed else TextDataset(documents, max_tokens=LENGTH)
        return mean_states(model.states, dataset).numpy()

    tested, right = read(test.texts), []
    for seed in range(SEEDS):
        shown = train.take(few_labels(train.labels, PER_CLASS, seed))
        right.append(
            np.mean(np.equal(linear_probe(read(shown.texts), shown.labels, tested), test.labels))
        )
    error = np.std(right, ddof=1) / SEEDS**0.5
    return f"{100 * np.mean(right):.1f} +- {100 * error:.1f}"


def fine_tuning_speed(model: nn.Module, rounds: int = 5) -> float:
    """Documents of 64 tokens per second, training a classifier in batches of 32; best of many."""
    optimizer = torch.optim.AdamW(model.train().parameters())
    ids, labels = torch.randint(5, 4000, (32, 64)), torch.randint(0, CLASSES, (32,))
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=FAST):
            logits = model(ids)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        best = max(best, len(ids) / (time.perf_counter() - start))
    return best


def frequencies_alone(text: Text) -> float:
    """Loss of a held-out token under the training text's counts, one added to each."""
    size = text.tokenizer.get_vocab_size()
    counts = np.bincount(text.train.tokens, minlength=size) + 1
    return float(-np.log(counts / counts.sum())[text.valid.tokens].mean())


def report(
    name: str, config: MLMPretrainConfig | PretrainConfig, updates: int, text: Text, task: str
) -> str:
    """Run a trial and say what came out."""
    model = trained(config, updates, text)
    causal = isinstance(config, PretrainConfig)
    per_word = model.loss * len(text.valid.tokens) / text.valid.n_words
    return COLUMNS.format(
        name,
        f"{model.n_parameters / 1e6:.1f}M",
        f"{model.tokens_per_second:,.0f}",
        f"{model.loss:.3f}",
        f"{per_word:.3f}" if causal else "",
        probe(model, task, text.tokenizer),
        f"{fine_tuning_speed(model.classifier):.0f}",
    )


def main() -> None:
    """One line for each trial of a group."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("group", choices=sorted(GROUPS))
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--task", default="pydocs-roles", help="of the probe")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="TRIAL", help="of the group, by name")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = read_text(SHIPPED, options.files, options.valid)
    print(
        f"{options.group}, {options.updates} updates each, {options.threads} thread(s), probe on "
        f"{options.task}, torch {torch.__version__}\n"
        f"token frequencies alone: loss {frequencies_alone(text):.3f}\n{HEADER}"
    )
    trials = GROUPS[options.group]
    unknown = sorted(set(options.only or ()) - set(trials))
    if unknown:
        parser.error(f"no trial {', '.join(unknown)} in {options.group}: {', '.join(trials)}")
    for name in options.only or trials:
        config = trials[name]
        size = config.model.vocab_size
        own = text if size == SHIPPED else read_text(size, options.files, options.valid)
        print(report(name, config, options.updates, own, options.task), flush=True)


if __name__ == "__main__":
    main()
