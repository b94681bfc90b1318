"""What the strips say is what was judged; every token is shown; words, not colours alone."""

import pytest

from tests.study.page_reading import Page
from ulmfit_lib.study.mask_explorables import (
    JudgedText,
    buffer_explorer,
    judged_frame,
    masks_explorer,
    token_texts,
    words_explorer,
)
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.training.token_importance import TokenImportance, TokenTally

TOKENS = ("the", "film", "<was>", "great")
POPPED = JudgedText(
    TOKENS, 0.88, TokenImportance((0.61, 0.61, 0.61, 0.0), (False, False, False, True)), "good"
)
KEPT = JudgedText(
    TOKENS, 0.9, TokenImportance((0.0, 0.5, 0.0, 0.0), (True, False, True, True)), "good"
)


@pytest.fixture(scope="module")
def figure():
    both = {"popped": POPPED, "kept": KEPT}
    return buffer_explorer({"a": both, "b": both}, 0.05, keeping="kept")


def test_every_step_tells_what_was_asked_and_what_is_kept(figure):
    start, last = figure.parts((0, 0, 0)), figure.parts((0, 0, 4))
    assert "Nothing is read yet" in start["readout.text"] and "(empty)" in start["readout.text"]
    assert "asked about “the film <was> great”" in last["readout.text"]
    assert (
        "0.00 of the confidence is missing, below 0.05: important, and leaves"
        in last["readout.text"]
    )
    assert last["readout.text"].endswith("Buffer now: the film <was>.")
    assert last["image.alt"].endswith("Important so far: great.")
    assert figure.parts((0, 0, 2))["readout.text"].endswith("Buffer now: the film.")


def test_kept_tokens_stay_in_the_buffer(figure):
    told = figure.parts((1, 1, 3))["readout.text"]
    assert "asked about “the film <was>”" in told and "but it stays" in told
    assert POPPED.buffer(4) == list(TOKENS[:3]) and KEPT.buffer(3, True) == list(TOKENS[:3])


def test_a_strip_shows_every_token_with_its_judgement():
    frame = judged_frame(POPPED, 0.05)
    drawn = Page(frame.svg)
    texts = [e["text"] for e in drawn.elements if e["tag"] == "text"]
    assert [t for t in texts if t in TOKENS] == list(TOKENS)
    assert texts.count("important") == 1 and texts.count("kept") == 3
    assert frame.table is not None and frame.table.rows[3] == ("4: great", "0.000", "important")


def test_a_long_text_stays_within_the_picture():
    many = tuple(f"word{i}" for i in range(60))
    judged = TokenImportance((0.1,) * 60, (True, False) * 30)
    boxes = Page(judged_frame(JudgedText(many, 0.5, judged, "c"), 0.05).svg).all(
        "rect", stroke="#1a1a1a"
    )
    assert len(boxes) == 61  # a box a token, and the one that is enough
    assert all(float(b["x"]) + float(b["width"]) <= 640 for b in boxes)


def test_masks_of_two_policies_stand_in_one_frame():
    choices = {
        "selective": [[False, True], [True, False]],
        "random": [[True, False], [False, True]],
    }
    figure = masks_explorer([("a", "b"), ("c", "d")], choices)
    assert figure.parts((1,))["readout.text"] == "Masked, selective: c; random: d."
    with pytest.raises(ValueError):
        masks_explorer([("a", "b", "c"), ("c", "d")], choices)


def test_words_have_numbers():
    tallies = {"good": [("great", TokenTally(3, 4))], "bad": []}
    figure = words_explorer(tallies)
    assert figure.parts((0,))["readout.text"] == "good: great 3 of 4."
    assert "no token is important often enough" in figure.parts((1,))["readout.text"]
    assert (
        '<th scope="row">great</th><td>3</td><td>4</td><td>0.75</td>'
        in figure.parts((0,))["table.html"]
    )


def test_figures_stand_on_a_page(figure):
    page = Page(figure.html())
    assert all(image["alt"] for image in page.all("img"))


def test_pieces_of_a_word_are_told_apart():
    tokenizer = load_tokenizer()
    (ids,) = encode(tokenizer, ["An unfathomableness , x\ny"])
    shown = token_texts(tokenizer, ids)
    assert shown[0] == "An" and all(shown) and len(shown) == len(ids)
    inner = [t for t in shown if t.startswith("-")]
    assert inner and "unfathomableness" in "".join(shown).replace("-", "")
    assert token_texts(tokenizer, []) == ()
