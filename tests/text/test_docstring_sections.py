"""Hand-written docstrings come apart into the blocks that a reader sees."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.docstring_sections import Block, parse_docstring


def parsed(docstring: str) -> list[tuple[str, str]]:
    """(role, text) of each block, the lines joined."""
    return [(block.role, " ".join(block.lines)) for block in parse_docstring(docstring)]


NUMPY = """Count the sheep
    in a field.

    Only awake sheep are counted.

    Parameters
    ----------
    field : Field, optional
        The field to look at.
        It must be fenced.
    a, b : int
        Two corners.
    untold : int
    *args
        Passed on.

    Returns
    -------
    count : int
        The number of sheep.

    Raises
    ------
    ValueError
        If the field is not fenced.

    See Also
    --------
    count_goats : Count goats.

    Notes
    -----
    Sheep move.

    They also sleep.

    Examples
    --------
    Count one field:

    >>> count()
    3
    """

GOOGLE = """Count the sheep.

    Only awake sheep are counted.

    Args:
        field (Field, optional): The field to look at.
            It must be fenced.
        a, b: Two corners.
        shape (`tuple[int, int]`, *optional*, defaults to `(1, 2)`):
            Its extent.
        **kwargs: Passed on.

    Returns:
        Tuple[int, int]: The number of sheep
        and of lambs.

    Raises:
        ValueError: If the field is not fenced.

    Note:
        Sheep move.

    Example::

        count()

    And that is all.
    """


def test_numpy_style() -> None:
    assert parsed(NUMPY) == [
        ("summary", "Count the sheep in a field."),
        ("description", "Only awake sheep are counted."),
        ("parameters", "The field to look at. It must be fenced."),
        ("parameters", "Two corners."),
        ("parameters", "Passed on."),
        ("returns", "The number of sheep."),
        ("raises", "If the field is not fenced."),
        ("skip", "count_goats : Count goats."),
        ("notes", "Sheep move.  They also sleep."),
        ("examples", "Count one field:  >>> count() 3"),
    ]


def test_google_style() -> None:
    assert parsed(GOOGLE) == [
        ("summary", "Count the sheep."),
        ("description", "Only awake sheep are counted."),
        ("parameters", "The field to look at. It must be fenced."),
        ("parameters", "Two corners."),
        ("parameters", "Its extent."),
        ("parameters", "Passed on."),
        ("returns", "The number of sheep and of lambs."),
        ("raises", "If the field is not fenced."),
        ("notes", "Sheep move."),
        ("examples", "count()"),
        ("description", "And that is all."),
    ]


def test_underlined_with_equal_signs() -> None:
    docstring = """Add.

    Explanation
    ===========

    It is easy.

    Raises
    ======

    TypeError
        When it is not.
    """
    assert parsed(docstring) == [
        ("summary", "Add."),
        ("description", "It is easy."),
        ("raises", "When it is not."),
    ]


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("Returns\n-------\nThe sum of both.\n", "The sum of both."),
        ("Returns\n-------\nint\n    The sum.\n", "The sum."),
        ("Returns\n-------\ntotal : int\n", None),
        ("Returns:\n    int: The sum.\n", "The sum."),
        ("Returns:\n    `torch.Tensor` of shape: the sum.\n", "the sum."),
        ("Returns:\n    (Tensor, Tensor): the sum.\n", "the sum."),
        ("Returns:\n    The sum: a number.\n", "The sum: a number."),
        ("Returns: the sum\nof both.\n", "the sum of both."),
        ("Yields\n------\nint\n    One number.\n", "One number."),
    ],
)
def test_what_is_returned(section: str, text: str | None) -> None:
    expected = [("summary", "Add.")] + ([("returns", text)] if text else [])
    assert parsed("Add.\n\n" + section) == expected


def test_entries_without_a_heading_are_parameters() -> None:
    docstring = """
    ratio (`float`, *optional*, defaults to 0.5):
        How much.
    size (`int`):
        How many.
    """
    assert parsed(docstring) == [("parameters", "How much."), ("parameters", "How many.")]


def test_headings_inside_a_sentence_are_text() -> None:
    assert parsed("Args and Returns: see below.\n\nNothing to see.") == [
        ("summary", "Args and Returns: see below."),
        ("description", "Nothing to see."),
    ]


def test_an_unknown_heading_starts_description() -> None:
    assert parsed("Add.\n\nHistory\n-------\nIt is old.") == [
        ("summary", "Add."),
        ("description", "It is old."),
    ]


def test_blocks_have_no_common_indentation() -> None:
    block = parse_docstring("Add.\n\nNotes\n-----\n    One\n      deeper\n    two")[-1]
    assert block == Block("notes", ("One", "  deeper", "two"))


@pytest.mark.parametrize("docstring", ["", " ", "\n\n", "-----", "Args:", "Parameters\n-----"])
def test_nothing_to_say(docstring: str) -> None:
    assert all(role == "summary" for role, _ in parsed(docstring))


@given(st.text(st.sampled_from("ab :().-=\n\tArgsReturnsNotes"), max_size=200))
def test_any_text_is_parsed_without_inventing_words(docstring: str) -> None:
    blocks = parse_docstring(docstring)
    clean = inspect.cleandoc(docstring).expandtabs()
    assert all(line.strip() in clean for block in blocks for line in block.lines)
    assert all(block.lines[0] and block.lines[-1] for block in blocks)
