"""The command line: ``python -m ulmfit_lib --help``.

Each command is one short function in this module; what it needs is imported inside it, so that
``--help`` does not wait for torch. To add a command, add a function below.
"""

from __future__ import annotations

import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ulmfit_lib.text.catalogue import DataSet
    from ulmfit_lib.training.publication import ModelKind

HELP = "The command line of the book Fine-Tuning Language Models."
app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
data = typer.Typer(help="The data sets: what is there, and building the embedded one.")
app.add_typer(data, name="data", no_args_is_help=True)

pretrain = typer.Typer(help="Pre-training of the models that come with the book.")
app.add_typer(pretrain, name="pretrain", no_args_is_help=True)

assignment = typer.Typer(help="Course assignments: check and pack yours; build and grade a class.")
app.add_typer(assignment, name="assignment", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(help="Running text, .txt or .txt.xz.")]
Out = Annotated[Path, typer.Option(help="Where to write.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")]
Valid = Annotated[Path, typer.Option(help="Held-out running text, read at every checkpoint.")]
Test = Annotated[Path, typer.Option(help="Held-out running text, read once, at the end.")]
RunOut = Annotated[Path, typer.Option(help="Folder of the checkpoint and of the weights.")]
Licence = Annotated[str, typer.Option(help="Licence of the text, for the card.")]
Updates = Annotated[int, typer.Option(help="Optimizer steps.")]
Horizon = Annotated[int, typer.Option(help="Steps to a rate of 0; 0: the updates.")]
DecayFrom = Annotated[int, typer.Option(help="Step of the final decay; 0: none.")]
BFloat16 = Annotated[bool, typer.Option(help="Fast on processors that have it.")]
Segment = Annotated[int, typer.Option(help="Steps between checkpoints.")]
HighestRate = Annotated[float, typer.Option(help="Highest learning rate.")]
Start = Annotated[str, typer.Option(help="counts, random, or a finished encoder's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print it for programs, as JSON.")]


Rates = tuple[float, float]

# The defaults of --scale paper. The AWD-LSTM: fastai's script for WikiText-103
# (courses/dl2/imdb_scripts/pretrain_lm.py), ten passes over 103 million words, with fastai's
# width and with 80 rows (70 there), which 2, 4 or 8 processes can share. BERT-base: Devlin et al.
# 2019, section 3 and appendix A.2; but every sequence has 512 tokens, nine tenths of theirs 128,
# there is no next-sentence objective, and vocabulary and text are the book's.
PAPER_DEFAULTS: dict[str, dict[str, Any]] = {
    "awd-lstm": {
        "updates": 184_000,
        "segment": 1_000,
        "batch_size": 80,
        "embedding_size": 400,
        "hidden_size": 1152,
        "n_layers": 3,
        "lr": 5e-3,
        "dropout": 0.1,
    },
    "bert": {
        "updates": 1_000_000,
        "segment": 1_000,
        "batch_size": 256,
        "length": 512,
        "hidden_size": 768,
        "n_layers": 12,
        "lr": 1e-4,
        "warmup": 0.01,
        "beta2": 0.999,
        "mask_rates": (0.15, 0.15),
        "start": "random",
        "dropout": 0.1,
    },
}


class PretrainScale(StrEnum):
    """Which sizes a pre-training has where none are given."""

    LAPTOP = "laptop"
    PAPER = "paper"


def _set_defaults(context: typer.Context, scale: PretrainScale) -> PretrainScale:
    """Give the command the defaults of ``scale``, before its other options are read."""
    if scale is PretrainScale.PAPER:
        context.default_map = PAPER_DEFAULTS[str(context.info_name)]
    return scale


ScaleOption = Annotated[
    PretrainScale,
    typer.Option(
        callback=_set_defaults,
        is_eager=True,
        help="Sizes of the paper instead of the defaults shown here; other options still win.",
    ),
]


@app.callback()
def options(debug: Debug = False) -> None:
    """The command line of the book Fine-Tuning Language Models."""


@app.command()
def doctor(json: Json = False) -> None:
    """Say what is installed, what is off, and the remedy; exit status 1 if something is broken."""
    from ulmfit_lib.study.doctor import as_json, as_text, examine, is_broken

    checks = examine()
    typer.echo(as_json(checks) if json else as_text(checks))
    raise typer.Exit(1 if is_broken(checks) else 0)


