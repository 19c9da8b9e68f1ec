"""Tasks of a job array: shares, and the variables of Slurm and Kubernetes."""

import pytest

from cnn.ablation.execution.task import Task, find_task, parse_task
from cnn.config.errors import UserError


@pytest.mark.parametrize("count", [1, 2, 3, 7, 30])
def test_shares_are_disjoint_and_give_all_runs(count):
    runs = list(range(21))
    shares = [Task(i, count).share(runs) for i in range(count)]
    assert sorted(run for share in shares for run in share) == runs
    for i, share in enumerate(shares):
        order = Task(i, count).order(runs)
        assert order[: len(share)] == share
        assert sorted(order) == runs


def test_without_a_count_every_task_begins_elsewhere():
    runs = list(range(5))
    orders = [Task(i, 0).order(runs) for i in range(7)]
    assert [order[0] for order in orders] == [0, 1, 2, 3, 4, 0, 1]
    assert all(sorted(order) == runs for order in orders)
    assert Task(3, 0).order([]) == []


@pytest.mark.parametrize(
    ("environment", "task"),
    [
        ({}, Task(0, 1)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, Task(3, 4)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "7",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_ARRAY_TASK_COUNT": "4",
            },
            Task(3, 4),
        ),
        ({"JOB_COMPLETION_INDEX": "5"}, Task(5, 0)),
    ],
)
def test_clusters_say_which_task_this_is(environment, task):
    assert find_task(None, environment) == task
    assert find_task("1/2", environment) == Task(1, 2)


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_ARRAY_TASK_ID": "first"},
        {"SLURM_ARRAY_TASK_COUNT": "-4", "SLURM_ARRAY_TASK_ID": "3"},
        {"SLURM_ARRAY_TASK_STEP": "0", "SLURM_ARRAY_TASK_ID": "3"},
        {"JOB_COMPLETION_INDEX": "2.5"},
    ],
)
def test_variables_that_are_no_numbers_are_named(environment):
    variable, text = next(iter(environment.items()))
    with pytest.raises(UserError, match=f"{variable}: '{text}' is no.*; correct or unset"):
        find_task(None, environment)


@pytest.mark.parametrize("text", ["4/4", "1", "a/b", "-1/2", "1/2/3", ""])
def test_impossible_tasks_are_refused(text):
    with pytest.raises(UserError, match="--task"):
        parse_task(text)


def test_a_task_survives_being_passed_on():
    for task in (Task(), Task(2, 5), Task(4, 0)):
        assert parse_task(str(task)) == task
