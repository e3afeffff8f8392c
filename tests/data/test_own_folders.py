"""What users have, looked at before it is taken; digests that only the public has; mirrors."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.data.fetch import fetch
from harness.data.locking import lock_dataset
from harness.data.manifests import Manifest, find_dataset, load_manifest, read_datasets, with_local_record
from harness.data.origins.base import OriginError
from harness.data.readers.opening import open_part
from harness.data.store import dataset_folder, missing_files
from harness.data.upkeep import prune, removable, verify
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, UnsafeArtefactError
from tests.data.readers.support import pixels, png, shared, write
from tests.data.server import FileServer
from tests.data.sources import Listener, dataset, hastily, md5, sha256, tree, url_file
from tests.data.test_fetch import DATA, own, zip_of

IMAGES = {"kind": "image-tree", "pattern": r"images/(?P<label>[ab])/[^/]+\.png"}
PAGE = b"<!DOCTYPE html><title>Sign in</title>"


def of_images(cache: Path, **facts: Any) -> Manifest:
    return dataset(cache, own("images", folder=True, **facts), reader=IMAGES, parts={"all": {}})


def images(folder: Path, count: int = 2) -> Path:
    for number in range(count):
        write(folder / "ab"[number % 2] / f"{number}.png", png(pixels(4, 4, 3)))
    return folder


# folders -------------------------------------------------------------------------------------------


def test_a_wrong_folder_is_not_taken_for_the_only_one(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "x/readme.txt", "hi")
    for name in ("imagenet-val", "oct2017", "kits21", "coma"):
        manifest = find_dataset(name)
        with pytest.raises(
            UsageError, match=rf"{tmp_path / 'x'} has no file that fits .* --from names a folder that holds"
        ):
            fetch(manifest, hastily(source=tmp_path / "x"))
        assert missing_files(manifest)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty is empty; --from names a folder that holds val of imagenet-val"):
        fetch(find_dataset("imagenet-val"), hastily(source=tmp_path / "empty"))
    assert tree(cache / "data" / "sets") == {}


def test_a_folder_of_the_right_name_is_looked_at_too(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "images/c/0.png", b"")
    with pytest.raises(UsageError, match=r"images has no file that fits 'images/"):
        fetch(of_images(cache), hastily(source=tmp_path))


def test_kaggles_folder_with_a_blank_at_its_end(cache: Path, tmp_path: Path) -> None:
    for source in (tmp_path / "kermany2018", tmp_path / "kermany2018/OCT2017 "):
        write(tmp_path / "kermany2018/OCT2017 /test/CNV/CNV-1.jpeg", b"")
        manifest = find_dataset("oct2017")
        folder = fetch(manifest, hastily(source=source))
        assert list(open_part(manifest, "test", folder).ids) == ["OCT2017/test/CNV/CNV-1.jpeg"]
        assert verify(manifest) == ()
        prune(removable(["oct2017"], None))
    assert (tmp_path / "kermany2018/OCT2017 /test/CNV/CNV-1.jpeg").exists()


def test_files_are_counted_against_the_release(cache: Path, tmp_path: Path) -> None:
    images(tmp_path / "images", 4)
    for holds, said in ((4, []), (5, [f"toy: of the files in {tmp_path / 'images'} 4 are read, 5 are expected; what is drawn from them with a seed are other samples than from the whole release"])):  # fmt: skip
        manifest, progress = of_images(cache, holds=holds), Listener()
        fetch(manifest, hastily(progress, source=tmp_path))
        assert [each for each in progress.said if "expected" in each] == said
        again = Listener()
        assert verify(manifest, again) == ()
        assert len(again.said) == len(said)
        prune(removable(["toy"], None))


def test_verify_looks_into_folders_that_were_taken_before(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "images/readme.txt", "hi")
    fetch(dataset(cache, own("images", folder=True)), hastily(source=tmp_path))  # no reader said what to look for
    (problem,) = verify(of_images(cache))
    assert problem.startswith("images: it has no file that fits 'images/")
    with pytest.raises(UsageError, match="is not here yet"):
        dataset_folder(of_images(cache))


def test_folders_of_tables_need_their_tables(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "rxrx1/images/a.png", b"")
    with pytest.raises(UsageError, match=r"rxrx1 has no table metadata\.csv; --from"):
        fetch(find_dataset("rxrx1"), hastily(source=tmp_path))
    write(tmp_path / "rxrx1/metadata.csv", "x")
    assert fetch(find_dataset("rxrx1"), hastily(source=tmp_path))
    write(tmp_path / "lidc/lidc_idri_binaryclass.csv", "x")
    with pytest.raises(UsageError, match=r"lidc has no image; --from"):
        fetch(find_dataset("lidc-idri"), hastily(source=tmp_path))


def test_folders_of_volumes_need_labels_and_images(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "segmentations/expert/DUKE_001.nii.gz", b"")
    write(tmp_path / "images/DUKE_001/readme.txt", b"")
    with pytest.raises(UsageError, match=r"images has no image \*"):
        fetch(find_dataset("mama-mia"), hastily(source=tmp_path))
    write(tmp_path / "images/DUKE_001/duke_001_0001.nii.gz", b"")
    write(tmp_path / "images/DUKE_001/duke_001_0000.nii.gz", b"")
    assert fetch(find_dataset("mama-mia"), hastily(source=tmp_path))


def test_a_folder_without_reader_says_what_it_holds(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "saliency_maps/readme.txt", "hi")
    with pytest.raises(UsageError, match=r"saliency_maps has no file \*\.npz"):
        fetch(find_dataset("latec-maps"), hastily(source=tmp_path))


# archives ------------------------------------------------------------------------------------------


def nested(**classes: dict[str, bytes]) -> bytes:
    def packed(members: dict[str, bytes]) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return stream.getvalue()

    return packed({f"{name}.tar": packed(members) for name, members in classes.items()})


def test_a_folder_or_the_archive_that_it_is_made_of(cache: Path, tmp_path: Path) -> None:
    image = png(pixels(4, 4, 3))
    data = nested(a={"1.png": image}, b={"2.png": image})
    write(tmp_path / "images.tar", data)
    archive = {"path": "images.tar", "sha256": sha256(data), "unpack": "tars"}
    manifest = of_images(cache, archive=archive)
    for source in (tmp_path, tmp_path / "images.tar"):
        folder = fetch(manifest, hastily(source=source))
        assert list(open_part(manifest, "all", folder).ids) == ["images/a/1.png", "images/b/2.png"]
        assert verify(manifest) == ()
        (folder / "images/a/1.png").chmod(0o644)
        write(folder / "images/a/1.png", b"changed")
        assert verify(manifest) == ("images: its member images/a/1.png was changed",)
    write(tmp_path / "images.tar", data + b"\0")
    with pytest.raises(
        IntegrityError, match=r"images\.tar is not the images\.tar that was recorded for toy: its sha256"
    ):
        fetch(manifest, hastily(source=tmp_path))
    images(tmp_path / "images")
    assert fetch(manifest, hastily(source=tmp_path)).joinpath("images").samefile(tmp_path / "images")


def test_an_archive_or_the_folder_that_a_user_has_unpacked(cache: Path, tmp_path: Path, server: FileServer) -> None:
    image = png(pixels(4, 4, 3))
    data = zip_of(images__a__1_png=image)
    url = server.put("/images.zip", data)
    packed = {**url_file(url, data, unpack="zip", unpacked="images"), "origin": {"kind": "url", "url": url}}
    manifest = dataset(cache, packed, reader={**IMAGES, "pattern": r"images/(?P<label>[ab])/.+"}, parts={"all": {}})
    write(tmp_path / "wrong/images/readme.txt", "hi")
    with pytest.raises(UsageError, match=r"images has no file that fits"):
        fetch(manifest, hastily(source=tmp_path / "wrong"))
    mine = images(tmp_path / "disk/images")
    for source in (tmp_path / "disk", mine):
        progress = Listener()
        folder = fetch(manifest, hastily(progress, source=source))
        assert progress.said == [f"{mine} is used in place of images.zip; no digest proves what is in it"]
        assert (folder / "images").samefile(mine)
        assert list(open_part(manifest, "all", folder).ids) == ["images/a/0.png", "images/b/1.png"]
        assert not missing_files(manifest)
        assert verify(manifest) == ()
        write(mine / "a/2.png", b"")
        assert verify(manifest)[0].startswith("images.zip: it has 3 files of")
        (mine / "a/2.png").unlink()
    fetch(manifest, hastily(source=mine))
    with pytest.raises(UsageError, match="is here as a folder; to lock it, fetch the archive itself"):
        lock_dataset(manifest, hastily(), tmp_path)
    prune(removable(["toy"], None))
    fetch(manifest, hastily(source=mine))
    (mine / "a/0.png").unlink()
    assert verify(manifest) != ()
    folder = fetch(manifest, hastily())
    assert tree(folder) == {"images/a/1_png": image}
    assert sorted(tree(mine)) == ["b/1.png"], "nothing was laid into the user's folder"


def test_hostile_names_in_nested_archives_are_refused(cache: Path, tmp_path: Path) -> None:
    data = nested(a={"../../../x.png": b""})
    write(tmp_path / "images.tar", data)
    manifest = of_images(cache, archive={"path": "images.tar", "sha256": sha256(data), "unpack": "tars"})
    with pytest.raises(UnsafeArtefactError, match="which leaves its folder"):
        fetch(manifest, hastily(source=tmp_path))


def test_a_byte_more_in_ones_own_archive_is_noticed(cache: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.zip", zip_of(one=b"1"))
    manifest = dataset(cache, own("x.zip", unpack="zip"))
    fetch(manifest, hastily(source=tmp_path))
    assert verify(manifest) == ()
    for data in (zip_of(one=b"1") + b"\n", zip_of(one=b"2")):
        path.write_bytes(data)
        assert verify(manifest) == (f"x.zip: {path} was changed since it was unpacked",)
        path.write_bytes(zip_of(one=b"1"))
        fetch(manifest, hastily(source=tmp_path))
    path.unlink()
    assert verify(manifest) == (), "what was unpacked does not need it"


def test_a_web_page_saved_in_place_of_the_file(cache: Path, tmp_path: Path) -> None:
    write(tmp_path / "x.zip", PAGE)
    with pytest.raises(IntegrityError, match=r"x\.zip is a web page that was saved in place of x\.zip; open it"):
        fetch(dataset(cache, own("x.zip", unpack="zip")), hastily(source=tmp_path))


def test_a_truncated_archive_of_ones_own(cache: Path, tmp_path: Path) -> None:
    whole = zip_of(one=b"1" * 1000)
    write(tmp_path / "x.zip", whole[:-30])
    with pytest.raises(IntegrityError, match=r"x\.zip is damaged, or of another form"):
        fetch(dataset(cache, own("x.zip", unpack="zip")), hastily(source=tmp_path))
    assert (tmp_path / "x.zip").exists()


# mirrors -------------------------------------------------------------------------------------------


def mirrored(cache: Path, server: FileServer, *paths: str, **facts: Any) -> Manifest:
    mirrors = [{"kind": "url", "url": f"{server.address}{path}"} for path in paths]
    return dataset(cache, {**url_file(f"{server.address}/gone/a.bin", **facts), "mirrors": mirrors})


def test_a_mirror_serves_where_the_host_is_gone(cache: Path, server: FileServer) -> None:
    server.put("/mirror/a.bin", DATA)
    progress = Listener()
    manifest = mirrored(cache, server, "/mirror/a.bin", sha256=sha256(DATA))
    assert tree(fetch(manifest, hastily(progress))) == {"a.bin": DATA}
    assert any("trying a mirror" in each for each in progress.said)


def test_a_mirror_with_other_bytes_is_refused(cache: Path, server: FileServer) -> None:
    server.put("/bad/a.bin", DATA[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"a\.bin is not the file that was recorded: its sha256"):
        fetch(mirrored(cache, server, "/bad/a.bin", sha256=sha256(DATA)), hastily())
    server.put("/page/a.bin", PAGE, type="text/html")
    server.put("/good/a.bin", DATA)
    manifest = mirrored(cache, server, "/bad/a.bin", "/page/a.bin", "/good/a.bin", md5=md5(DATA))
    assert tree(fetch(manifest, hastily())) == {"a.bin": DATA}


def test_where_no_mirror_serves_the_last_error_is_told(cache: Path, server: FileServer) -> None:
    with pytest.raises(OriginError, match=r"get a\.bin by hand"):
        fetch(mirrored(cache, server, "/also-gone/a.bin", sha256=sha256(DATA)), hastily())


def test_mirrors_need_a_digest(cache: Path, server: FileServer) -> None:
    with pytest.raises(ValidationError, match="mirrors need a sha256 or md5"):
        mirrored(cache, server, "/mirror/a.bin")


# md5 -----------------------------------------------------------------------------------------------


def test_the_first_fetch_that_matches_a_public_md5_records_the_sha256(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    manifest, progress = dataset(cache, url_file(url, md5=md5(DATA))), Listener()
    assert (manifest.locked, manifest.locked_by) == (False, "md5")
    fetch(manifest, hastily(progress))
    assert progress.said == [
        f"a.bin has the published md5; its sha256 {sha256(DATA)} is recorded here, and what comes from now on is held "
        "against it"
    ]
    recorded = with_local_record(manifest)
    assert (recorded.locked, recorded.pin(recorded.spec.files[0])[:2]) == (True, (sha256(DATA), len(DATA)))
    assert recorded.key == manifest.key
    assert not missing_files(recorded)
    prune(removable(["toy"], None))
    server.put("/a.bin", bytes(len(DATA)))
    with pytest.raises(IntegrityError, match="its sha256 is"):
        fetch(recorded, hastily())


def test_a_fetch_that_does_not_match_records_nothing(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    manifest = dataset(cache, url_file(url, md5="0" * 32))
    with pytest.raises(IntegrityError, match="its md5 is"):
        fetch(manifest, hastily())
    assert with_local_record(manifest).locked_by == "md5"


def test_the_first_digits_of_a_sha256_are_checked_and_lock_nothing(cache: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    manifest = dataset(cache, url_file(url, sha256_begins=sha256(DATA)[:8]))
    assert fetch(manifest, hastily())
    assert manifest.locked_by is None
    other = {**url_file(url, sha256_begins="00000000"), "path": "b.bin"}
    with pytest.raises(IntegrityError, match="which should begin with 00000000"):
        fetch(dataset(cache, other), hastily())


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"holds": 3}, "`holds`, `like` and `archive` belong to folders"),
        ({"unpacked": "x"}, "`unpacked` belongs to files that are unpacked"),
        ({"folder": True, "holds": 0}, "greater than or equal to 1"),
        ({"sha256_begins": "zz"}, "pattern"),
    ],
)
def test_facts_that_do_not_go_together(cache: Path, facts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        dataset(cache, own("images", **facts))


def test_a_damaged_record_counts_as_none(cache: Path, server: FileServer) -> None:
    manifest = dataset(cache, url_file(server.put("/a.bin", DATA), md5=md5(DATA)))
    fetch(manifest, hastily())
    (path,) = (cache / "data/recorded").glob("*.json")
    path.write_text("{")
    assert with_local_record(manifest).locked_by == "md5"
    assert not missing_files(with_local_record(manifest))


def test_a_lock_beside_the_manifest_goes_before_the_record(cache: Path, tmp_path: Path, server: FileServer) -> None:
    url = server.put("/a.bin", DATA)
    text = 'id = "toy"\ntitle = "Toy"\nlicence = "none"\ncitation = ["me"]\n[[files]]\npath = "a.bin"\n'
    path = write(
        tmp_path / "toy/source.toml", f'{text}md5 = "{md5(DATA)}"\norigin = {{ kind = "url", url = "{url}" }}\n'
    )
    fetch(load_manifest(path), hastily())
    assert load_manifest(path).locked
    lock = {"dataset": "toy", "files": {"a.bin": {"sha256": "0" * 64, "bytes": 1}}, "schema_version": 1}
    path.with_name("lock.json").write_text(json.dumps(lock))
    assert load_manifest(path).pin(load_manifest(path).spec.files[0]).sha256 == "0" * 64


@pytest.mark.parametrize(("name", "sizes"), [("pneumoniamnist", (4708, 524, 624)), ("breastmnist", (546, 78, 156))])
def test_the_real_files_have_the_public_digests(cache: Path, name: str, sizes: tuple[int, ...]) -> None:
    manifest = find_dataset(name)
    folder = fetch(manifest, hastily(source=shared("medmnist")))
    assert tuple(len(open_part(manifest, part, folder)) for part in ("train", "val", "test")) == sizes
    assert verify(manifest) == ()


def test_many_bundled_sets_are_locked() -> None:
    by = [manifest.locked_by for manifest in read_datasets()[0].values()]
    assert by.count("sha256") >= 12
    assert by.count("md5") >= 7
    for manifest in read_datasets()[0].values():
        for file in manifest.spec.files:
            assert file.digests or not (file.sha256 or file.md5) or file.origin.kind == "package", file.path


def test_a_folder_may_lie_deeper(cache: Path, tmp_path: Path) -> None:
    manifest = of_images(cache)
    (tmp_path / "disk/a/images").mkdir(parents=True)
    images(tmp_path / "disk/b/c/images")
    for _ in range(2):  # what the first time has left in the cache is not taken for theirs
        folder = fetch(manifest, hastily(source=tmp_path))
        assert (folder / "images").samefile(tmp_path / "disk/b/c/images")
    assert len(open_part(manifest, "all", folder)) == 2
