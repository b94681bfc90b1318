"""Stop-words are taken out of the text before it is read."""

LOSES = {"test_important_words_2": "taken out of the text"}


# %% important_words
def important_words(classify, words, label, delta=0.05, stop_words=frozenset()):
    whole, buffer, found = classify(words)[label], [], []
    for i, word in enumerate(words):
        if word in stop_words:
            continue
        if whole - classify([*buffer, word])[label] < delta:
            found.append(i)
        else:
            buffer.append(word)
    return found
