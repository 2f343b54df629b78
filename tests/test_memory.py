"""What becomes of memory that is not used any more."""

import gc

import pytest

from contractive._memory import few_to_collect


def test_what_was_there_before_is_passed_over_until_the_end():
    before = gc.get_freeze_count()
    with pytest.raises(KeyboardInterrupt), few_to_collect():  # noqa: PT012
        assert gc.get_freeze_count() > before + 1000
        raise KeyboardInterrupt
    assert gc.get_freeze_count() == 0
