"""Stop-words are reported like all others."""

LOSES = {"test_important_words_2": "a stop-word is reported"}


# %% important_words
def important_words(classify, words, label, delta=0.05, stop_words=frozenset()):
    whole, buffer, found = classify(words)[label], [], []
    for i, word in enumerate(words):
        if whole - classify([*buffer, word])[label] < delta:
            found.append(i)
        else:
            buffer.append(word)
    return found
