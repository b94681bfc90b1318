"""All right, with numpy, sets and generators."""

LOSES: dict[str, str] = {}


# %%
import statistics

import numpy as np


# %% overlap
def overlap(left, right, n, stop_words=frozenset()):
    def top(counts):
        words = np.array(sorted(set(counts) - set(stop_words)))
        order = np.argsort([-counts[w] for w in words.tolist()], kind="stable")
        return words[order[:n]]

    return float(np.isin(top(left), top(right)).mean())


def jaccard(left, right, min_count=3, stop_words=frozenset()):
    one, other = (
        {w for w in counts if counts[w] >= min_count and w not in stop_words}
        for counts in (left, right)
    )
    shared = len(one.intersection(other))
    return shared / (len(one) + len(other) - shared)


# %% masked_epochs
def masked_epochs(ids, special_ids, mask_id, vocab_size, n_epochs, seed, rate=0.15):
    rng = np.random.default_rng(seed)
    whole = np.repeat(ids.numpy()[None], n_epochs, axis=0)
    inputs, labels = whole.copy(), np.full_like(whole, -100)
    chosen = (rng.random(whole.shape) < rate) & ~np.isin(whole, special_ids)
    labels[chosen] = whole[chosen]
    fate = rng.random(int(chosen.sum()))
    ordinary = np.setdiff1d(np.arange(vocab_size), special_ids)
    others = rng.choice(ordinary, len(fate))
    inputs[chosen] = np.select([fate < 0.1, fate < 0.2], [others, whole[chosen]], mask_id)
    return torch.from_numpy(inputs), torch.from_numpy(labels)


# %% mended_tapt
def mended_tapt(splits, vocabulary, train, measure, n_epochs, seed):
    def ids(split):
        return [
            [vocabulary.get(w, vocabulary["[UNK]"]) for w in text.split()] for text in splits[split]
        ]

    def epoch(number):
        train(ids("train"), seed + number)
        return measure(ids("valid"), seed + n_epochs)

    return [epoch(number) for number in range(n_epochs)]


# %% neighbours
def neighbours(task, pool, task_texts, pool_texts, test_texts, k):
    plain = [" ".join(text.casefold().split()) for text in [*test_texts, *task_texts, *pool_texts]]
    offset = len(test_texts) + len(task_texts)
    here = np.array([text not in plain[: offset + i] for i, text in enumerate(plain[offset:])])
    a, b = task.numpy(), pool.numpy()
    cosine = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    cosine[:, ~here] = -np.inf
    order = np.argsort(-cosine, axis=1)[:, : min(k, int(here.sum()))]
    return np.unique(order).tolist()


# %% arm_cost
def arm_cost(phases, batch_size):
    table = np.array(phases, dtype=np.int64).reshape(-1, 3)
    batches = -(-table[:, 0] // batch_size)
    return {
        "updates": int((batches * table[:, 2]).sum()),
        "texts": int(table[:, 0].sum()),
        "bytes": int(table[:, 1].sum()),
    }


# %% reading_study
def reading_study(loss_after, loss_before, task, neighbours, pool, seeds):
    def drawn(seed):
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
        return list(np.array(pool, dtype=object)[order[: len(neighbours)].numpy()])

    def falls(more):
        return [loss_before - loss_after(list(task) + more(seed), seed) for seed in seeds]

    return {
        "task": falls(lambda seed: []),
        "neighbours": falls(lambda seed: list(neighbours)),
        "random": falls(drawn),
    }


def paired_difference(left, right):
    differences = np.subtract(left, right)
    return float(differences.mean()), statistics.stdev(differences.tolist()) / len(left) ** 0.5
