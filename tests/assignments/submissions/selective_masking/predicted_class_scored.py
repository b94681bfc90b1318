"""The class that the classifier predicts is scored, not the gold one."""

LOSES = {"test_important_words": "the predicted class is scored"}


# %% important_words
def important_words(classify, words, label, delta=0.05, stop_words=frozenset()):
    p = classify(words)
    label, buffer, found = p.index(max(p)), [], []
    for i, word in enumerate(words):
        if p[label] - classify([*buffer, word])[label] < delta:
            if word not in stop_words:
                found.append(i)
        else:
            buffer.append(word)
    return found
