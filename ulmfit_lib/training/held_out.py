"""What a card says about held-out text, and how a shipped model is measured on more of it.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from transformers import BertForMaskedLM

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.models.encoder import (
    SHIPPED_ENCODER,
    WEIGHTS_STEM,
    MaskedPositionsModel,
    load_encoder,
)
from ulmfit_lib.models.pretrained import (
    SHIPPED_WEIGHTS,
    add_held_out,
    check_row_names,
    load_language_model,
    model_card,
    model_name,
)
from ulmfit_lib.text.masking import MaskingVocabulary, masking_vocabulary
from ulmfit_lib.text.packing import STANDARD_MASKING, HeldOutSequences
from ulmfit_lib.text.streams import DIRECTIONS, LMStream, StreamConfig, join_documents
from ulmfit_lib.text.token_files import TokenFile, corpus_fingerprint, tokenize_files
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.text.wikitext import COUNTING, read_wikitext
from ulmfit_lib.training.masked_lm import score_masked_lm
from ulmfit_lib.training.perplexity import stream_perplexity

ROWS = 16  # of held-out text read side by side by a language model, each from an empty state
SMALLEST = 64  # tokens; of fewer, no measurement says anything
Rows = dict[str, dict[str, Any]]  # of a card: measurements by the name of the text


class HeldOutText(NamedTuple):
    """A text to measure on. Introduced in the chapter *Text and language models*."""

    text: TokenFile
    facts: dict[str, Any]  # for the card, beside the measurement


def read_held_out(path: str | Path, tokenizer: Tokenizer, wikitext: bool = False) -> HeldOutText:
    """The text at ``path``, as token ids, with the count of its words.

    Introduced in the chapter *Text and language models*.

    Args:
        path: running text, or a file of WikiText.
        tokenizer: the vocabulary.
        wikitext: the file has the layout of WikiText, and its words are
            counted as the literature does.

    Raises:
        FileNotFoundError, DamagedFileError: the file is missing, not whole, or
            in another layout.
        ValueError: it is too small.
    """
    file = Path(path)
    if wikitext:
        read = read_wikitext(file)
        tokens = join_documents(encode(tokenizer, read.documents))
        text = TokenFile(tokens, read.n_words, corpus_fingerprint([file]))
        words = {"unknown_words": read.n_unknown, "layout_words": read.n_layout}
        facts = {"words": read.n_words, **words, "counting": COUNTING}
    else:
        text = tokenize_files([file], tokenizer)
        facts = {"words": text.n_words}
    check_held_out(text, str(file))
    return HeldOutText(text, {"corpus": text.fingerprint, **facts})


def check_held_out(text: TokenFile, where: str) -> None:
    """Refuse a text on which no measurement says anything.

    Args:
        text: held-out text.
        where: the file or the option that it comes from.

    Raises:
        ValueError: it is too small.
    """
    if len(text.tokens) < SMALLEST:
        raise ValueError(
            f"{where}: {len(text.tokens)} tokens are too few to measure on: "
            f"give a held-out text of {SMALLEST} or more"
        )


def language_model_row(
    model: LanguageModel, text: TokenFile, bptt: int, direction: str
) -> dict[str, Any]:
    """Loss and perplexities of ``model`` on a text.

    The total of all tokens, ends of lines and of documents among them, is
    spread over the words of ``text``. Introduced in the chapter *Text and
    language models*.

    Args:
        model: the language model.
        text: held-out text.
        bptt: tokens read at once.
        direction: in which the model reads.

    Returns:
        Counts, the loss in nats, and perplexities, as a card holds them.
    """
    stream = LMStream(text.tokens, StreamConfig(ROWS, bptt, False, direction))
    result = stream_perplexity(model, stream, text.n_words / len(text.tokens))
    return {
        "tokens": result.n_tokens,
        "loss_per_token": result.loss,
        "perplexity_per_token": result.per_token,
        "perplexity_per_word": result.per_word,
    }


def encoder_row(
    model: BertForMaskedLM, text: TokenFile, length: int, vocabulary: MaskingVocabulary
) -> dict[str, Any]:
    """Loss and accuracy of ``model`` at masked places of a text; the masks are always the same.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        model: the encoder with its MLM head.
        text: held-out text.
        length: tokens of a sequence.
        vocabulary: for the masks.

    Returns:
        Counts, the loss in nats and the accuracy, as a card holds them.
    """
    batches = HeldOutSequences(text.tokens, length, vocabulary)
    score = score_masked_lm(MaskedPositionsModel(model), batches)
    return {
        "tokens": len(text.tokens),
        "mask_rate": STANDARD_MASKING.rate,
        "masked_tokens": score.n,
        "mlm_loss": score.loss,
        "mlm_accuracy": score.accuracy,
    }


def measure_shipped(
    files: Mapping[str, Path],
    wikitext: bool = False,
    folder: str | Path = SHIPPED_WEIGHTS,
    report: Callable[[str], None] = print,
) -> None:
    """Measure every shipped model in ``folder`` on more text, and write it into its card.

    A card gains a row in ``held_out`` for each file; all else in it stays as
    it is. Introduced in the chapter *Text and language models*.

    Args:
        files: held-out text, by the name of its row.
        wikitext: the files have the layout of WikiText.
        folder: of the models: AWD-LSTMs of either direction, and the encoder
            in a folder of its own.
        report: takes one line a measurement.

    Raises:
        FileNotFoundError: a file is missing, or there is no model in
            ``folder``.
        DamagedFileError: a file, or a model, is not whole.
        ValueError: a text is too small, or a card has a row of that name from
            another text.
    """
    tokenizer = load_tokenizer()
    texts = {name: read_held_out(path, tokenizer, wikitext) for name, path in files.items()}
    cards = _shipped_cards(Path(folder))
    if not cards:
        raise FileNotFoundError(f"no model in {folder}: name the folder of weights and cards")
    for card in cards:
        check_row_names({name: held.facts for name, held in texts.items()}, card)
    for card in cards:
        rows = _measured(card, texts, tokenizer)
        add_held_out(rows, card)
        report(f"{card}\n{summary(rows)}")


def summary(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a text: what a card says about it.

    Args:
        rows: ``held_out`` of a card.
    """
    return "\n".join(f"{name}: {_in_words(row)}" for name, row in rows.items())


