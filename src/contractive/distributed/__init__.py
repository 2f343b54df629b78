"""Several processes that do one job: how they find each other, agree, and notice that one is gone."""

from ._group import Group, current, join
from ._team import Team, join_team
from ._watch import leave

__all__ = ["Group", "Team", "current", "join", "join_team", "leave"]
