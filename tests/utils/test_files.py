"""Files appear whole or not at all."""

import os

import pytest

from stackkit._utils.files import written_whole


def test_files_take_their_places_together(tmp_path):
    with written_whole() as draft_for:
        for name in ("a.csv.gz", "b.html"):
            draft = draft_for(tmp_path / name)
            assert draft.name.endswith(name)  # by which formats are told
            draft.write_text(name)
        assert not (tmp_path / "a.csv.gz").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.gz", "b.html"]
    assert (tmp_path / "b.html").read_text() == "b.html"


def _write_some_of(old, other, error):
    with written_whole() as draft_for:
        draft_for(old).write_text("new")
        draft_for(other).write_text("half of i")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_a_failure_all_is_as_it_was(tmp_path, error):
    old = tmp_path / "old.html"
    old.write_text("old")
    with pytest.raises(error):
        _write_some_of(old, tmp_path / "other", error)
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    assert old.read_text() == "old"


def test_a_link_stays_a_link_and_a_mode_a_mode(tmp_path):
    target = tmp_path / "target.html"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.html"
    link.symlink_to(target)
    with written_whole() as draft_for:
        draft_for(link).write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.stat(target).st_mode & 0o777 == 0o640  # noqa: PTH116