def _shipped_cards(folder: Path) -> list[Path]:
    paths = [folder / f"{model_name(direction)}.json" for direction in DIRECTIONS]
    paths.append(folder / SHIPPED_ENCODER.name / f"{WEIGHTS_STEM}.json")
    return [path for path in paths if path.is_file()]


def _measured(card: Path, texts: Mapping[str, HeldOutText], tokenizer: Tokenizer) -> Rows:
    facts = model_card(card.stem, card.parent)
    measure: Callable[[TokenFile], dict[str, Any]]
    if card.stem == WEIGHTS_STEM:
        length = facts["config"]["packing"]["length"]
        vocabulary = masking_vocabulary(tokenizer)
        measure = partial(
            encoder_row, load_encoder(card.parent), length=length, vocabulary=vocabulary
        )
    else:
        bptt, direction = facts["config"]["stream"]["bptt"], facts["direction"]
        model = load_language_model(direction, folder=card.parent)
        measure = partial(language_model_row, model, bptt=bptt, direction=direction)
    return {name: measure(held.text) | held.facts for name, held in texts.items()}


def _in_words(row: Mapping[str, Any]) -> str:
    if "mlm_loss" in row:
        return (
            f"MLM loss {row['mlm_loss']:.3f}, {100 * row['mlm_accuracy']:.1f} % of "
            f"{row['masked_tokens']:,} masked tokens right"
        )
    return (
        f"loss {row['loss_per_token']:.3f}, perplexity {row['perplexity_per_token']:.1f} "
        f"a token, {row['perplexity_per_word']:.0f} a word"
    )
