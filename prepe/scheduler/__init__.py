"""Schedules and what is measured in; the value of every parameter at every update, for every member, out.

A schedule without rules is a `table`. With rules a `Scheduler` gives each member its own values, from its own
measurements alone: all arithmetic is elementwise, so a member's values are the same bits alone and among others.
"""

from prepe.scheduler.engine import Now, Scheduler
from prepe.scheduler.values import table

__all__ = ["Now", "Scheduler", "table"]
