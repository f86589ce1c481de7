"""A record of every decision, in SQLite."""

from routekit.builtin.observers.records.observer import PLUGIN, RecordsObserver, RecordsOptions
from routekit.builtin.observers.records.store import RecordStore

__all__ = ["PLUGIN", "RecordStore", "RecordsObserver", "RecordsOptions"]
