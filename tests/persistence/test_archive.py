"""A sealed file comes back as it was written, or not at all."""

import hashlib
import io
import json
import stat
import zipfile
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sealing import sealed

from stackkit._persistence.archive import FORMAT, GROWTH, read_archive, write_archive
from stackkit.exceptions import ModelFileError

MEMBERS = {"a.json": b"[1, 2]", "parts/0.npz": bytes(range(256)) * 9, "parts/1.ubj": b""}


def _manifest(members, **changes):
    listed = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members.items()}
    return {"format": FORMAT, "members": listed} | changes


def _zipped(pairs, *, how=ZIP_STORED, attr=0):
    """An archive that zipfile itself would not write: names as they come."""
    file = io.BytesIO()
    with ZipFile(file, "w", how) as archive:
        for name, data in pairs:
            entry = ZipInfo(name)
            entry.compress_type = how
            entry.external_attr = attr
            archive.writestr(entry, data)
    return file.getvalue()


def _attack(path, members, manifest=None, **how):
    """Write what an attacker would: all digests are right."""
    text = json.dumps(_manifest(members) if manifest is None else manifest)
    path.write_bytes(sealed(_zipped([("manifest.json", text), *members.items()], **how)))


@pytest.fixture
def path(tmp_path):
    write_archive(tmp_path / "kept.stackkit", {"kind": "test"}, MEMBERS)
    return tmp_path / "kept.stackkit"


def test_what_was_written_comes_back(path):
    archive = read_archive(path)
    assert archive.members == MEMBERS
    assert archive.facts == {"format": 1, "kind": "test"}


def test_the_same_content_is_the_same_file(path, tmp_path):
    write_archive(tmp_path / "again", {"kind": "test"}, MEMBERS)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_it_is_a_zip_archive_for_everybody(path):
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["members"]["a.json"] == {"size": 6, "sha256": hashlib.sha256(b"[1, 2]").hexdigest()}


def test_a_file_that_is_there_stays_until_the_new_one_is_whole(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_archive(path, {}, {"b.json": b"{}"})
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_every_flipped_byte_is_found(path):
    content = path.read_bytes()
    for place in range(len(content)):
        for flip in (1, 0x80):
            path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
            with pytest.raises(ModelFileError):
                read_archive(path)


def test_every_truncation_is_found(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match=r"is no model file|is cut short|is damaged"):
            read_archive(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=400))
def test_anything_else_is_refused(tmp_path, content):
    for start in (b"", b"PK\x03\x04"):
        for written in (start + content, sealed(start + content, as_it_is=True)):
            (tmp_path / "other").write_bytes(written)
            with pytest.raises(ModelFileError):
                read_archive(tmp_path / "other")


def test_something_behind_the_seal_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ModelFileError, match="is cut short, damaged at its end, or no model file of stackkit"):
        read_archive(path)


@pytest.mark.parametrize(
    "name", ["../x.json", "/etc/x.json", "a/../x.json", "c:/x.json", "a\\x.json", "a//x.json", "A.json", "x", "a.json/"]
)
def test_names_lead_nowhere(tmp_path, name):
    _attack(tmp_path / "bad", {name: b"1"})
    with pytest.raises(ModelFileError, match="a member with the forbidden name"):
        read_archive(tmp_path / "bad")
    with pytest.raises(ValueError, match="A member's name must be lower-case words"):
        write_archive(tmp_path / "new", {}, {name: b"1"})
    assert sorted(item.name for item in tmp_path.iterdir()) == ["bad"]


def test_a_name_that_ends_early_is_refused(tmp_path):
    """zipfile itself would cut the name at the zero byte."""
    _attack(tmp_path / "bad", {"a.json?evil": b"1"})
    body = (tmp_path / "bad").read_bytes().replace(b"a.json?evil", b"a.json\0evil")
    (tmp_path / "bad").write_bytes(sealed(body[: body.rfind(b"stackkit-sha256:")], as_it_is=True))
    with pytest.raises(ModelFileError, match=r"forbidden name 'a.json\\x00evil'"):
        read_archive(tmp_path / "bad")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path):
    text = json.dumps(_manifest({"a.json": b"1"}))
    pairs = [("manifest.json", text), ("a.json", b"2"), ("a.json", b"1")]
    (tmp_path / "bad").write_bytes(sealed(_zipped(pairs)))
    with pytest.raises(ModelFileError, match="two members of one name"):
        read_archive(tmp_path / "bad")


def test_links_are_refused(tmp_path):
    _attack(tmp_path / "bad", {"a.json": b"/etc/passwd"}, attr=(stat.S_IFLNK | 0o777) << 16)
    with pytest.raises(ModelFileError, match="no regular file"):
        read_archive(tmp_path / "bad")


