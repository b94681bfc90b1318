"""A fine-tuned classifier as a folder: weights, tokenizer, labels, configuration and card.

Nothing in it is pickled, and opening it runs no code: weights are safetensors,
the rest is JSON. The folder appears in one step, whole, and is checked against
its SHA-256 sums when it is opened. Introduced in the chapter *ULMFiT*.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from tokenizers import Tokenizer

from ulmfit_lib.models.awd_lstm import AWDLSTM, NO_DROPOUT, AWDLSTMConfig
from ulmfit_lib.models.classifier import ClassifierConfig, TextClassifier
from ulmfit_lib.text.cache import write_atomically
from ulmfit_lib.text.streams import check_direction
from ulmfit_lib.text.tokenizer import load_tokenizer

FORMAT = "ulmfit_lib text classifier"
VERSION = 1  # of the form of the folder
CONFIG, LABELS, TOKENIZER, CARD = "config.json", "labels.json", "tokenizer.json", "card.json"


class ClassifierFolderError(ValueError):
    """A folder that holds no whole classifier, or that must not be written to.

    Introduced in the chapter *ULMFiT*.
    """


@dataclass(frozen=True)
class SavedClassifier:
    """What a folder holds. Introduced in the chapter *ULMFiT*."""

    classifiers: Mapping[str, TextClassifier]  # by direction, one or two, of the same sizes
    tokenizer: Tokenizer  # the vocabulary of the models
    label_names: tuple[str, ...]  # name of each class
    max_tokens: int | None = None  # last tokens of a document that are read; None: all
    card: Mapping[str, Any] = field(default_factory=dict)  # how it was made, and how good it is


def save_classifier(saved: SavedClassifier, folder: str | Path, overwrite: bool = False) -> Path:
    """Write ``saved`` to ``folder``, in one step.

    All files are written beside it first; then the folder takes its name. A
    process killed at any moment leaves the old folder, the new one, or none.
    Introduced in the chapter *ULMFiT*.

    Args:
        saved: models, vocabulary, labels, card.
        folder: where it goes.
        overwrite: replace a classifier that is there already.

    Returns:
        The folder.

    Raises:
        ClassifierFolderError: ``folder`` holds something, and is no classifier
            or not to be overwritten.
        ValueError: an unknown direction, no name for a class, or two models of
            different configurations.
    """
    target = Path(folder)
    check_target(target, overwrite)
    files = _files_of(saved)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        for name, content in files.items():
            write_atomically(fresh / name, content)
        _swap(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def check_target(folder: str | Path, overwrite: bool = False) -> None:
    """Make sure, before hours of training, that ``folder`` may be written to.

    Introduced in the chapter *ULMFiT*.

    Args:
        folder: where a classifier is to go.
        overwrite: whether another classifier may be replaced.

    Raises:
        ClassifierFolderError: it is a file, holds something that must stay, or lies
            where nothing may be written.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ClassifierFolderError(f"{target} is a file: name a folder")
    _check_room(target)
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / CONFIG).is_file():
        raise ClassifierFolderError(f"{target} holds other files: name a new folder")
    if not overwrite:
        raise ClassifierFolderError(
            f"{target} holds a classifier already: name a new folder, or replace it "
            "(overwrite=True, on the command line --overwrite)"
        )


