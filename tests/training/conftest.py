"""Tiny models and texts on which the training tests run in milliseconds."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from fastai.data.core import DataLoaders

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig, Dropouts, LanguageModel
from ulmfit_lib.models.classifier import ClassifierConfig, TextClassifier
from ulmfit_lib.text.batches import BatchConfig, TextDataset, TextLoader
from ulmfit_lib.text.streams import LMStream, StreamConfig

SIZES = AWDLSTMConfig(vocab_size=23, embedding_size=8, hidden_size=12, n_layers=3)
SOME_DROPOUT = Dropouts(0.02, 0.05, 0.05, 0.05, 0.05)


@pytest.fixture
def language_model():
    torch.manual_seed(1)
    return LanguageModel(AWDLSTM(SIZES, SOME_DROPOUT))


@pytest.fixture
def one_layer_model():
    """The only one of these that learns more than frequencies within three epochs."""
    torch.manual_seed(1)
    sizes = AWDLSTMConfig(vocab_size=23, embedding_size=16, n_layers=1)
    return LanguageModel(AWDLSTM(sizes, SOME_DROPOUT))


@pytest.fixture
def make_classifier():
    def make(**config):
        torch.manual_seed(1)
        sizes = {"bptt": 5, "max_pool_tokens": 20, "hidden_sizes": (20,)}
        encoder = AWDLSTM(SIZES, SOME_DROPOUT)
        settings = sizes | {"head_dropouts": (0.1, 0.1)} | config
        return TextClassifier(encoder, 3, ClassifierConfig(**settings))

    return make


@pytest.fixture
def classifier(make_classifier):
    return make_classifier()


@pytest.fixture
def make_stream():
    """Text that counts upwards, so that the next token can be learnt."""

    def make(n_tokens=800, **config):
        tokens = (5 + np.arange(n_tokens) % 7).astype(np.uint16)
        sizes = {"batch_size": 4, "bptt": 10, "random_lengths": False}
        return LMStream(tokens, StreamConfig(**(sizes | config)))

    return make


@pytest.fixture
def lm_dls(make_stream):
    return DataLoaders(make_stream(), make_stream(200), device=torch.device("cpu"))


@pytest.fixture
def classifier_dls():
    """Documents whose class is told by a token: 48 to train on, 15 to validate."""
    rng = np.random.default_rng(0)

    def documents(n):
        labels = [i % 3 for i in range(n)]
        lengths = rng.integers(3, 13, n)
        rows = [
            [int(token) for token in rng.choice([5 + label, 10], length)]
            for label, length in zip(labels, lengths, strict=True)
        ]
        return TextDataset(rows, labels)

    config = BatchConfig(batch_size=8)
    train, valid = (
        TextLoader(documents(48), config, shuffle=True),
        TextLoader(documents(15), config),
    )
    return DataLoaders(train, valid, device=torch.device("cpu"))


KILLED = """
import sys, time
import torch
torch.set_num_threads(1)  # as in the tests: other numbers of threads add in another order
sys.path.insert(0, {tests!r})
from {module} import run
def slowly(line):
    print(line, flush=True)
    time.sleep(0.2)
run(sys.argv[1], report=slowly)
"""


@pytest.fixture
def killed_run(tmp_path):
    """Starts ``run`` of a test module in a process, and kills it after its second segment."""

    def start(module):
        script = KILLED.format(tests=os.path.dirname(__file__), module=module)
        command = [sys.executable, "-c", script, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("segment 2"):
                time.sleep(0.1)
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL
        return tmp_path

    return start