@data.command("list")
def list_data() -> None:
    """List the data sets: name, where each would be read from now, licence."""
    import os

    from ulmfit_lib.text.catalogue import CATALOGUE
    from ulmfit_lib.text.corpora import DATA_VARIABLE

    folder = os.environ.get(DATA_VARIABLE)
    rows = [(s.name, _source(s, folder), s.licence) for s in CATALOGUE.values()]
    name_width, source_width = (max(len(row[i]) for row in rows) for i in (0, 1))
    for name, source, licence in rows:
        typer.echo(f"{name:<{name_width}}  {source:<{source_width}}  {licence}")


def _source(data_set: DataSet, folder: str | None) -> str:
    from ulmfit_lib.text.corpora import EMBEDDED

    if data_set.name in EMBEDDED:
        return "built from the installed packages"
    if folder and (Path(folder) / (data_set.folder.name or data_set.name)).is_dir():
        return "the data folder"
    return f"the hub, {data_set.hub.repository}" if data_set.hub else "not here"


@data.command("build")
def build_data(name: Annotated[str, typer.Argument(help="As in 'data list'.")]) -> None:
    """Load a data set, built or fetched where it is not there yet; print its sizes and hash."""
    from ulmfit_lib.text.corpora import load

    corpus = load(name)
    sizes = ", ".join(f"{split} {len(rows):,}" for split, rows in corpus.splits.items())
    typer.echo(f"{corpus.name}: {sizes}; {len(corpus.label_names)} classes")
    typer.echo(f"from {corpus.provenance}; licence: {corpus.licence}")
    typer.echo(f"sha256 {corpus.fingerprint}")


@app.command()
def tokenizer(files: Files, out: Out, vocab_size: int = 8192) -> None:
    """Learn the sub-word vocabulary from running text; OUT is the tokenizer.json to write."""
    from itertools import chain

    from ulmfit_lib.text.cache import write_atomically
    from ulmfit_lib.text.running_text import read_documents
    from ulmfit_lib.text.tokenizer import train_tokenizer

    learned = train_tokenizer(chain.from_iterable(map(read_documents, files)), vocab_size)
    write_atomically(out, learned.to_str(pretty=True).encode())
    typer.echo(f"{learned.get_vocab_size():,} token types in {out}")


@app.command()
def words(
    files: Files,
    out: Out,
    documents: Annotated[int, typer.Option(help="Documents to read, at most.")] = 50_000,
    top: Annotated[int, typer.Option(help="Words to keep, at most.")] = 10_000,
) -> None:
    """Write the most frequent words of running text, without stop-words, one a line."""
    from itertools import chain, islice

    from ulmfit_lib.text.cache import write_atomically
    from ulmfit_lib.text.running_text import read_documents
    from ulmfit_lib.text.vocabulary_overlap import top_words

    read = islice(chain.from_iterable(map(read_documents, files)), documents)
    found = top_words(read, top)
    write_atomically(out, "".join(f"{word}\n" for word in found).encode())
    typer.echo(f"{out}: {len(found):,} words")


@pretrain.command("awd-lstm")
def pretrain_awd_lstm(
    files: Files,
    valid: Valid,
    test: Test,
    out: RunOut,
    licence: Licence,
    scale: ScaleOption = PretrainScale.LAPTOP,
    direction: Annotated[str, typer.Option(help="forward or backward.")] = "forward",
    updates: Updates = 27_500,
    horizon: Horizon = 0,
    decay_from: DecayFrom = 0,
    segment: Segment = 250,
    batch_size: Annotated[int, typer.Option(help="Rows, over all processes.")] = 16,
    bptt: int = 70,
    embedding_size: int = 192,
    hidden_size: int = 320,
    n_layers: int = 3,
    lr: HighestRate = 2e-3,
    dropout: Annotated[float, typer.Option(help="Factor on ULMFiT's, of fine-tuning.")] = 0.0,
    bfloat16: BFloat16 = False,
    seed: int = 0,
) -> None:
    """Pre-train an AWD-LSTM language model; run again, it goes on from its last checkpoint."""
    from ulmfit_lib.models.awd_lstm import FINE_TUNING_DROPOUTS, AWDLSTMConfig
    from ulmfit_lib.text.streams import StreamConfig
    from ulmfit_lib.training.lm_publication import AWDLSTMKind
    from ulmfit_lib.training.pretraining import PretrainConfig

    config = PretrainConfig(
        **_length_and_rates(updates, horizon, decay_from, segment, lr),
        bfloat16=bfloat16,
        seed=seed,
        model=AWDLSTMConfig(
            embedding_size=embedding_size, hidden_size=hidden_size, n_layers=n_layers
        ),
        dropouts=FINE_TUNING_DROPOUTS.scaled(dropout),
        stream=StreamConfig(batch_size, bptt, True, direction),
    )
    _publish(AWDLSTMKind(config), files, valid, test, licence, out)


