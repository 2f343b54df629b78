"""`--distributed`: one of several processes that train together."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._interrupts import Interrupted, Requests, Terminated

if TYPE_CHECKING:
    from ..distributed import Group
    from ..sources import RowSource

__all__ = ["fit_along", "joined"]


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
    if not distributed:
        for option, value in (("coordinator", coordinator), ("processes", processes), ("process-id", process_id)):
            if value is not None:
                raise ValueError(f"`--{option}` must come with --distributed; got {value} without it.")
        return None
    from ..distributed import join

    def leave(words: str) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        line = f"contractive: {words}; training stopped. Go on with `contractive resume {out}`, in any number of"
        os.write(2, f"{line} processes, if it holds a checkpoint.\n".encode())
        os._exit(1)  # the main thread may be in a sum that never comes to an end

    return join(coordinator, processes, process_id, ended=leave)


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
