"""What an attended process (optimizer/task_process.py) answered, as the result or the exception of a task."""

from __future__ import annotations

import pickle
from typing import Any

from campaigns.records import FailureCode
from optimizer.task_process import DIED, OK, RAISED, TIMED_OUT, Answer

CODES = {DIED: FailureCode.WORKER_DIED, TIMED_OUT: FailureCode.TIMED_OUT}


def result_of(answer: Answer, attempts: int) -> Any:
    """The task's result. Raises its own exception, or TaskLost where the process died or hung so many times."""
    if answer.status == OK:
        return pickle.loads(answer.content)
    if answer.status == RAISED:
        raise pickle.loads(answer.content)
    from optimizer.protocols import TaskLost  # which loads torch: an attending process needs none

    times = f", {attempts} times" if attempts > 1 else ""
    raise TaskLost(CODES[answer.status], f"{answer.message}{times}", answer.seconds)
