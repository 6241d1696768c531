"""The data that a run was fitted to, read again: the same, or none."""

import os
from typing import Any

from unrender.api.described import describe_cameras
from unrender.errors import InputError
from unrender.notes import note
from unrender.training.method import DataKind
from unrender.training.record import Record


def absolute_source(source: Any) -> Any:
    """A recorded path in a form that holds in every folder; a built-in name as it is."""
    exists = isinstance(source, str) and os.path.exists(source)
    return os.path.abspath(source) if exists else source


def is_own(record: Record, kind: DataKind[Any, Any], data: Any) -> bool:
    """Whether these are the data of a run; True where it recorded no fingerprint."""
    known = record.config.get("views", {}).get("fingerprint")
    now = describe_cameras(kind.describe(data))["fingerprint"]
    return known in (None, now)


def read_recorded(
    record: Record, kind: DataKind[Any, Any], source: str | None = None, **changed: Any
) -> Any:
    """The data of a run as `kind` reads them, from where they were, or from `source`.

    `changed` are other options of reading. Data are told apart by the fingerprint of their
    training part. InputError if those where the run's were are others, or are not there; for
    others in `source` a note.
    """
    config = record.config
    recorded = {**config.get("data", {}), **changed}
    where = recorded.get("source")
    try:
        found = kind.read_again(recorded, source)
    except InputError as error:
        if source is None and where is not None and not os.path.exists(where):
            raise InputError(
                f"{record.name}: its data are no longer at {where}: --data PATH says where "
                "they are now"
            ) from error
        raise
    if "background" not in changed and not is_own(record, kind, found):
        if source is None:
            raise InputError(
                f"{record.name}: was fitted to other data than those now at {where}: --data "
                "PATH says where its own are, or which to take instead"
            )
        note(f"{source}: is not what {record.name} was fitted to")
    return found
