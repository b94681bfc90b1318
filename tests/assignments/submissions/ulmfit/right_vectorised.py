"""All right, written with tensors and dictionaries."""

LOSES: dict[str, str] = {}

# %% slanted_rates
import numpy as np
import torch


def slanted_rates(n_epochs, batches_per_epoch, lr_max, cut_frac=0.1, ratio=32):
    total = n_epochs * batches_per_epoch
    cut = max(1, int(total * cut_frac))
    heights = np.interp(np.arange(total), [0, cut, max(total, cut + 1)], [0.0, 1.0, 0.0])
    return lr_max / ratio + (lr_max - lr_max / ratio) * heights


# %% parameter_groups
def parameter_groups(parameters, n_layers, lr_top, ratio=2.6):
    first = {}
    for name, tensor in parameters.items():
        first.setdefault(tensor, name)
    names = list(first.values())
    result = []
    for layer in range(n_layers):
        result.append([n for n in names if n.startswith(f"layers.{layer}.")])
    result.append([n for n in names if not n.startswith("layers.")])
    return [(g, lr_top * ratio ** (i - n_layers)) for i, g in enumerate(result)]


# %% concat_pool
def concat_pool(hidden, mask):
    rows = []
    for states, real in zip(hidden, mask):
        own = states[real]
        rows.append(torch.cat([own[-1], own.max(dim=0).values, own.mean(dim=0)]))
    return torch.stack(rows)


# %% read_in_chunks
def read_in_chunks(read, tokens, chunk, keep):
    def go(position, state):
        if position >= len(tokens):
            return []
        outputs, state = read(tokens[position : position + chunk], state)
        own = outputs if position >= len(tokens) - keep else []
        return own + go(position + chunk, state)

    return go(0, None)


# %% remap_embedding
def remap_embedding(weight, old_words, new_words):
    number = {word: i for i, word in enumerate(old_words)}
    larger = torch.cat([weight, weight.mean(dim=0, keepdim=True)])
    return larger[[number.get(word, len(weight)) for word in new_words]]


# %% mended_classifier
def mended_dropout(language_model):
    return {k: v for k, v in CLASSIFIER_DROPOUT.items() if k in language_model}


def mended_reverse(ids):
    lengths = (ids != 0).sum(dim=1, keepdim=True)
    position = torch.arange(ids.shape[1]).expand_as(ids)
    inside = (position > 0) & (position < lengths)
    return ids.gather(1, torch.where(inside, lengths - position, position))


def mended_loss(logits, labels):
    return -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean()


def mended_average(forward, backward):
    return torch.stack([forward, backward]).softmax(dim=-1).mean(dim=0)


# %% ensemble_study
def ensemble_study(forward, backward, labels):
    votes = {"forward": forward, "backward": backward, "both": forward + backward}
    wrong = {k: (v.argmax(-1) != labels).float().mean(-1) * 100 for k, v in votes.items()}
    result = {k: float(v.mean()) for k, v in wrong.items()}
    better = min(["forward", "backward"], key=result.get)
    gain = wrong[better] - wrong["both"]
    differ = forward.argmax(-1) != backward.argmax(-1)
    result["disagreement"] = float(differ.float().mean() * 100)
    result["gain"] = float(gain.mean())
    result["standard_error"] = float(gain.std(unbiased=True) / len(gain) ** 0.5)
    return result