def _check_room(target: Path) -> None:
    """``target`` and the folders above it that are missing can be made."""
    above = next(path for path in target.absolute().parents if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ClassifierFolderError(
            f"{target} cannot be made, nothing may be written in {above}: name another folder"
        )


def open_classifier(folder: str | Path) -> SavedClassifier:
    """The classifier that :func:`save_classifier` wrote, in evaluation mode.

    Introduced in the chapter *ULMFiT*.

    Raises:
        FileNotFoundError: no such folder.
        ClassifierFolderError: the folder is of another kind or a newer
            version, or a file is missing or damaged; the message names it.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}: 'python -m ulmfit_lib fit' writes one")
    config = _config(path)
    try:
        names = [LABELS, TOKENIZER, *map(weights_name, config["directions"])]
        contents = {name: _whole(path / name, config["sha256"][name]) for name in names}
        labels = tuple(str(name) for name in json.loads(contents[LABELS]))
        models = {
            direction: _model(config, contents[weights_name(direction)], len(labels))
            for direction in config["directions"]
        }
        max_tokens = config["max_tokens"]
        card = json.loads((path / CARD).read_text("utf-8")) if (path / CARD).is_file() else {}
    except ClassifierFolderError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ClassifierFolderError(
            f"{path / CONFIG} or {CARD} is damaged, or does not fit the other files "
            f"({type(error).__name__}: {error}): copy the folder again, or train again"
        ) from error
    return SavedClassifier(models, load_tokenizer(path / TOKENIZER), labels, max_tokens, card)


def weights_name(direction: str) -> str:
    """File name of the model that reads ``direction``.

    Raises:
        ValueError: ``direction`` is neither "forward" nor "backward".
    """
    return f"{check_direction(direction)}.safetensors"


def _files_of(saved: SavedClassifier) -> dict[str, bytes]:
    """File name to content; the configuration, which vouches for the rest, comes last."""
    first = next(iter(saved.classifiers.values()))
    n_classes = first.head[-1][2].out_features  # type: ignore[index]
    if len(saved.label_names) != n_classes:
        raise ValueError(f"{len(saved.label_names)} label names for {n_classes} classes")
    for direction, model in saved.classifiers.items():
        if (model.encoder.config, model.config) != (first.encoder.config, first.config):
            raise ValueError(
                f"the {direction} model has another configuration than the first one, and a folder "
                "holds one: tune both with the same sizes and pooling"
            )
    checked = {LABELS: _json(saved.label_names), TOKENIZER: saved.tokenizer.to_str().encode()}
    for direction, model in saved.classifiers.items():
        tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
        checked[weights_name(direction)] = save_tensors(tensors)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "directions": list(saved.classifiers),
        "encoder": asdict(first.encoder.config),
        "classifier": asdict(first.config),
        "max_tokens": saved.max_tokens,
        "sha256": {name: _digest(content) for name, content in checked.items()},
    }
    return checked | {CARD: _json(saved.card), CONFIG: _json(config)}


def _swap(fresh: Path, target: Path) -> None:
    """Give the fresh folder its name; what was there goes once that has worked."""
    old = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    there = target.exists()
    if there:
        os.replace(target, old)
    try:
        os.replace(fresh, target)
    except OSError:
        if there:
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _config(path: Path) -> dict[str, Any]:
    file = path / CONFIG
    if not file.is_file():
        raise ClassifierFolderError(
            f"{path} has no {CONFIG}: it is no classifier of this library, or not whole"
        )
    try:
        config = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ClassifierFolderError(f"{file} is damaged ({error}): train again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ClassifierFolderError(f"{file} describes no classifier of this library")
    if config.get("version") != VERSION:
        raise ClassifierFolderError(
            f"{file} has version {config.get('version')!r}, this library reads {VERSION}: use the "
            "library that wrote it, or train again"
        )
    return config


def _whole(file: Path, digest: str) -> bytes:
    if not file.is_file():
        raise ClassifierFolderError(f"{file} is missing: copy the whole folder, or train again")
    content = file.read_bytes()
    if _digest(content) != digest:
        raise ClassifierFolderError(
            f"{file} is damaged or was changed: its SHA-256 is not the one in {CONFIG}. Copy the "
            "folder again, or train again"
        )
    return content


def _model(config: Mapping[str, Any], weights: bytes, n_classes: int) -> TextClassifier:
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config["classifier"].items()
    }
    encoder = AWDLSTM(AWDLSTMConfig(**config["encoder"]), NO_DROPOUT)
    model = TextClassifier(encoder, n_classes, ClassifierConfig(**settings))
    model.load_state_dict(load_tensors(weights))
    return model.eval()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
