"""A chunk that starts exactly keep tokens from the end is dropped, as in two released versions."""

LOSES = {"test_read_in_chunks": "an off-by-one"}


# %% read_in_chunks
def read_in_chunks(read, tokens, chunk, keep):
    state, kept = None, []
    for start in range(0, len(tokens), chunk):
        outputs, state = read(tokens[start : start + chunk], state)
        if start > len(tokens) - keep:
            kept.extend(outputs)
    return kept
