"""Important words stay in the buffer, so that every later word looks important."""

LOSES = {"test_important_words": "important words stay in the buffer"}


# %% important_words
def important_words(classify, words, label, delta=0.05, stop_words=frozenset()):
    whole, buffer, found = classify(words)[label], [], []
    for i, word in enumerate(words):
        buffer.append(word)
        if whole - classify(buffer)[label] < delta and word not in stop_words:
            found.append(i)
    return found