@pretrain.command("bert")
def pretrain_bert(
    files: Files,
    valid: Valid,
    test: Test,
    out: RunOut,
    licence: Licence,
    scale: ScaleOption = PretrainScale.LAPTOP,
    updates: Updates = 14_000,
    horizon: Horizon = 0,
    decay_from: DecayFrom = 0,
    segment: Segment = 250,
    batch_size: Annotated[int, typer.Option(help="Sequences, over all processes.")] = 32,
    length: Annotated[int, typer.Option(help="Tokens of a sequence, and positions.")] = 128,
    hidden_size: Annotated[int, typer.Option(help="A multiple of 64; BERT-base: 768.")] = 256,
    n_layers: Annotated[int, typer.Option(help="BERT-base: 12.")] = 4,
    lr: HighestRate = 1e-3,
    warmup: Annotated[float, typer.Option(help="Share of the horizon; BERT: 0.01.")] = 0.05,
    beta2: Annotated[float, typer.Option(help="Of Adam's squares; BERT: 0.999.")] = 0.98,
    mask_rates: Annotated[Rates, typer.Option(help="First, and at the horizon.")] = (0.3, 0.15),
    whole_words: Annotated[bool, typer.Option(help="Mask whole words.")] = False,
    start: Start = "counts",
    dropout: Annotated[float, typer.Option(help="In pre-training; BERT-base: 0.1.")] = 0.0,
    bfloat16: BFloat16 = False,
    seed: int = 0,
) -> None:
    """Pre-train a BERT-style encoder; run again, it goes on from its last checkpoint."""
    from ulmfit_lib.models.encoder import EncoderConfig
    from ulmfit_lib.text.masking import MaskingConfig
    from ulmfit_lib.text.packing import PackConfig
    from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig
    from ulmfit_lib.training.mlm_publication import EncoderKind

    config = MLMPretrainConfig(
        **_length_and_rates(updates, horizon, decay_from, segment, lr),
        warmup=warmup,
        betas=(0.9, beta2),
        bfloat16=bfloat16,
        seed=seed,
        model=EncoderConfig.of_width(hidden_size, n_layers, length, dropout),
        packing=PackConfig(batch_size, length, seed),
        masking=MaskingConfig(mask_rates[1], whole_words),
        start=_encoder_start(start),
        first_rate=mask_rates[0],
    )
    _publish(EncoderKind(config), files, valid, test, licence, out)


def _length_and_rates(
    updates: int, horizon: int, decay_from: int, segment: int, lr: float
) -> dict[str, Any]:
    """How long a run is and how its rate goes, for the settings of either kind of run."""
    return {
        "updates": updates,
        "segment": segment,
        "lr_max": lr,
        "horizon": horizon or updates,
        "decay_from": decay_from or None,
    }


def _encoder_start(start: str) -> Any:
    from ulmfit_lib.training.encoder_start import EarlierRun, StartConfig

    if start == "counts":
        return StartConfig()
    return None if start == "random" else EarlierRun.of(start)


def _publish(
    kind: ModelKind[Any], files: list[Path], valid: Path, test: Path, licence: str, out: Path
) -> None:
    from ulmfit_lib.training.held_out import summary
    from ulmfit_lib.training.publication import pretrain_and_publish

    held_out = {"valid": valid, "test": test}
    card = pretrain_and_publish(kind, files, held_out, licence, _command(), out)
    typer.echo(summary(card["held_out"]))


def _command() -> list[str]:
    """The command line that makes the model again, with its launcher on several processes.

    Without ``--multi_gpu`` accelerate starts a single process where there are not several GPUs;
    with it, it starts ``--num_processes`` of them, on processors too.
    """
    from ulmfit_lib.training.processes import process_count

    n = process_count()
    launcher = ["accelerate", "launch", "--multi_gpu", "--num_processes", str(n)]
    return [*(["python"] if n == 1 else launcher), "-m", "ulmfit_lib", *sys.argv[1:]]


