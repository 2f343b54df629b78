"""`--distributed`: one of several processes that train together, or share the rows of one pass."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._interrupts import Interrupted, Requests, Terminated

if TYPE_CHECKING:
    from ..distributed import Group, Team
    from ..sources import RowSource

__all__ = ["fit_along", "joined", "shared"]


def joined(
    out: Path, *, distributed: bool, coordinator: str | None, processes: int | None, process_id: int | None
) -> Group | None:
    """The processes that train together, once all have come, or None for one alone.

    Args:
        out: the run folder, for what is said when another process is gone.
        distributed: whether to join.
        coordinator: as for `distributed.join`, like the rest.
        processes: of the run.
        process_id: of this one.

    Raises:
        ValueError: if the rest is given and `distributed` is not.
        As `distributed.join` does.
    """
    if not _is_one_of_several(distributed, coordinator, processes, process_id):
        return None
    from ..distributed import join, leave

    words = f"training stopped. Go on with `contractive resume {out}`, in any number of processes, if it holds a"
    return join(coordinator, processes, process_id, ended=partial(leave, f"{words} checkpoint."))


def shared(
    out: Path, *, distributed: bool, coordinator: str | None, processes: int | None, process_id: int | None
) -> Team | None:
    """The processes that make one file of rows, once all have come, or None for one alone.

    Args:
        out: the file, for what is said when another process is gone.
        distributed: as for `joined`, like the rest.
        coordinator: where process 0 is.
        processes: of the job.
        process_id: of this one.

    Raises:
        As `joined` does.
    """
    if not _is_one_of_several(distributed, coordinator, processes, process_id):
        return None
    from ..distributed import join_team, leave

    return join_team(
        coordinator, processes, process_id, ended=partial(leave, f"{out} was not made. Start all of them again.")
    )


def _is_one_of_several(
    distributed: bool, coordinator: str | None, processes: int | None, process_id: int | None
) -> bool:
    """Whether `--distributed` was given, without which the rest must not be."""
    for option, value in (("coordinator", coordinator), ("processes", processes), ("process-id", process_id)):
        if value is not None and not distributed:
            raise ValueError(f"`--{option}` must come with --distributed; got {value} without it.")
    return distributed


def fit_along(estimator: Any, source: RowSource, requests: Requests, group: Group) -> None:
    """Train with the other processes; the first of them shows and writes.

    Raises:
        Interrupted, Terminated: as `fit_into` does, without words.
    """

    def follow(estimator: Any, event: object) -> None:
        requests.look(group)
        requests.check()

    try:
        estimator.set_params(callbacks=[follow]).fit(source.rows)
    except KeyboardInterrupt as interrupt:
        raise (Terminated if requests.to_terminate else Interrupted)("") from interrupt
