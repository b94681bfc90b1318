"""Prose is what remains when code, tables and markup are gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.prose import is_prose, paragraphs, plain, sentences, words


def prose(text: str) -> list[str]:
    return list(paragraphs(text.splitlines()))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Use :class:`~torch.nn.Linear` or :func:`f`.", "Use torch.nn.Linear or f."),
        ("Use :meth:`this method <a.b>` here.", "Use this method here."),
        ("See ``x`` and `y` and [`Z`].", "See x and y and [Z]."),
        ("A [link](http://a.b/c) and https://a.b/c?d=e, too.", "A link and URL, too."),
        ("The `paper <https://a.b>`_ says **so**, *really*.", "The paper says so, really."),
        ("From [1]_ and [Smith2001]_ on.", "From and on."),
        (r"Where :math:`x^2 + \alpha` is $\beta$.", "Where formula is formula."),
        ("Pass *args or **kwargs, or a * b * c.", "Pass *args or **kwargs, or a * b * c."),
        ("Keep snake_case, __init__ and coef_.", "Keep snake_case, __init__ and coef_."),
        ("<Tip> Tags go </Tip>", "Tags go"),
        (r"A \*starred\* name  and   blanks", "A *starred* name and blanks"),
    ],
)
def test_inline_markup_gives_way_to_words(markup: str, text: str) -> None:
    assert plain(markup) == text


def test_code_is_dropped_and_separates_paragraphs() -> None:
    text = """First::

    code = 1

Second:
>>> f()
1

```python
code
```
Third.

.. code-block:: python

    code

.. note:: ignored title
    A note.

.. versionadded:: 1.2

.. a comment
   over two lines

Fourth.
In [1]: code
"""
    assert prose(text) == ["First:", "Second:", "Third.", "A note.", "Fourth."]


def test_tables_headings_and_fields_are_dropped() -> None:
    text = """Text.

Heading
~~~~~~~

=====  =====
one    two
=====  =====

| a | b |
| c | d |

key    value
other  value   more

:param x: a field

More text.
"""
    assert prose(text) == ["Text.", "More text."]


def test_items_of_lists_are_paragraphs() -> None:
    text = """Choose:
- the first
  one
* the second
1. a third
x (int): a fourth
name -- a fifth"""
    assert prose(text) == ["Choose:", "the first one", "the second"] + [
        "a third x (int): a fourth name -- a fifth"
    ]
    assert prose("- x (int, optional): the size") == ["the size"]
    assert prose("- name -- the size") == ["the size"]


@pytest.mark.parametrize(
    "text",
    [
        "Return the sum of all the numbers that are in the list of numbers.",
        "If it is not there, then an error (of the kind above) is raised, as before:",
    ],
)
def test_prose_is_recognised(text: str) -> None:
    assert is_prose(text, 12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Too short to be of use.",
        "No full stop at the end of all these words that are in a row",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi.",
        "x = [1, 2] + f(3) / (4 * y) is a = b == c or the d -> e => f in it.",
        "(1, 2), (3, 4), (5, 6), the (7, 8), of (9, 10), to (11, 12), in (13, 14), a b.",
    ],
)
def test_other_text_is_not(text: str) -> None:
    assert not is_prose(text, 12)


def test_sentences() -> None:
    text = 'Use A. B. Cee, e.g. Fig. 3 of it. Is it "so?" Yes! See f.g.H. x goes on.'
    assert sentences(text) == [
        "Use A. B. Cee, e.g. Fig. 3 of it.",
        'Is it "so?"',
        "Yes!",
        "See f.g.H. x goes on.",
    ]


def test_words() -> None:
    assert words("A naïve x_1 isn't I, 42 times a b.") == ["A", "naïve", "isn", "I", "times", "a"]


@given(st.lists(st.text(st.sampled_from("ab.:`*|-=>_ \t<[]()$\\1é"), max_size=30), max_size=8))
def test_any_lines_are_read(lines: list[str]) -> None:
    for text in paragraphs(lines):
        assert text == text.strip() and text
        is_prose(text, 1)
        assert "".join(sentences(text)).replace(" ", "") in text.replace(" ", "")
