"""No library name is left, and other words stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.masking_names import ALIASES, LIBRARY, NAMES, mask_names


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Use numpy or NumPy.", "Use LIBRARY or LIBRARY."),
        ("a torch.nn.Module", "a LIBRARY"),
        ("an np.ndarray, a pd.DataFrame", "an LIBRARY, a LIBRARY"),
        ("nn.Linear and F.relu", "LIBRARY and LIBRARY"),
        ("is_scipy_sparse(x)", "LIBRARY(x)"),
        ("TorchScript's IPythonShell", "LIBRARY's LIBRARY"),
        ("scikit-learn, Scikit Learn, scikit- learn, sklearn", ", ".join(["LIBRARY"] * 4)),
        ("Hugging Face Transformers", "LIBRARY"),
        ("the Python standard library", "the LIBRARY"),
        ("matplotlib.pyplot as plt", "LIBRARY as LIBRARY"),
        ("mpl_toolkits and nx.Graph", "LIBRARY and LIBRARY"),
        ("a transformer, a panda, an npz, the HFC, plots", None),
        ("Python and the library of nn", None),
    ],
)
def test_masks(text: str, masked: str | None) -> None:
    assert mask_names(text) == (text if masked is None else masked)


NAMED = st.sampled_from([*NAMES, *(name.title() for name in NAMES), *NAMES, *ALIASES])
AROUND = st.text(st.sampled_from("abT_.- '(),1é🙂"), max_size=6)


@given(st.lists(st.tuples(AROUND, st.sampled_from(NAMES), AROUND), max_size=4))
def test_no_name_survives_anywhere(pieces: list[tuple[str, str, str]]) -> None:
    masked = mask_names("".join(before + name + after for before, name, after in pieces)).lower()
    assert not any(name in masked for name in NAMES)


@given(st.lists(st.sampled_from(ALIASES), min_size=1, max_size=4))
def test_no_alias_survives_as_a_word(aliases: list[str]) -> None:
    masked = mask_names("the " + ", ".join(aliases) + ".x")
    assert set(masked.replace(",", " ").split()) <= {"the", LIBRARY}


@given(st.text())
def test_masking_twice_changes_nothing(text: str) -> None:
    assert mask_names(mask_names(text)) == mask_names(text)
