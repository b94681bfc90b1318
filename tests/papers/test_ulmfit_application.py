"""A table goes in, a classifier and an honest report come out; in a folder, and back."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ulmfit_lib import __main__ as command_line
from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig, LanguageModel
from ulmfit_lib.models.classifier_folder import ClassifierFolderError
from ulmfit_lib.papers import ulmfit_application as application
from ulmfit_lib.papers.ulmfit_application import (
    FitConfig,
    Fitted,
    Predictor,
    answers_as_csv,
    answers_as_json,
    fit_file,
    load_classifier,
    recipe_for,
    split_examples,
)
from ulmfit_lib.text.tables import TableError

QUICK = FitConfig(lm_updates=2, updates=90, thaw_updates=3, drop_mult=0.0, batch_size=8)


@pytest.fixture(autouse=True, scope="module")
def tiny_language_models() -> object:
    def load(direction: str) -> LanguageModel:
        torch.manual_seed(3)
        sizes = AWDLSTMConfig(embedding_size=12, hidden_size=12, n_layers=2)
        return LanguageModel(AWDLSTM(sizes))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "load_language_model", load)
        yield


def table(folder: Path) -> Path:
    """Two classes that one word tells apart, an unlabelled text, a copy, an empty row."""
    words = ["old", "new", "long", "short", "loud", "silent", "first", "second", "third", "last"]
    rows = [(f"The {w} film was lovely.", "good") for w in words]
    rows += [(f"The {w} film was awful, 很差!", "bad") for w in words]
    rows += [("The film.", ""), rows[0], ("", "good")]
    target = io.StringIO()
    csv.writer(target).writerows([("review", "verdict"), *rows])
    file = folder / "films.csv"
    file.write_text(target.getvalue(), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Path, list[str]]:
    folder, said = tmp_path_factory.mktemp("films"), []
    result = fit_file(
        table(folder), "review", "verdict", folder / "classifier", QUICK, report=said.append
    )
    return result, folder / "classifier", said


def test_the_report_is_about_held_out_examples(fitted: tuple[Fitted, Path, list[str]]) -> None:
    result, _, said = fitted
    assert result.report.n == 4
    assert [score.n for score in result.report.classes] == [2, 2]
    assert result.report.baselines["commonest class"] == 0.5
    assert "TF-IDF + logistic regression" in result.report.baselines
    assert said[0] == "20 of 23 rows are examples (1 empty, 1 repeated, 1 without a label)"
    assert said[1].startswith("16 examples to train on, 4 held out")
    stages = [line.split(":")[0] for line in said[2:]]
    assert stages == ["lm forward, stage 1"] + [
        f"classifier forward, stage {n}" for n in (1, 2, 3, 4)
    ]


def test_a_saved_classifier_answers_as_before(fitted: tuple[Fitted, Path, list[str]]) -> None:
    result, folder, _ = fitted
    texts = ["The blue film was lovely.", "The blue film was awful, 很差!", "", "🙂" * 50]
    loaded = load_classifier(folder)
    np.testing.assert_array_equal(
        loaded.predict_proba(texts), result.predictor.predict_proba(texts)
    )
    assert loaded.label_names == ("bad", "good")
    assert set(loaded.predict(texts)) <= {"bad", "good"}
    assert loaded.predict_proba(texts).sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert loaded.predict([]) == []
    with pytest.raises(TypeError, match="pass a list"):
        loaded.predict("one text")


def test_it_learns_the_word_that_tells(fitted: tuple[Fitted, Path, list[str]]) -> None:
    training = [
        f"The {w} film was {end}"
        for w in ("old", "new", "long", "loud")
        for end in ("lovely.", "awful, 很差!")
    ]
    assert fitted[0].predictor.predict(training) == ["good", "bad"] * 4


def test_the_card_says_how_it_was_made(fitted: tuple[Fitted, Path, list[str]]) -> None:
    card = json.loads((fitted[1] / "card.json").read_text(encoding="utf-8"))
    assert card["source"]["file"] == "films.csv" and len(card["source"]["sha256"]) == 64
    assert card["examples"]["classes"] == {"bad": 10, "good": 10}
    assert card["validation"]["accuracy"] == fitted[0].report.accuracy
    assert card["recipe"]["classifier"]["unfreezing"] == "gradual"
    assert card["settings"]["seed"] == 0 and "torch" in card["versions"]


def test_answers_in_json_and_csv(fitted: tuple[Fitted, Path, list[str]]) -> None:
    predictor, texts = fitted[0].predictor, ['a "quoted", text\nof two lines', "b"]
    lines = [json.loads(line) for line in answers_as_json(predictor, texts).splitlines()]
    rows = list(csv.DictReader(io.StringIO(answers_as_csv(predictor, texts))))
    for text, answer, row in zip(texts, lines, rows, strict=True):
        assert answer["text"] == row["text"] == text
        assert (
            answer["label"]
            == row["label"]
            == max(answer["probabilities"], key=answer["probabilities"].get)
        )
        assert answer["probability"] == float(row["probability"]) >= 0.5
        assert float(row["p(good)"]) == answer["probabilities"]["good"]


def test_a_folder_that_must_stay_is_refused_before_training(
    fitted: tuple[Fitted, Path, list[str]], tmp_path: Path
) -> None:
    said: list[str] = []
    with pytest.raises(ClassifierFolderError, match="--overwrite"):
        fit_file(table(tmp_path), "review", "verdict", fitted[1], QUICK, report=said.append)
    assert said == []


def test_a_table_of_one_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"t{i},a\n" for i in range(9)))
    with pytest.raises(TableError, match="needs two classes"):
        fit_file(tmp_path / "t.csv", "text", "label", tmp_path / "c", QUICK)
    assert not (tmp_path / "c").exists()


def test_both_directions_and_a_document_of_100_000_words(tmp_path: Path) -> None:
    rows = [f"text {i} is {'fine' if i % 2 else 'poor'}" for i in range(20)]
    rows[0] = "word " * 100_000
    lines = [json.dumps({"t": t, "y": i % 2 == 1}) for i, t in enumerate(rows)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    config = FitConfig(
        both_directions=True,
        lm_updates=1,
        lm_tokens=500,
        updates=2,
        thaw_updates=1,
        max_tokens=50,
        batch_size=16,
    )
    said: list[str] = []
    result = fit_file(tmp_path / "t.jsonl", "t", "y", tmp_path / "c", config, report=said.append)
    assert any("longer than" in line for line in said)
    loaded = load_classifier(tmp_path / "c")
    assert set(loaded.saved.classifiers) == {"forward", "backward"}
    assert loaded.label_names == ("false", "true")
    np.testing.assert_array_equal(
        loaded.predict_proba(rows[:3]), result.predictor.predict_proba(rows[:3])
    )


def test_held_out_examples_are_drawn_class_by_class() -> None:
    labels = [0] * 900 + [1] * 100
    split = split_examples(labels, FitConfig())
    assert len(split.valid) == 200 and sum(labels[i] for i in split.valid) == 20
    assert not set(split.train) & set(split.valid)
    assert len(split_examples(labels, FitConfig(valid_most=50)).valid) == 50


def test_the_recipe_follows_the_size_of_the_data() -> None:
    few = recipe_for([[5] * 20] * 40, [], FitConfig())
    many = recipe_for([[5] * 20] * 20_000, [], FitConfig())
    assert few.lm.epochs == 15 and many.lm.epochs == 1
    assert (few.classifier.unfreezing, many.classifier.unfreezing) == ("gradual", "two-stage")
    assert recipe_for([[5] * 20] * 40, [[5] * 99] * 20_000, FitConfig()).lm.epochs == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"valid_share": 1.0}, {"updates": 0}, {"lm_epochs": 0}, {"max_tokens": 0}),
        *({"thaw_updates": 0}, {"lr_max": 0.0}, {"drop_mult": -1.0}, {"max_batch_tokens": -5}),
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FitConfig(**wrong)  # type: ignore[arg-type]


# The command line


def shown(*arguments: str, stdin: str | None = None) -> str:
    done = CliRunner().invoke(command_line.app, list(arguments), input=stdin)
    assert done.exit_code == 0, done.output
    return done.output


def test_fit_and_predict_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "FitConfig", lambda **_: QUICK)
    file, folder = table(tmp_path), tmp_path / "c"
    options = ["--text", "review", "--label", "verdict", "--out", str(folder)]
    said = shown("fit", str(file), *options)
    assert "macro-F1" in said and "true class \\ answer" in said and f"saved in {folder}" in said
    answer = json.loads(shown("predict", str(folder), "The film was lovely."))
    assert answer["text"] == "The film was lovely." and set(answer["probabilities"]) == {
        "bad",
        "good",
    }
    assert len(shown("predict", str(folder), "one", "two").splitlines()) == 2
    assert len(shown("predict", str(folder), "a long text " * 100).splitlines()) == 1
    assert len(shown("predict", str(folder), stdin="one\ntwo\n").splitlines()) == 2
    printed = shown("predict", str(folder), str(file), "--text", "review", "--csv")
    assert len(list(csv.reader(io.StringIO(printed)))) == 24
    said = shown("predict", str(folder), str(file), "--text", "review", "--out", str(folder / "a"))
    assert said.startswith("23 answers in ") and len((folder / "a").read_text().splitlines()) == 23


def test_without_a_folder_the_classifier_is_named_after_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "FitConfig", lambda **_: QUICK)
    monkeypatch.chdir(tmp_path)
    file = table(tmp_path)
    arguments = ["fit", str(file), "--text", "review", "--label", "verdict"]
    assert f"saved in {file.stem}-classifier" in shown(*arguments)
    assert load_classifier(tmp_path / f"{file.stem}-classifier").label_names == ("bad", "good")
    again = CliRunner().invoke(command_line.app, arguments)
    assert isinstance(again.exception, ClassifierFolderError)


def test_mistakes_are_explained_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--text", "text", "--label", "verdict", "--out", str(tmp_path / "c")]
    for arguments, said in (
        (["fit", str(table(tmp_path)), *options], "no column 'text', only 'review', 'verdict'"),
        (["predict", str(tmp_path), "a"], "has no config.json"),
    ):
        monkeypatch.setattr(sys, "argv", ["ulmfit_lib", *arguments])
        with pytest.raises(SystemExit):
            command_line.main()
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error


def test_a_predictor_needs_no_folder(fitted: tuple[Fitted, Path, list[str]]) -> None:
    assert Predictor(fitted[0].predictor.saved).card["limits"] == application.LIMITS