@pretrain.command("measure")
def measure(
    texts: Annotated[list[str], typer.Argument(metavar="NAME=FILE...", help="Held-out text.")],
    folder: Annotated[
        Path | None, typer.Option(help="Of the models and cards; the book's own by default.")
    ] = None,
    wikitext: Annotated[
        bool, typer.Option("--wikitext", help="The files have WikiText's layout and words.")
    ] = False,
) -> None:
    """Measure the finished models of a folder on more text, and add that to their cards."""
    from ulmfit_lib.models.pretrained import SHIPPED_WEIGHTS
    from ulmfit_lib.training.held_out import measure_shipped

    named = [text.partition("=") for text in texts]
    for text, (name, _, file) in zip(texts, named, strict=True):
        if not (name and file):
            raise ValueError(
                f"{text!r} is not NAME=FILE: give the measurement a name and the file of its "
                "text, e.g. wikitext-2-test=wikitext-2/test.txt.xz"
            )
    files = {name: Path(file) for name, _, file in named}
    measure_shipped(files, wikitext, folder or SHIPPED_WEIGHTS, typer.echo)


@pretrain.command("transfer")
def transfer(
    records: Annotated[
        list[str], typer.Argument(help="Records of 'run transfer', e.g. transfer-mr-laptop.")
    ],
    folder: Annotated[
        Path | None, typer.Option(help="Of the models and cards; the book's own by default.")
    ] = None,
) -> None:
    """Write into the models' cards where they win against their rivals, and where they do not."""
    from ulmfit_lib.models.pretrained import SHIPPED_WEIGHTS
    from ulmfit_lib.papers.transfer_summary import write_transfer
    from ulmfit_lib.study.records import load_record

    written = write_transfer(map(load_record, records), folder or SHIPPED_WEIGHTS)
    typer.echo(", ".join(f"{model}: {n} rows" for model, n in written.items()))


@app.command()
def run(
    paper: Annotated[str, typer.Argument(help="fitlam, ulmfit, bert, recadam, transfer, ...")],
    task: Annotated[str, typer.Option(help="A data set with train and test.")] = "pydocs-roles",
    out: Annotated[Path, typer.Option(help="Folder of the record.")] = Path("runs-local"),
    workers: Annotated[int, typer.Option(help="Processes that share the seeds.")] = 1,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Where bert or dont_stop starts: a name on the hub, or a folder."),
    ] = None,
) -> None:
    """Run a paper's experiment at the scale of ULMFIT_SCALE and write its record to OUT."""
    from ulmfit_lib.papers import experiments

    record = experiments.find(paper, checkpoint)(task, out, workers)
    typer.echo(f"{out / record.experiment}.json: {len(record.arms)} arms")


@app.command()
def fit(
    file: Annotated[Path, typer.Argument(help="Examples: .csv, .tsv, .jsonl or .json (.gz, .xz).")],
    text: Annotated[str, typer.Option(help="Column of the texts.")],
    label: Annotated[str, typer.Option(help="Column of the classes; may be empty in some rows.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; for data.csv data-classifier.")
    ] = None,
    both: Annotated[bool, typer.Option("--both", help="Average both directions.")] = False,
    encoding: Annotated[str, typer.Option(help="Of the file, if not UTF-8.")] = "",
    drop_rare: Annotated[bool, typer.Option("--drop-rare", help="Leave rare classes out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a classifier.")] = False,
    updates: Annotated[int, typer.Option(help="Optimizer steps of the classifier.")] = 200,
    lm_tokens: Annotated[int, typer.Option(help="Text read before that, at most.")] = 2_000_000,
    seed: int = 0,
) -> None:
    """Fine-tune a text classifier on your own table, and say how good it is."""
    from ulmfit_lib.papers.ulmfit_application import FitConfig, fit_file

    folder = out or Path(f"{file.name.split('.')[0]}-classifier")
    config = FitConfig(both_directions=both, updates=updates, lm_tokens=lm_tokens, seed=seed)
    fitted = fit_file(
        file, text, label, folder, config, encoding or None, drop_rare, overwrite, typer.echo
    )
    typer.echo(f"\n{fitted.report.text()}\n")
    typer.echo(f'saved in {folder}: python -m ulmfit_lib predict {folder} "a text"')


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="A folder that 'fit' wrote.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts, or one file of them; else standard input.")
    ] = None,
    text: Annotated[str, typer.Option(help="Column of the texts in the file.")] = "",
    encoding: Annotated[str, typer.Option(help="Of the file, if not UTF-8.")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="A table instead of JSON lines.")] = False,
    out: Annotated[Path | None, typer.Option(help="File to write instead of printing.")] = None,
) -> None:
    """Classify texts: the class and its probability, and those of all classes."""
    from ulmfit_lib.papers import ulmfit_application as application
    from ulmfit_lib.text.cache import write_atomically
    from ulmfit_lib.text.tables import read_texts

    predictor = application.load_classifier(folder)
    if not texts:
        given = [line.rstrip("\n") for line in sys.stdin]
    elif len(texts) == 1 and _is_file(texts[0]):
        given = read_texts(texts[0], text or None, encoding or None)
    else:
        given = texts
    answers = application.answers_as_csv if as_csv else application.answers_as_json
    if out is None:
        typer.echo(answers(predictor, given), nl=False)
    else:
        write_atomically(out, answers(predictor, given).encode())
        typer.echo(f"{len(given):,} answers in {out}")


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # too long for the name of a file: a text
        return False


