"""A classifier's folder comes back whole, or is refused with the file that is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from ulmfit_lib.models import classifier_folder
from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from ulmfit_lib.models.classifier import ClassifierConfig, TextClassifier
from ulmfit_lib.models.classifier_folder import (
    ClassifierFolderError,
    SavedClassifier,
    check_target,
    open_classifier,
    save_classifier,
)
from ulmfit_lib.text.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["a few words"], vocab_size=270)


def model(seed: int = 0) -> TextClassifier:
    torch.manual_seed(seed)
    sizes = AWDLSTMConfig(TOKENIZER.get_vocab_size(), 4, 6, 2)
    return TextClassifier(AWDLSTM(sizes), 2, ClassifierConfig(bptt=5, hidden_sizes=(7,))).eval()


def saved(seed: int = 0) -> SavedClassifier:
    both = {"forward": model(seed), "backward": model(seed + 1)}
    return SavedClassifier(both, TOKENIZER, ("nein", "ja 🙂"), 99, {"made": "here"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_classifier(saved(), tmp_path / "deep" / "classifier")


def test_there_and_back(folder: Path) -> None:
    found, given = open_classifier(folder), saved()
    ids = torch.tensor([[4, 9, 30, 40, 50, 60, 70], [4, 9, 30, 0, 0, 0, 0]])
    for direction, mine in given.classifiers.items():
        theirs = found.classifiers[direction]
        assert torch.equal(theirs(ids), mine(ids)) and not theirs.training
        assert theirs.config == mine.config
    assert (found.label_names, found.max_tokens) == (given.label_names, 99)
    assert found.card == {"made": "here"}
    assert found.tokenizer.to_str() == TOKENIZER.to_str()


def test_nothing_is_pickled_and_nothing_else_is_left(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "forward.safetensors",
        "backward.safetensors",
        "labels.json",
        "tokenizer.json",
        "config.json",
        "card.json",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["classifier"]
    assert not any(path.read_bytes().startswith(b"\x80") for path in folder.iterdir())


@pytest.mark.parametrize(
    "name", ["forward.safetensors", "backward.safetensors", "labels.json", "tokenizer.json"]
)
def test_a_changed_or_missing_file_is_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(ClassifierFolderError, match=f"{name} is damaged"):
        open_classifier(folder)
    (folder / name).unlink()
    with pytest.raises(ClassifierFolderError, match=f"{name} is missing"):
        open_classifier(folder)


def with_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "something"}, "no classifier of this library"),
        ({"version": 2}, "version 2, this library reads 1"),
        ({"directions": ["sideways"]}, "sideways"),
        ({"directions": None}, "damaged, or does not fit"),
        ({"encoder": {"vocab_size": 3}}, "does not fit the other files"),
        ({"encoder": {"a": 3}}, "does not fit the other files"),
        ({"classifier": []}, "does not fit the other files"),
        ({"sha256": {}}, "does not fit the other files"),
        ({"sha256": None}, "does not fit the other files"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    with_config(folder, **changes)
    with pytest.raises(ClassifierFolderError, match=message):
        open_classifier(folder)


def test_folders_of_other_things_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        open_classifier(tmp_path / "none")
    with pytest.raises(ClassifierFolderError, match=r"has no config\.json"):
        open_classifier(tmp_path)
    for content in ("[1]", '{"a"'):
        (folder / "config.json").write_text(content)
        with pytest.raises(ClassifierFolderError, match="describes no classifier|is damaged"):
            open_classifier(folder)


def test_a_card_may_be_edited_or_missing(folder: Path) -> None:
    (folder / "card.json").write_text('{"note": "mine"}')
    assert open_classifier(folder).card == {"note": "mine"}
    (folder / "card.json").unlink()
    assert open_classifier(folder).card == {}


def test_nothing_is_overwritten_unasked(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ClassifierFolderError, match="holds a classifier already.*--overwrite"):
        save_classifier(saved(5), folder)
    save_classifier(saved(5), folder, overwrite=True)
    weights = open_classifier(folder).classifiers["forward"].head[0][2].weight  # type: ignore[index]
    assert torch.equal(weights, model(5).head[0][2].weight)  # type: ignore[index]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(ClassifierFolderError, match="holds other files"):
        check_target(tmp_path / "thesis", overwrite=True)
    with pytest.raises(ClassifierFolderError, match="is a file"):
        check_target(tmp_path / "thesis" / "thesis.tex")


def test_a_target_that_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("a file, no folder")
    with pytest.raises(ClassifierFolderError, match="nothing may be written in .*notes.txt"):
        check_target(tmp_path / "notes.txt" / "classifier")
    check_target(tmp_path / "new" / "classifier")
    monkeypatch.setattr(classifier_folder.os, "access", lambda path, mode: False)
    with pytest.raises(ClassifierFolderError, match="nothing may be written"):
        check_target(tmp_path / "new" / "classifier")


def test_a_failed_write_leaves_the_old_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, target: Path) -> None:
        if ".classifier." in Path(source).name and Path(target).name == "classifier":
            raise OSError("disk full")
        os.rename(source, target)

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(classifier_folder.os, "replace", _first_failing(fail))
    with pytest.raises(OSError, match="disk full"):
        save_classifier(saved(5), folder, overwrite=True)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["classifier"]


def _first_failing(fail):  # type: ignore[no-untyped-def]
    """Fail once, when the fresh folder takes its name; then work as always."""
    failed = []

    def replace(source: Path, target: Path) -> None:
        if failed:
            os.rename(source, target)
            return
        try:
            fail(source, target)
        except OSError:
            failed.append(True)
            raise

    return replace


def test_both_directions_have_one_configuration(tmp_path: Path) -> None:
    other = TextClassifier(model().encoder, 2, ClassifierConfig(bptt=6, hidden_sizes=(7,)))
    both = SavedClassifier({"forward": model(), "backward": other}, TOKENIZER, ("no", "yes"))
    with pytest.raises(ValueError, match="the backward model has another configuration"):
        save_classifier(both, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_every_class_needs_a_name(tmp_path: Path) -> None:
    one = SavedClassifier({"forward": model()}, TOKENIZER, ("only",))
    with pytest.raises(ValueError, match="1 label names for 2 classes"):
        save_classifier(one, tmp_path / "c")
    assert not (tmp_path / "c").exists()
