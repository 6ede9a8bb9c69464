"""Files that are there whole or not at all."""

import pytest

from soaklib.store.whole import whole_file


def test_a_file_is_there_when_its_block_has_ended(tmp_path):
    """Until then whoever looks sees what was there before."""
    path = tmp_path / "a.txt"
    path.write_text("before")
    with whole_file(path) as part:
        part.write_text("after")
        assert path.read_text() == "before"
    assert (path.read_text(), [found.name for found in tmp_path.iterdir()]) == ("after", ["a.txt"])


@pytest.mark.parametrize("written", [True, False])
def test_a_block_that_fails_leaves_nothing(tmp_path, written):
    """What was there stays, whether anything had been written beside it or not."""
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail():
        with whole_file(path) as part:
            if written:
                part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (path.read_text(), [found.name for found in tmp_path.iterdir()]) == ("before", ["a.txt"])
