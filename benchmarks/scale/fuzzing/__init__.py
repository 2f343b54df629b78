"""Files of every format that is read, whole and damaged, and what must come of reading one."""

from ._format import Format, Inconsistent, read_all
from ._formats import FORMATS, Input, content_of, valid_files
from ._verdict import FAILURES, Limits, Taken, Verdict, judge, measured

__all__ = [
    "FAILURES",
    "FORMATS",
    "Format",
    "Inconsistent",
    "Input",
    "Limits",
    "Taken",
    "Verdict",
    "content_of",
    "judge",
    "measured",
    "read_all",
    "valid_files",
]
