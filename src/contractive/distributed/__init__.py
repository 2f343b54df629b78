"""Several processes that train one model: how they find each other, agree, and notice that one is gone."""

from ._group import Group, current, join

__all__ = ["Group", "current", "join"]
