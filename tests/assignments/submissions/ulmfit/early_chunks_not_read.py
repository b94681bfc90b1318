"""The text is cut to its end before it is read, so the state of the start is missing."""

LOSES = {"test_read_in_chunks": "early chunks are not pooled, but their state counts"}


# %% read_in_chunks
def read_in_chunks(read, tokens, chunk, keep):
    state, kept = None, []
    for start in range(0, len(tokens), chunk):
        if len(tokens) - start <= keep:
            outputs, state = read(tokens[start : start + chunk], state)
            kept.extend(outputs)
    return kept
