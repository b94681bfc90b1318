"""The absolute difference is compared with delta."""

LOSES = {"test_important_words": "the absolute difference"}


# %% important_words
def important_words(classify, words, label, delta=0.05, stop_words=frozenset()):
    whole, buffer, found = classify(words)[label], [], []
    for i, word in enumerate(words):
        if abs(whole - classify([*buffer, word])[label]) < delta:
            if word not in stop_words:
                found.append(i)
        else:
            buffer.append(word)
    return found
