"""The journal believes nothing damaged, whoever damaged it."""

import errno
import re

import pytest

from harness.storage import IntegrityError, Journal

from .support import RECORDS, failing, reopened


def test_records_come_back_in_order(path, sealed):
    assert sealed.count(b"\n") == len(RECORDS)
    with Journal.open(str(path)) as journal:
        assert tuple(journal) == tuple(RECORDS)
        assert journal.torn_bytes == 0
        journal.append({"tuple": (1, 2)})
        assert list(journal)[-1] == {"tuple": [1, 2]}
    assert reopened(path) == [*RECORDS, {"tuple": [1, 2]}]
    assert path.read_bytes().startswith(sealed)


def test_an_empty_journal_is_valid(path):
    assert reopened(path) == []
    assert path.read_bytes() == b""


def test_a_later_change_of_the_record_is_not_kept(path):
    record = {"runs": [1]}
    with Journal.open(path) as journal:
        journal.append(record)
        record["runs"].append(2)
        assert tuple(journal) == ({"runs": [1]},)


@pytest.mark.parametrize("filler", [b"", b"\0", b"\0" * 300])
def test_a_cut_at_every_byte_is_repaired(path, sealed, filler):
    """The filler is what a power failure can leave: a file that is longer than what reached the disk."""
    for cut in range(len(sealed) + 1):
        kept = sealed[:cut]
        whole = kept.count(b"\n")
        torn = cut - (kept.rfind(b"\n") + 1)
        lost_newline = sealed[cut : cut + 1] == b"\n"
        if filler and lost_newline:
            continue  # this is damage: see test_a_last_newline_that_was_overwritten_is_damage
        path.write_bytes(kept + filler)
        with Journal.open(path) as journal:
            assert list(journal) == RECORDS[:whole]
            assert journal.torn_bytes == torn + len(filler)
            journal.append({"next": cut})
        assert reopened(path) == [*RECORDS[:whole], {"next": cut}]


def test_every_flipped_byte_is_found_and_its_line_named(path, sealed):
    everywhere = [(place, mask) for place in range(len(sealed)) for mask in (0x01, 0x20, 0x80, 0xFF)]
    one_line = [(place, 1 << bit) for place in range(sealed.index(b"\n") + 1) for bit in range(8)]
    for place, mask in everywhere + one_line:
        path.write_bytes(sealed[:place] + bytes([sealed[place] ^ mask]) + sealed[place + 1 :])
        line = sealed[:place].count(b"\n") + 1
        with pytest.raises(IntegrityError, match=rf"^Line {line} of the journal {re.escape(str(path))} is damaged"):
            Journal.open(path)


@pytest.mark.parametrize("byte", [byte for byte in range(256) if byte != ord("\n")])
def test_a_last_newline_that_was_overwritten_is_damage(path, sealed, byte):
    path.write_bytes(sealed[:-1] + bytes([byte]))
    with pytest.raises(IntegrityError, match=f"Line {len(RECORDS)} "):
        Journal.open(path)


def test_damage_is_left_as_it_is(path, sealed):
    damaged = sealed[:5] + b"!" + sealed[6:-3]  # and a torn last line behind it
    path.write_bytes(damaged)
    with pytest.raises(IntegrityError):
        Journal.open(path)
    assert path.read_bytes() == damaged


def test_lines_cannot_be_dropped_doubled_or_moved(path, sealed):
    one, two, three, four = sealed.splitlines(keepends=True)
    for line, lines in [
        (1, [two, three, four]),
        (2, [one, three, four]),
        (2, [one, one, two, three, four]),
        (2, [one, three, two, four]),
        (5, [one, two, three, four, four]),
        (2, [one, b"\n", two]),
    ]:
        path.write_bytes(b"".join(lines))
        with pytest.raises(IntegrityError, match=f"Line {line} "):
            Journal.open(path)


@pytest.mark.parametrize(
    ("record", "error"), [({"a": float("nan")}, ValueError), ({"a": {1}}, TypeError), ([1], TypeError)]
)
def test_what_is_no_record_is_not_written(path, sealed, record, error):
    with Journal.open(path) as journal, pytest.raises(error):
        journal.append(record)
    assert path.read_bytes() == sealed


def test_a_record_larger_than_the_length_field_is_refused(path, monkeypatch):
    monkeypatch.setattr("harness.storage.journal.MAX_RECORD_BYTES", 20)
    with Journal.open(path) as journal:
        journal.append({"a": "x" * 12})
        with pytest.raises(ValueError, match="too large"):
            journal.append({"a": "x" * 13})


def foreign_line(path, scratch):
    """A well-formed next line, as hostile code in the same directory could write it."""
    scratch.write_bytes(path.read_bytes())
    with Journal.open(scratch) as journal:
        journal.append({"score": 1.0})
    return scratch.read_bytes()


@pytest.mark.parametrize("what", ["append", "torn", "forged", "shorter", "flip", "rewritten", "replaced", "removed"])
def test_foreign_writes_are_found(path, tmp_path, what):
    with Journal.open(path) as journal:
        journal.append({"score": 0.5})
        good = path.read_bytes()
        journal.verify()
        if what == "replaced":
            (tmp_path / "copy").write_bytes(good)
            (tmp_path / "copy").replace(path)
        elif what == "removed":
            path.unlink()
        elif what == "rewritten":  # a consistent history, but not ours
            (tmp_path / "other").unlink(missing_ok=True)
            with Journal.open(tmp_path / "other") as other:
                other.append({"score": 0.9})
            path.write_bytes((tmp_path / "other").read_bytes())
            assert path.stat().st_size == len(good)
        else:
            path.write_bytes(
                {
                    "append": good + b"x\n",
                    "torn": good + b"x",
                    "forged": foreign_line(path, tmp_path / "scratch"),
                    "shorter": good[:-1],
                    "flip": good[:30] + b"!" + good[31:],
                }[what]
            )
        with pytest.raises(IntegrityError, match=re.escape(str(path))):
            journal.verify()
        if what not in ("flip", "rewritten"):  # these keep the length: only verify sees them
            with pytest.raises(IntegrityError, match="changed by another process"):
                journal.append({"score": 0.6})


def test_a_closed_journal_refuses_everything_but_closing(path):
    journal = Journal.open(path)
    journal.close()
    journal.close()
    for use in (lambda: journal.append({}), journal.verify):
        with pytest.raises(ValueError, match="is closed"):
            use()


def test_an_append_costs_the_same_however_long_the_journal_is(path, monkeypatch):
    with Journal.open(path) as journal:
        for number in range(50):
            journal.append({"number": number})
        monkeypatch.setattr("harness.storage.journal._replay", failing(errno.EIO))
        journal.append({"number": 50})
