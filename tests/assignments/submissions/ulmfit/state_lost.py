"""Every chunk starts from nothing."""

LOSES = {"test_read_in_chunks": "the state is lost"}


# %% read_in_chunks
def read_in_chunks(read, tokens, chunk, keep):
    kept = []
    for start in range(0, len(tokens), chunk):
        outputs, _ = read(tokens[start : start + chunk], None)
        if len(tokens) - start <= keep:
            kept.extend(outputs)
    return kept
