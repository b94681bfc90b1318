"""The weights that come with the book: loading them, and the cards that describe them.

Each model is a safetensors file in half precision beside a card (JSON) that
says how it was made, from which text, how good it is, and the SHA-256 of the
weights. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    FINE_TUNING_DROPOUTS,
    AWDLSTMConfig,
    Dropouts,
    LanguageModel,
)
from ulmfit_lib.text.cache import write_atomically
from ulmfit_lib.text.running_text import DamagedFileError
from ulmfit_lib.text.streams import check_direction

SHIPPED_WEIGHTS = Path(__file__).parent / "weights"


def model_name(direction: str) -> str:
    """File name (without ending) of the shipped AWD-LSTM that reads ``direction``.

    Raises:
        ValueError: ``direction`` is neither "forward" nor "backward".
    """
    return f"awd_lstm_{check_direction(direction)}"


def save_language_model(
    model: LanguageModel, card: Mapping[str, Any], name: str, folder: str | Path = SHIPPED_WEIGHTS
) -> Path:
    """Write ``model`` in half precision, and its card with sizes and hash added.

    Args:
        model: the language model.
        card: facts about its making that JSON can say.
        name: file name without ending.
        folder: where both files go.

    Returns:
        The path of the weights.
    """
    halves = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    content = save(halves)
    parameters = sum(v.numel() for v in halves.values())
    path = Path(folder) / f"{name}.safetensors"
    write_atomically(path, content)
    described = {"name": name, "parameters": parameters, "model": vars(model.encoder.config)}
    write_card(path, described | dict(card))
    return path


def write_card(weights: Path, facts: Mapping[str, Any]) -> None:
    """Write the card of the file ``weights`` beside it: its SHA-256, and ``facts``."""
    content = json.dumps({"sha256": _sha256(weights), **facts}, indent=1) + "\n"
    write_atomically(weights.with_suffix(".json"), content.encode())


def add_facts(facts: Mapping[str, Any], path: str | Path) -> None:
    """Add ``facts`` to the card at ``path``, or replace them; its other facts stay as they are.

    Introduced in the chapter *Text and language models*.

    Args:
        facts: that JSON can say.
        path: of the card; the weights lie beside it.
    """
    card = json.loads(Path(path).read_text("utf-8"))
    write_card(Path(path).with_suffix(".safetensors"), card | dict(facts))


def add_held_out(rows: Mapping[str, Mapping[str, Any]], path: str | Path) -> None:
    """Add measurements to the card at ``path``; its other facts stay as they are.

    A row that is there already is replaced if it is of the same text.
    Introduced in the chapter *Text and language models*.

    Args:
        rows: by name; each names the fingerprint of its text, ``corpus``.
        path: of the card.

    Raises:
        ValueError: the card has a row of that name from another text.
    """
    check_row_names(rows, path)
    there = json.loads(Path(path).read_text("utf-8"))["held_out"]
    add_facts({"held_out": there | {name: dict(row) for name, row in rows.items()}}, path)


def check_row_names(rows: Mapping[str, Mapping[str, Any]], path: str | Path) -> None:
    """Refuse rows that would replace measurements on another text.

    Args:
        rows: as :func:`add_held_out` takes them; of each only ``corpus`` is
            read.
        path: of the card.

    Raises:
        ValueError: the card has a row of that name from another text.
    """
    there = json.loads(Path(path).read_text("utf-8"))["held_out"]
    for name, row in rows.items():
        if name in there and there[name].get("corpus") != row["corpus"]:
            raise ValueError(
                f"{path} has a measurement {name!r} on another text: choose another name"
            )


def model_card(name: str, folder: str | Path = SHIPPED_WEIGHTS) -> dict[str, Any]:
    """The card of the model ``name``.

    Args:
        name: file name without ending.
        folder: where the weights are.

    Raises:
        FileNotFoundError: no such model; the message names those there are.
    """
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in Path(folder).glob("*.safetensors"))) or "none"
        raise FileNotFoundError(f"no model {name!r} in {folder} (there: {known})")
    return json.loads(path.read_text("utf-8"))


def weight_hashes(folder: str | Path = SHIPPED_WEIGHTS) -> dict[str, tuple[str, str]]:
    """SHA-256 of every weight file: as it is, and as its card says it should be.

    Args:
        folder: of the weights; those in its sub-folders are named
            "sub-folder/name".
    """
    return {
        path.relative_to(folder).with_suffix("").as_posix(): (
            _sha256(path),
            model_card(path.stem, path.parent)["sha256"],
        )
        for path in sorted(Path(folder).rglob("*.safetensors"))
    }


def intact_weights(name: str, folder: str | Path) -> Path:
    """The file of the weights ``name`` in ``folder``, once it is known to be whole.

    Raises:
        FileNotFoundError: no such weights.
        DamagedFileError: the file is not what its card says.
    """
    card, path = model_card(name, folder), Path(folder) / f"{name}.safetensors"
    if _sha256(path) != card["sha256"]:
        raise DamagedFileError(
            f"{path} is not the file that its card describes: restore both from the repository"
        )
    return path


def load_language_model(
    direction: str = "forward",
    dropouts: Dropouts = FINE_TUNING_DROPOUTS,
    folder: str | Path = SHIPPED_WEIGHTS,
) -> LanguageModel:
    """The pre-trained language model that reads ``direction``, in full precision.

    Introduced in the chapter *Text and language models*.

    Args:
        direction: "forward" or "backward".
        dropouts: probabilities for further training.
        folder: where the weights are.

    Returns:
        The model in training mode, as every new module: ``eval()`` before it is measured.

    Raises:
        ValueError: unknown direction.
        FileNotFoundError: no such weights.
        DamagedFileError: the file is not what its card says.
    """
    name = model_name(direction)
    path = intact_weights(name, folder)
    sizes = AWDLSTMConfig(**model_card(name, folder)["model"])
    model = LanguageModel(AWDLSTM(sizes, dropouts))
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise DamagedFileError(f"{path} is not a safetensors file: {error}") from error
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    return model


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
