"""Released weights: what is read, and that no hostile file runs anything."""

from __future__ import annotations

import collections
import enum
import os
import pickle
import stat
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.data.checkpoint_guard import MAX_PROGRAM_BYTES
from harness.data.checkpoints import convert, load_checkpoint
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, UnsafeArtefactError


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3),
        "bn.num_batches_tracked": torch.tensor(7),
        "half": torch.ones(5).half(),
    }


class Touch:
    """Unpickling it makes a file: what no loader here may do."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.without-a-meaning"])
def test_a_bare_state_dict(tmp_path, state, name):
    torch.save(state, tmp_path / name)
    checkpoint = load_checkpoint(tmp_path / name)
    same(checkpoint.state_dict, state)
    assert checkpoint.epoch is None
    assert checkpoint.hyper_parameters == {}


def test_safetensors(tmp_path, state):
    save_file(state, tmp_path / "weights.bin")
    same(load_checkpoint(tmp_path / "weights.bin").state_dict, state)


def test_parameters_and_the_wrapper_of_deit(tmp_path, state):
    network = torch.nn.Linear(3, 2)
    torch.save({"model": {"weight": network.weight, "bias": network.bias}}, tmp_path / "deit.pth")
    found = load_checkpoint(tmp_path / "deit.pth").state_dict
    same(found, {"weight": network.weight.detach(), "bias": network.bias.detach()})
    assert not any(value.requires_grad for value in found.values())


def lightning(state: dict[str, torch.Tensor], hyper_parameters: object) -> dict[str, object]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1, momentum=0.9)
    return {
        "epoch": 469,
        "global_step": 183_300,
        "pytorch-lightning_version": "1.5.10",
        "state_dict": collections.OrderedDict(state),
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.3)}},
        "optimizer_states": [optimiser.state_dict()],
        "lr_schedulers": [{"_last_lr": [0.1], "T_max": 250}],
        "hparams_name": "cf",
        "hyper_parameters": hyper_parameters,
    }


def test_a_lightning_checkpoint(tmp_path, state):
    torch.save(lightning(state, {"classes": 10, "mean": (0.5, 0.4), "name": "vgg13"}), tmp_path / "last.ckpt")
    checkpoint = load_checkpoint(tmp_path / "last.ckpt")
    same(checkpoint.state_dict, state)
    assert checkpoint.epoch == 469
    assert checkpoint.hyper_parameters == {"classes": 10, "mean": [0.5, 0.4], "name": "vgg13"}


@pytest.fixture
def configuration(monkeypatch):
    """A configuration as OmegaConf pickles it, of classes that are gone when it is read."""
    package, nodes = types.ModuleType("omegaconf.dictconfig"), types.ModuleType("omegaconf.nodes")

    class DictConfig:
        def __init__(self, content: dict[str, object]) -> None:
            self.__dict__.update(_metadata={"ref_type": dict}, _parent=None, _content=content)

        def __setstate__(self, state):
            raise AssertionError("a class of the file was used")

    class AnyNode:
        def __init__(self, value: object) -> None:
            self.__dict__.update(_metadata=None, _val=value)

    class Mode(enum.Enum):
        train = "train"

    for module, kinds in ((package, (DictConfig,)), (nodes, (AnyNode, Mode))):
        for kind in kinds:
            kind.__module__, kind.__qualname__ = module.__name__, kind.__name__
            setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    counted = collections.defaultdict(list, {"seen": [1]})
    return DictConfig({"rate": AnyNode(0.3), "inner": DictConfig({"path": AnyNode(Path("/a/b"))}), "mode": AnyNode(Mode.train), "counted": counted})  # fmt: skip


def test_configurations_are_read_without_their_classes(tmp_path, state, configuration, monkeypatch):
    torch.save(lightning(state, {"cf": configuration}), tmp_path / "last.ckpt")
    monkeypatch.delitem(sys.modules, "omegaconf.dictconfig")
    monkeypatch.delitem(sys.modules, "omegaconf.nodes")
    checkpoint = load_checkpoint(tmp_path / "last.ckpt")
    same(checkpoint.state_dict, state)
    expected = {"rate": 0.3, "inner": {"path": "/a/b"}, "mode": "train", "counted": {"seen": [1]}}
    assert checkpoint.hyper_parameters == {"cf": expected}
    assert "omegaconf.dictconfig" not in sys.modules
    allowed = [each for each in torch.serialization.get_safe_globals() if isinstance(each, tuple)]
    assert not [name for _, name in allowed if name.startswith("omegaconf")]  # it was for this file only


def test_dicts_of_lightning_are_read_as_plain_ones(tmp_path, state, monkeypatch):
    module = types.ModuleType("pytorch_lightning.utilities.parsing")
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    for name in ("pytorch_lightning", "pytorch_lightning.utilities"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save(lightning(state, module.AttributeDict(rate=0.5)), tmp_path / "last.ckpt")
    monkeypatch.delitem(sys.modules, module.__name__)
    assert load_checkpoint(tmp_path / "last.ckpt").hyper_parameters == {"rate": 0.5}


def test_a_hidden_call_is_named_and_not_made(tmp_path, state):
    path, marker = tmp_path / "last.ckpt", tmp_path / "ran"
    torch.save(lightning(state, {"cf": Touch(marker)}), path)
    with pytest.raises(
        UnsafeArtefactError, match=r"last\.ckpt was not loaded: it wants to call posix\.system.*safetensors"
    ):
        load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["builtins.eval", "torch.hub.load", "omegaconf.x.__import__('os')", "numpy.core.multiarray._reconstruct", "builtins.bytearray", "torch.FloatTensor"])  # fmt: skip
def test_other_calls_are_refused_too(tmp_path, name):
    package, _, own = name.rpartition(".")
    program = b"\x80\x02" + f"c{package}\n{own}\n".encode() + b"X\x01\x00\x00\x001\x85R."
    path = archive(tmp_path / "a.pt", {"a/data.pkl": program, "a/version": b"3"})
    with pytest.raises((UnsafeArtefactError, IntegrityError), match="was not loaded"):
        load_checkpoint(path)


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as stream:
        for name, content in members.items():
            stream.writestr(name, content)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as stream:
        return {name: stream.read(name) for name in stream.namelist()}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_bare_pickle_is_refused(tmp_path, protocol):
    path, marker = tmp_path / "weights.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"state_dict": Touch(marker)}, protocol=protocol))
    with pytest.raises(UnsafeArtefactError, match=r"bare pickle.*safetensors"):
        load_checkpoint(path)
    assert not marker.exists()


def test_a_pickle_of_text_is_refused(tmp_path):
    path, marker = tmp_path / "weights.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"state_dict": Touch(marker)}, protocol=0))
    with pytest.raises(IntegrityError, match="no checkpoint"):
        load_checkpoint(path)
    assert not marker.exists()


def test_the_form_of_torch_before_1_6_is_refused(tmp_path, state):
    path, marker = tmp_path / "legacy.pth", tmp_path / "ran"
    torch.save(state | {"x": Touch(marker)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(UnsafeArtefactError, match="bare pickle"):
        load_checkpoint(path)
    assert not marker.exists()


def test_a_pickle_that_hides_its_calls_is_refused(tmp_path):
    marker = tmp_path / "ran"
    path = archive(tmp_path / "a.pt", {"a/data.pkl": pickle.dumps(Touch(marker), protocol=4)})
    with pytest.raises(UnsafeArtefactError, match="STACK_GLOBAL"):
        load_checkpoint(path)
    assert not marker.exists()


def test_a_program_of_torchscript_is_refused(tmp_path):
    parts = {
        "p/data.pkl": b"\x80\x02N.",
        "p/constants.pkl": b"\x80\x02N.",
        "p/code/__torch__.py": b"def forward(): ...",
    }
    archive(tmp_path / "program.pt", parts, zipfile.ZIP_DEFLATED)
    with pytest.raises(UnsafeArtefactError, match="TorchScript"):
        load_checkpoint(tmp_path / "program.pt")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_a_file_that_is_cut_off(tmp_path, state, kept):
    path = tmp_path / "last.ckpt"
    torch.save(lightning(state, {}), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(IntegrityError, match=r"damaged or cut off.*fetch it again"):
        load_checkpoint(path)


@pytest.mark.parametrize("position", range(0, 2000, 90))
def test_flipped_bytes_are_an_error_or_harmless(tmp_path, state, position):
    path = tmp_path / "last.ckpt"
    torch.save(lightning(state, {"a": 1}), path)
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))
    try:
        found = load_checkpoint(path).state_dict
    except IntegrityError:
        return
    assert [value.shape for value in found.values()] == [value.shape for value in state.values()]


def test_a_web_page_instead_of_weights(tmp_path):
    (tmp_path / "last.ckpt").write_text("\n<!DOCTYPE html><html><body>Sign in</body></html>")
    with pytest.raises(IntegrityError, match="web page, so its download went wrong"):
        load_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("content", "what"), [(b"", "empty"), (b"\x1f\x8b\x08" + b"\0" * 20, "compressed"), (b"abc" * 9, "neither")]
)
def test_other_files(tmp_path, content, what):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(IntegrityError, match=what):
        load_checkpoint(tmp_path / "weights.pt")


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match=r"none\.pt does not exist"):
        load_checkpoint(tmp_path / "none.pt")


def test_arrays_with_objects_are_refused(tmp_path):
    marker = tmp_path / "ran"
    objects = np.array([Touch(marker)], dtype=object)
    np.savez(tmp_path / "a.npz", weight=objects)
    np.save(tmp_path / "a.npy", objects)
    with pytest.raises(IntegrityError, match=r"\.npz"):
        load_checkpoint(tmp_path / "a.npz")
    with pytest.raises(IntegrityError, match="array of numpy"):
        load_checkpoint(tmp_path / "a.npy")
    assert not marker.exists()


def test_arrays_inside_a_checkpoint_are_refused(tmp_path, state):
    torch.save(state | {"array": np.ones(3)}, tmp_path / "a.pt")
    with pytest.raises(UnsafeArtefactError, match="numpy"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_bomb_is_not_unpacked(tmp_path, state):
    torch.save(state, tmp_path / "a.pt")
    bomb = members(tmp_path / "a.pt") | {"a/data/0": bytes(1 << 24)}
    path = archive(tmp_path / "b.pt", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 16
    with pytest.raises(IntegrityError, match="compressed"):
        load_checkpoint(path)


def test_a_member_that_claims_more_than_there_is(tmp_path, state):
    path = tmp_path / "a.pt"
    torch.save(state, path)
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\1\2", content.find(b"PK\1\2") + 1)
    content[entry + 20 : entry + 28] = 2 * (1 << 30).to_bytes(4, "little")  # both sizes in the directory
    path.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match="more bytes than the file has"):
        load_checkpoint(path)


def test_an_endless_program_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as stream, stream.open("a/data.pkl", "w") as member:
        for _ in range(MAX_PROGRAM_BYTES // (1 << 20) + 1):
            member.write(bytes(1 << 20))
    with pytest.raises(IntegrityError, match="more than the"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_members_that_would_leave_the_archive(tmp_path, state, name):
    torch.save(state, tmp_path / "a.pt")
    path = archive(tmp_path / "b.pt", members(tmp_path / "a.pt") | {name: b"x"})
    with pytest.raises(UnsafeArtefactError, match="leave the archive"):
        load_checkpoint(path)


def test_symbolic_links_are_refused(tmp_path, state):
    torch.save(state, tmp_path / "a.pt")
    path = archive(tmp_path / "b.pt", members(tmp_path / "a.pt"))
    with zipfile.ZipFile(path, "a") as stream:
        link = zipfile.ZipInfo("a/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        stream.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeArtefactError, match="symbolic link"):
        load_checkpoint(path)


@pytest.mark.parametrize("field", [(-6, 4), (-10, 4), (-12, 2)])  # of the directory: its place, size, and entries
def test_a_directory_that_is_elsewhere_is_refused(tmp_path, state, field):
    place, size = field
    torch.save(state, tmp_path / "a.pt")
    path = archive(tmp_path / "b.pt", members(tmp_path / "a.pt"))  # torch repeats these fields in a larger form
    content = bytearray(path.read_bytes())
    content[len(content) + place : len(content) + place + size] = b"\xf0" * size
    path.write_bytes(bytes(content))
    with pytest.raises(IntegrityError):
        load_checkpoint(path)


def test_a_second_directory_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "a.pt")
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "a") as stream:
        stream.comment = b"PK\5\6 and so on"
    with pytest.raises(IntegrityError, match=r"directory at its end|no complete zip"):
        load_checkpoint(path)


def test_two_programs_are_refused(tmp_path, state):
    torch.save(state, tmp_path / "a.pt")
    path = archive(tmp_path / "b.pt", members(tmp_path / "a.pt") | {"b/data.pkl": b"\x80\x02}."})
    with pytest.raises(IntegrityError, match=r"data\.pkl"):
        load_checkpoint(path)


def test_tensors_larger_than_their_numbers_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, tmp_path / "a.pt")
    with pytest.raises(IntegrityError, match="claims more numbers"):
        load_checkpoint(tmp_path / "a.pt")
    one = torch.zeros(4096)
    torch.save({str(index): one[:] for index in range(1000)}, tmp_path / "b.pt")
    with pytest.raises(IntegrityError, match="far more than the file has"):
        load_checkpoint(tmp_path / "b.pt")


def test_configurations_without_end_are_refused(tmp_path, state):
    laughs: list[object] = ["ha"]
    for _ in range(60):
        laughs = [laughs, laughs]
    torch.save(lightning(state, {"cf": laughs}), tmp_path / "a.ckpt")
    with pytest.raises(IntegrityError, match=r"a\.ckpt was refused: its configuration has no end"):
        load_checkpoint(tmp_path / "a.ckpt")
    loop: list[object] = []
    loop.append(loop)
    torch.save(lightning(state, {"cf": loop}), tmp_path / "b.ckpt")
    with pytest.raises(IntegrityError, match=r"b\.ckpt"):
        load_checkpoint(tmp_path / "b.ckpt")


@pytest.mark.parametrize(
    "content", [{"a": 1}, {}, [torch.ones(2)], {"state_dict": {}}, {1: torch.ones(2)}, torch.ones(2)]
)
def test_what_is_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(IntegrityError, match=r"a\.pt holds"):
        load_checkpoint(tmp_path / "a.pt")


def test_sparse_tensors_are_refused(tmp_path):
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "a.pt")
    with pytest.raises(UnsafeArtefactError, match="_rebuild_sparse_tensor"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "header", [b'{"a":{"dtype":"F32","shape":[1048576],"data_offsets":[0,4194304]}}', b"{" * 40, b'{"a":1}']
)
def test_safetensors_with_a_bad_header(tmp_path, header):
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    with pytest.raises(IntegrityError, match="no valid safetensors file"):
        load_checkpoint(path)


def test_safetensors_with_a_header_that_claims_too_much(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes((1 << 50).to_bytes(8, "little") + b"{}" + bytes(64))
    with pytest.raises(IntegrityError, match="no valid safetensors file"):
        load_checkpoint(path)


@pytest.mark.parametrize("version", ["2.5.1", "2.9.1+cu128"])
def test_versions_of_torch_with_known_holes_load_no_checkpoints(tmp_path, state, monkeypatch, version):
    torch.save(state, tmp_path / "a.pt")
    save_file(state, tmp_path / "a.safetensors")
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(UsageError, match=r"needs torch 2\.10 or newer"):
        load_checkpoint(tmp_path / "a.pt")
    same(load_checkpoint(tmp_path / "a.safetensors").state_dict, state)


def test_converting_keeps_every_number_and_renames(tmp_path, state):
    shared = torch.arange(12.0).reshape(3, 4)
    state |= {"shared": shared, "view": shared[1:], "turned": shared.T}
    torch.save(lightning(state, {}), tmp_path / "last.ckpt")
    written = convert(tmp_path / "last.ckpt", tmp_path / "a.safetensors")
    same(load_file(tmp_path / "a.safetensors"), {name: value.contiguous() for name, value in state.items()})
    assert written["turned"] == (4, 3)
    convert(
        tmp_path / "last.ckpt",
        tmp_path / "b.safetensors",
        lambda found: {f"x.{name}": found[name] for name in ("half",)},
    )
    same(load_file(tmp_path / "b.safetensors"), {"x.half": state["half"]})


def test_converting_twice_gives_the_same_bytes(tmp_path, state):
    torch.save(state, tmp_path / "a.pt")
    torch.save(dict(reversed(state.items())), tmp_path / "b.pt")
    for name in ("a", "b"):
        convert(tmp_path / f"{name}.pt", tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_failed_conversion_leaves_the_old_file(tmp_path, state):
    torch.save(state, tmp_path / "a.pt")
    (tmp_path / "out.safetensors").write_bytes(b"old")
    with pytest.raises(KeyError):
        convert(tmp_path / "a.pt", tmp_path / "out.safetensors", lambda found: {"a": found["none"]})
    (tmp_path / "bad.pt").write_bytes(pickle.dumps(1))
    with pytest.raises(UnsafeArtefactError):
        convert(tmp_path / "bad.pt", tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.pt", "bad.pt", "out.safetensors"}


def test_nothing_falls_back(tmp_path, state, monkeypatch):
    """torch is asked once, with `weights_only`, and what it says is final."""
    torch.save(state, tmp_path / "a.pt")
    asked = []

    def load(*_: object, **options: object) -> None:
        asked.append(options)
        raise RuntimeError("Weights only load failed. Set `weights_only` to `False`.")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(UnsafeArtefactError, match="finds it unsafe or damaged") as caught:
        load_checkpoint(tmp_path / "a.pt")
    assert "False" not in str(caught.value)
    assert [options["weights_only"] for options in asked] == [True]