@assignment.command("check")
def check_assignment(
    file: Annotated[Path, typer.Argument(help="Your notebook, saved.")],
) -> None:
    """Run the visible tests on your notebook, as the grader will; exit status 1 if one fails."""
    from ulmfit_lib.assignments.judge import judge_file
    from ulmfit_lib.assignments.source import read_assignment

    asked = read_assignment(file)
    report = judge_file(asked, file, "you")
    for result in report.results:
        typer.echo(f"{result.test}: {result.hint or 'right'}")
    open_ = sum(bool(result.hint) for result in report.results)
    typer.echo(f"{len(report.results) - open_} of {len(report.results)} tests pass here.")
    raise typer.Exit(1 if open_ else 0)


@assignment.command("pack")
def pack_assignment(
    file: Annotated[Path, typer.Argument(help="Your notebook, saved.")],
    student: Annotated[str, typer.Option(help="Your name or number in the course.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("hand-in"),
) -> None:
    """Write what you hand in: your notebook without outputs, under your name."""
    from ulmfit_lib.assignments.release import pack

    typer.echo(f"hand in {pack(file, student, out)}")


@assignment.command("grade")
def grade_assignment(
    folder: Annotated[Path, typer.Argument(help="Submissions: STUDENT/NAME.ipynb.")],
    name: Annotated[str, typer.Option(help="The assignment, e.g. fitlam.")],
    out: Annotated[Path, typer.Option(help="Folder of gradebook and feedback.")] = Path("graded"),
    workers: Annotated[int, typer.Option(help="Submissions at a time.")] = 2,
) -> None:
    """Grade a folder of submissions: a gradebook, feedback pages, a table of marks to fill in."""
    from ulmfit_lib.assignments.gradebook import grade

    grade(name, folder, out, workers, typer.echo)


@assignment.command("build")
def build_assignments(
    out: Annotated[Path, typer.Option(help="Folder of the hand-outs.")] = Path(
        "_build/assignments"
    ),
    solutions: Annotated[
        bool, typer.Option("--solutions", help="With answers and hidden tests: keep it private.")
    ] = False,
) -> None:
    """Write the hand-outs: the assignments without answers, hidden tests and rubrics."""
    from ulmfit_lib.assignments.release import build, release, solution

    for file in build(out, solution if solutions else release):
        typer.echo(str(file))


def main() -> None:
    """Run the command line; an error that the library explains is one line, not a traceback."""
    try:
        app(prog_name="python -m ulmfit_lib")
    except Exception as error:
        if "--debug" in sys.argv or not is_explained(error):
            traceback.print_exc()
        else:
            command = " ".join(["python -m ulmfit_lib --debug", *sys.argv[1:]])
            typer.echo(f"error: {error}\n(where it comes from: {command})", err=True)
        sys.exit(1)


def is_explained(error: Exception) -> bool:
    """Whether the message says what is wrong: bad input, files, or an error of the library's own.

    Args:
        error: what a command raised.
    """
    own = type(error).__module__.partition(".")[0] == "ulmfit_lib"
    return own or isinstance(error, ValueError | OSError)


if __name__ == "__main__":
    main()
