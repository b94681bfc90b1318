"""Twenty sentences of two classes that one word tells apart."""

NAMES = "film play story plot scene actor song cast book tale".split()
TEXTS = [f"The {n} was {w} for us." for n in NAMES for w in ("great", "bad")]
LABELS = [0, 1] * len(NAMES)
