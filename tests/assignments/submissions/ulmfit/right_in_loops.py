"""All right, in plain loops over lists."""

LOSES: dict[str, str] = {}


# %% slanted_rates
def slanted_rates(n_epochs, batches_per_epoch, lr_max, cut_frac=0.1, ratio=32):
    T = n_epochs * batches_per_epoch
    cut = int(T * cut_frac)
    if cut == 0:
        cut = 1
    rates = []
    for t in range(T):
        if t < cut:
            p = t / cut
        else:
            p = (T - t) / (T - cut)
        rates.append(lr_max / ratio * (1 + p * (ratio - 1)))
    return rates


# %% parameter_groups
import re


def parameter_groups(parameters, n_layers, lr_top, ratio=2.6):
    groups = {layer: [] for layer in [*range(n_layers), "ends"]}
    tensors = []
    for name in parameters:
        if parameters[name] in tensors:
            continue
        tensors.append(parameters[name])
        found = re.match(r"layers\.(\d+)\.", name)
        groups[int(found.group(1)) if found else "ends"].append(name)
    rate, pairs = lr_top, []
    for names in reversed(list(groups.values())):
        pairs.insert(0, (names, rate))
        rate = rate / ratio
    return pairs


# %% concat_pool
def concat_pool(hidden, mask):
    B, T, H = hidden.shape
    pooled = torch.zeros(B, 3 * H)
    for b in range(B):
        positions = [t for t in range(T) if mask[b, t]]
        for h in range(H):
            column = [float(hidden[b, t, h]) for t in positions]
            pooled[b, h] = column[-1]
            pooled[b, H + h] = max(column)
            pooled[b, 2 * H + h] = sum(column) / len(column)
    return pooled


# %% read_in_chunks
def read_in_chunks(read, tokens, chunk, keep):
    state = None
    all_outputs = []
    for start in range(0, len(tokens), chunk):
        outputs, state = read(tokens[start : start + chunk], state)
        all_outputs += outputs
    starts = [s for s in range(0, len(tokens), chunk) if len(tokens) - s <= keep]
    return all_outputs[starts[0] :] if starts else []


# %% remap_embedding
def remap_embedding(weight, old_words, new_words):
    new = torch.empty(len(new_words), weight.shape[1])
    for i, word in enumerate(new_words):
        new[i] = weight[old_words.index(word)] if word in old_words else weight.mean(0)
    return new


# %% mended_classifier
def mended_dropout(language_model):
    result = {}
    for name in language_model:
        result[name] = CLASSIFIER_DROPOUT[name]
    return result


def mended_reverse(ids):
    rows = []
    for row in ids.tolist():
        text = [i for i in row if i != 0]
        rows.append([text[0], *reversed(text[1:]), *[0] * (len(row) - len(text))])
    return torch.tensor(rows)


def mended_loss(logits, labels):
    total = 0.0
    for row, label in zip(logits, labels):
        total = total + torch.logsumexp(row, 0) - row[label]
    return total / len(labels)


def mended_average(forward, backward):
    return 0.5 * torch.softmax(forward, 1) + 0.5 * torch.softmax(backward, 1)


# %% ensemble_study
def ensemble_study(forward, backward, labels):
    S, N, _ = forward.shape
    f, b, e, d = [], [], [], []
    for s in range(S):
        one, two = forward[s].argmax(1), backward[s].argmax(1)
        both = (forward[s] + backward[s]).argmax(1)
        f.append(100 * int((one != labels).sum()) / N)
        b.append(100 * int((two != labels).sum()) / N)
        e.append(100 * int((both != labels).sum()) / N)
        d.append(100 * int((one != two).sum()) / N)
    best = f if sum(f) <= sum(b) else b
    gains = [x - y for x, y in zip(best, e)]
    mean = sum(gains) / S
    variance = sum((g - mean) ** 2 for g in gains) / (S - 1)
    return {
        "forward": sum(f) / S,
        "backward": sum(b) / S,
        "both": sum(e) / S,
        "disagreement": sum(d) / S,
        "gain": mean,
        "standard_error": (variance / S) ** 0.5,
    }
