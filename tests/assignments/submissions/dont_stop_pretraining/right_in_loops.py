"""All right, in plain loops, with Python's own random numbers."""

LOSES: dict[str, str] = {}


# %%
import random
from collections import Counter


def key(text):
    """How texts are compared."""
    return tuple(text.lower().split())


print(Counter(key("a B a")))


# %% overlap
def overlap(left, right, n, stop_words=frozenset()):
    lists = []
    for counts in (left, right):
        ranked = sorted((-c, w) for w, c in counts.items() if w not in stop_words)
        lists.append([w for _, w in ranked[:n]])
    return sum(w in lists[1] for w in lists[0]) / n


def jaccard(left, right, min_count=3, stop_words=frozenset()):
    both = either = 0
    for word in set(left) | set(right):
        known = [counts.get(word, 0) >= min_count for counts in (left, right)]
        if word not in stop_words:
            both += all(known)
            either += any(known)
    return both / either


# %% masked_epochs
def masked_epochs(ids, special_ids, mask_id, vocab_size, n_epochs, seed, rate=0.15):
    rng = random.Random(seed)
    ordinary = [i for i in range(vocab_size) if i not in special_ids]
    inputs, labels = [], []
    for _ in range(n_epochs):
        seen, wanted = [], []
        for token in ids.flatten().tolist():
            if token in special_ids or rng.random() >= rate:
                seen.append(token)
                wanted.append(-100)
                continue
            fate = rng.choices(["mask", "other", "same"], [8, 1, 1])[0]
            seen.append({"mask": mask_id, "other": rng.choice(ordinary), "same": token}[fate])
            wanted.append(token)
        inputs.append(torch.tensor(seen).view(ids.shape))
        labels.append(torch.tensor(wanted).view(ids.shape))
    return torch.stack(inputs), torch.stack(labels)


# %% mended_tapt
def mended_tapt(splits, vocabulary, train, measure, n_epochs, seed):
    ids = {"train": [], "valid": []}
    for split in ids:
        for text in splits[split]:
            row = []
            for word in text.split():
                row.append(vocabulary[word if word in vocabulary else "[UNK]"])
            ids[split].append(row)
    losses = []
    while len(losses) < n_epochs:
        train(ids["train"], 1000 * seed + len(losses))
        losses.append(measure(ids["valid"], 12345))
    return losses


# %% neighbours
def neighbours(task, pool, task_texts, pool_texts, test_texts, k):
    never = set(map(key, task_texts)) | set(map(key, test_texts))
    first = {}
    for i, text in enumerate(pool_texts):
        first.setdefault(key(text), i)
    allowed = [i for text, i in first.items() if text not in never]
    chosen = set()
    for row in task:
        cosine = {i: float(row @ pool[i] / row.norm() / pool[i].norm()) for i in allowed}
        chosen.update(sorted(allowed, key=lambda i: -cosine[i])[:k])
    return sorted(chosen)


# %% arm_cost
def arm_cost(phases, batch_size):
    cost = Counter(updates=0, texts=0, bytes=0)
    for n_texts, n_bytes, n_epochs in phases:
        batches = len(range(0, n_texts, batch_size))
        cost.update(updates=batches * n_epochs, texts=n_texts, bytes=n_bytes)
    return dict(cost)


# %% reading_study
def reading_study(loss_after, loss_before, task, neighbours, pool, seeds):
    falls = {}
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(pool), generator=generator).tolist()
        read = {
            "random": task + [pool[i] for i in order[: len(neighbours)]],
            "neighbours": task + neighbours,
            "task": task,
        }
        for arm, texts in read.items():
            falls.setdefault(arm, []).append(loss_before - loss_after(texts, seed))
    return falls


def paired_difference(left, right):
    n = len(left)
    differences = [a - b for a, b in zip(left, right)]
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    return mean, (variance / n) ** 0.5