def test_other_ways_to_pack_are_refused(tmp_path):
    _attack(tmp_path / "bad", {"a.json": b"1"}, how=ZIP_BZIP2)
    with pytest.raises(ModelFileError, match="packed in a way that stackkit does not use"):
        read_archive(tmp_path / "bad")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    _attack(tmp_path / "bad", {"a.json": bytes(30_000_000)}, how=ZIP_DEFLATED)
    assert (tmp_path / "bad").stat().st_size < 40_000
    monkeypatch.setattr(ZipFile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(ModelFileError, match=r"would become \d+ bytes in memory, more than 50 times its size"):
        read_archive(tmp_path / "bad")


def test_a_bomb_that_denies_its_size_is_refused(tmp_path):
    """The directory says one byte; what comes out is cut there."""
    _attack(tmp_path / "bad", {"a.json": bytes(1_000_000)}, how=ZIP_DEFLATED)
    content = (tmp_path / "bad").read_bytes().replace((1_000_000).to_bytes(4, "little"), (1).to_bytes(4, "little"))
    (tmp_path / "bad").write_bytes(sealed(content[: content.rfind(b"stackkit-sha256:")], as_it_is=True))
    with pytest.raises(ModelFileError, match="is damaged"):
        read_archive(tmp_path / "bad")


def test_members_that_overlap_are_refused(tmp_path):
    """Many entries of the directory for the same bytes of the file."""
    data = np.random.default_rng(0).bytes(50_000)
    names = [f"a{number}.json" for number in range(60)]
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", json.dumps(_manifest(dict.fromkeys(names, data))))
        archive.writestr(names[0], data)
        for name in names[1:]:
            entry = ZipInfo(name)
            for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(entry, field, getattr(archive.getinfo(names[0]), field))
            archive.filelist.append(entry)
    (tmp_path / "bad").write_bytes(sealed(file.getvalue()))
    with pytest.raises(ModelFileError, match="bytes in memory, more than"):
        read_archive(tmp_path / "bad")


@pytest.mark.parametrize("number", [2, 0, "1", None, True, 1.5, [1]])
def test_other_formats_are_named(tmp_path, number):
    _attack(tmp_path / "bad", {}, {"format": number, "members": {}})
    with pytest.raises(ModelFileError, match=r"has the format .*, and this version of stackkit reads 1"):
        read_archive(tmp_path / "bad")


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "\xff", "NaN,"])
def test_a_manifest_that_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "bad").write_bytes(sealed(_zipped([("manifest.json", text.encode("latin1"))])))
    with pytest.raises(ModelFileError, match=r"has a manifest.json that cannot be read"):
        read_archive(tmp_path / "bad")


def test_a_huge_manifest_is_not_read(tmp_path):
    for pairs in ([("manifest.json", b" " * ((1 << 24) + 1))], []):
        (tmp_path / "bad").write_bytes(sealed(_zipped([*pairs, ("a.json", b"1")])))
        with pytest.raises(ModelFileError, match=r"has no manifest.json, or one of more than 16777216 bytes"):
            read_archive(tmp_path / "bad")
    with pytest.raises(ValueError, match="must not exceed 16777216 bytes"):
        write_archive(tmp_path / "new", {"fact": "x" * (1 << 24)}, {})


@pytest.mark.parametrize(
    ("members", "listed"),
    [({"a.json": b"1"}, {}), ({}, {"a.json": b"1"}), ({"a.json": b"1"}, {"b.json": b"1"})],
    ids=["one more", "one less", "another"],
)
def test_members_are_those_of_the_manifest(tmp_path, members, listed):
    _attack(tmp_path / "bad", members, _manifest(listed))
    with pytest.raises(ModelFileError, match="other members than its manifest lists"):
        read_archive(tmp_path / "bad")


@pytest.mark.parametrize("listed", [None, [], {"a.json": None}, {"a.json": {"size": 1}}, {"a.json": {"size": 2}}])
def test_members_are_as_the_manifest_says(tmp_path, listed):
    _attack(tmp_path / "bad", {"a.json": b"1"}, {"format": 1, "members": listed})
    with pytest.raises(ModelFileError, match=r"is not the one that the manifest describes|other members than"):
        read_archive(tmp_path / "bad")


@pytest.mark.parametrize("data", [bytes(3_000_000), b"ab" * 500_000, b"", b"x" * 700])
def test_what_packs_too_well_can_be_read_all_the_same(tmp_path, data):
    write_archive(tmp_path / "kept", {}, {"a.npz": data})
    assert read_archive(tmp_path / "kept").members == {"a.npz": data}


def test_what_packs_well_is_packed(tmp_path):
    data = json.dumps(list(range(20_000))).encode()
    write_archive(tmp_path / "kept", {}, {"a.json": data})
    size = (tmp_path / "kept").stat().st_size
    assert len(data) / GROWTH < size < len(data) / 2
    assert zipfile.is_zipfile(tmp_path / "kept")


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "nowhere")
