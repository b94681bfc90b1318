"""Several tasks in one epoch: every example once, tasks in proportion to their size."""

from collections import Counter

import pytest

from ulmfit_lib.text.batches import BatchConfig, TokenDataset
from ulmfit_lib.text.task_batches import TaskBatches


def dataset(first, n):
    """``n`` documents, each of one token of its own."""
    return TokenDataset([[first + i, 2] for i in range(n)], [i % 2 for i in range(n)])


@pytest.fixture
def batches():
    return TaskBatches([dataset(10, 12), dataset(50, 4)], BatchConfig(2, seed=3), shuffle=True)


def test_an_epoch_holds_every_example_once_and_tasks_in_proportion(batches):
    for _ in range(3):
        seen = [(int(task), int(row[0])) for ids, task, _ in batches for row in ids]
        assert sorted(seen) == [(0, 10 + i) for i in range(12)] + [(1, 50 + i) for i in range(4)]


def test_batches_are_of_one_task_in_a_new_order_every_epoch(batches):
    orders = []
    for _ in range(4):
        expected = batches.order()
        found = [(int(task), {int(i) >= 50 for i in ids[:, 0]}) for ids, task, _ in batches]
        assert [task for task, _ in found] == expected
        assert all(tasks == {task == 1} for task, tasks in found)
        orders.append(tuple(expected))
    assert len(set(orders)) > 1
    assert Counter(orders[0]) == {0: 6, 1: 2}
    assert len(batches) == 8


def test_examples_are_shuffled_anew_within_a_task(batches):
    first, second = ([ids.tolist() for ids, task, _ in batches if task == 0] for _ in range(2))
    assert first != second


def test_evaluation_goes_task_by_task():
    loader = TaskBatches([dataset(10, 3), dataset(50, 2)], BatchConfig(2))
    assert [int(task) for _, task, _ in loader] == [0, 0, 1]


def test_no_task_is_refused():
    with pytest.raises(ValueError, match="no task"):
        TaskBatches([])
