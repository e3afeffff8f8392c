"""From what a user typed to one method: everything is read, nothing is run, each mistake gets one sentence."""

import hashlib

import numpy as np
import pytest

from harness.methods import interface
from harness.methods.discovery import baseline_names, find_method
from harness.methods.outputs import Outputs
from harness.spec.errors import UsageError

from .support import write

ONE = """
@confidence_score(version="1.2")
def my_score(outputs):
    \"\"\"What it does.

    And how.
    \"\"\"
"""
TWO = """
@confidence_score(version="1.0")
def first(outputs): ...

def helper(): ...

@confidence_score(version="2.0", name="runner-up", needs=("inputs",), head="devries", classifier="mc-mean")
class Second:
    def score(self, outputs): ...
"""


def sentence(target):
    """The one sentence that a target is refused with."""
    with pytest.raises(UsageError) as raised:
        find_method(str(target))
    text = str(raised.value)
    assert "\n" not in text
    return text


def decorated(folder, arguments, body="def f(outputs): ..."):
    return write(folder, f"@confidence_score({arguments})\n{body}\n")


# what is found ------------------------------------------------------------------------------------


def test_a_file_with_one_method(tmp_path):
    path = write(tmp_path, ONE)
    found = find_method(str(path))
    spec = found.spec
    assert (spec.task, spec.name, spec.version, spec.origin) == ("confidence", "my-score", "1.2", "file")
    assert (spec.symbol, spec.target, spec.summary) == ("my_score", "method.py:my_score", "What it does.")
    assert (spec.needs, spec.head, spec.classifier, spec.oracle) == ((), None, "point", False)
    assert found.source == path.read_bytes()
    assert spec.source_sha256 == hashlib.sha256(found.source).hexdigest()
    assert found.module is None


@pytest.mark.parametrize("name", ["Second", "runner-up"])
def test_one_of_several_methods_by_function_or_by_declared_name(tmp_path, name):
    spec = find_method(f"{write(tmp_path, TWO)}:{name}").spec
    assert (spec.symbol, spec.name, spec.version) == ("Second", "runner-up", "2.0")
    assert (spec.needs, spec.head, spec.classifier) == (("inputs",), "devries", "mc-mean")


@pytest.mark.parametrize(
    ("statement", "decorator"),
    [
        ("import harness as h", "h.confidence_score"),
        ("import harness", "harness.confidence_score"),
        ("import harness.testing", "harness.confidence_score"),
        ("import harness.methods.interface", "harness.methods.interface.confidence_score"),
        ("import harness.methods.interface as hi", "hi.confidence_score"),
        ("from harness import confidence_score as cs", "cs"),
        ("from harness import *", "confidence_score"),
        ("from harness.methods.interface import confidence_score", "confidence_score"),
    ],
)
def test_every_way_to_import_the_decorator(tmp_path, statement, decorator):
    path = write(tmp_path, f"{statement}\n@{decorator}(version='1.0')\ndef f(outputs): ...\n")
    assert find_method(str(path)).spec.symbol == "f"


@pytest.mark.parametrize(
    ("statement", "decorator"),
    [
        ("from elsewhere import confidence_score", "confidence_score"),
        ("from .harness import confidence_score", "confidence_score"),
        ("import harness as h", "confidence_score"),
        ("import harnessed as harness", "harness.confidence_score"),
    ],
)
def test_a_decorator_from_elsewhere_is_not_ours(tmp_path, statement, decorator):
    path = write(tmp_path, f"{statement}\n@{decorator}(version='1.0')\ndef f(outputs): ...\n")
    assert "has no decorated method" in sentence(path)


def test_a_class_may_inherit_its_score(tmp_path):
    path = write(tmp_path, 'class Base: ...\n\n@confidence_score(version="1.0")\nclass Child(Base): ...\n')
    assert find_method(str(path)).spec.name == "child"


def test_discovery_does_not_run_the_file(tmp_path):
    marker = tmp_path / "ran"
    text = f"import pathlib\nfrom harness import confidence_score\npathlib.Path({str(marker)!r}).touch()\n{ONE}"
    path = write(tmp_path, text)
    assert find_method(str(path)).spec.symbol == "my_score"
    assert not marker.exists()
    exec(compile(path.read_text(), str(path), "exec"), {})
    assert marker.exists(), "the file would have left its mark"


def test_a_baseline_keeps_its_name_beside_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "msr").write_text("notes")
    assert find_method("msr").spec.origin == "baseline"


def test_a_file_needs_no_py_at_its_end(tmp_path):
    assert find_method(str(write(tmp_path, ONE, name="my_method"))).spec.name == "my-score"


def test_baselines_are_found_by_name_and_have_a_version_a_summary_and_a_source():
    names = baseline_names()
    assert {"msr", "mls", "pe", "random", "oracle", "vim", "vim-fd-shifts", "react-energy"} <= set(names)
    for name in names:
        found = find_method(name)
        assert (found.spec.name, found.spec.target, found.spec.origin) == (name, name, "baseline")
        assert found.spec.summary.endswith(".")
        assert found.module == f"harness.methods.baselines.{found.path.parent.name}.{found.path.stem}"
        assert found.spec.citation or found.spec.reference


# what is refused ----------------------------------------------------------------------------------


def test_no_such_file_names_the_nearest(tmp_path):
    write(tmp_path, ONE, name="margin.py")
    write(tmp_path, ONE, name="unrelated_thing.py")
    text = sentence(tmp_path / "margn.py")
    assert f"did you mean {tmp_path / 'margin.py'}" in text
    assert sentence(tmp_path / "nowhere" / "m.py").endswith("check the path.")


def test_no_such_method_in_the_file_names_the_nearest(tmp_path):
    assert sentence(f"{write(tmp_path, TWO)}:Secnd").endswith("did you mean Second?")


def test_several_methods_are_listed(tmp_path):
    path = write(tmp_path, TWO)
    assert sentence(path) == f"{path} has 2 methods; name one of them: {path}:first, {path}:Second."


def test_two_methods_of_one_name(tmp_path):
    path = write(tmp_path, ONE + ONE.replace("my_score", "other").replace('"1.2"', '"1.2", name="my_score"'))
    assert sentence(f"{path}:my_score") == f"{path} has 2 methods called 'my_score'; give each a name of its own."


@pytest.mark.parametrize(
    ("function", "decorator"),
    [
        ("def score(outputs): ...", "confidence_score"),
        ("def explain(model, inputs, targets): ...", "explainer"),
        ("def judge(model, inputs, targets, maps): ...", "attribution_metric"),
        ("class Mine:\n    def query(self, pool, budget, rng): ...", "query_strategy"),
        ("x = 1", "confidence_score"),
    ],
)
def test_no_decorated_method(tmp_path, function, decorator):
    path = write(tmp_path, f"import harness\n\n{function}\n")
    assert sentence(path) == (
        f"{path} has no decorated method; put one of @explainer, @attribution_metric, @confidence_score, "
        f'@query_strategy above the function, as in @{decorator}(version="1.0").'
    )


def test_a_syntax_error_names_its_line(tmp_path):
    path = write(tmp_path, "import harness\n\ndef f(:\n")
    assert sentence(path).startswith(f"{path}, line 3: ")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (b"# \xe9\xff\nx = 1\n", "invalid or missing encoding"),
        (b"# coding: zlib\n", "is not a text encoding"),
        (b"x = 1\n\n# \xe9\xff\n", "is not utf-8 text (invalid continuation byte); save it as UTF-8"),
        (b"x = 1\0\n", "null bytes"),
        (b"-" * 200_000 + b"1", "method.py"),
    ],
)
def test_what_is_no_python_source(tmp_path, source, part):
    path = tmp_path / "method.py"
    path.write_bytes(source)
    text = sentence(path)
    assert text.startswith(str(path))
    assert part in text


def test_a_declared_encoding_is_read(tmp_path):
    path = tmp_path / "method.py"
    path.write_bytes("# -*- coding: latin-1 -*-\n# é\nfrom harness import confidence_score\n".encode("latin-1"))
    path.write_bytes(path.read_bytes() + ONE.encode())
    assert find_method(str(path)).spec.symbol == "my_score"


@pytest.mark.parametrize("name", ["folder", "folder.py"])
def test_a_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    assert sentence(tmp_path / name) == f"{tmp_path / name} is not a file; name the .py file that holds the method."


def test_a_folder_named_without_a_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert sentence("mine").startswith("mine is not a file; name the .py file")


def test_a_file_that_is_too_large(tmp_path):
    path = write(tmp_path, ONE + "#" * 1_000_001)
    assert sentence(path) == f"{path} is larger than 1 MB; a method is one short file."


def test_an_unknown_baseline_names_the_nearest():
    text = sentence("mahalanobi")
    assert "no method is called 'mahalanobi'; did you mean mahalanobis" in text
    assert "ends in .py" in text


def test_an_unknown_plug_in():
    assert "no installed plug-in is called 'nobody/nothing'" in sentence("nobody/nothing")


@pytest.mark.parametrize("target", ["msr:msr", "msr:other"])
def test_a_baseline_is_one_method(target):
    assert sentence(target).startswith("msr is one method; write it without")


# the decorator ------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["@confidence_score", "@confidence_score()", '@confidence_score(name="n")'])
def test_a_missing_version(tmp_path, line):
    path = write(tmp_path, f"{line}\ndef f(outputs): ...\n")
    assert sentence(path) == (f'{path}, line 2: the decorator needs a version; write @confidence_score(version="1.0").')


@pytest.mark.parametrize("value", ["VERSION", "f'{1}'", "str(1)", "{[]: 1}"])
def test_an_argument_that_is_not_literal(tmp_path, value):
    path = decorated(tmp_path, f"version={value}")
    assert sentence(path) == (
        f"{path}, line 2: version must be a literal, because it is read without running the file."
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ('"1.0"', "name the decorator's arguments"),
        ('**{"version": "1.0"}', "one by one instead of with **"),
        ('version="1.0", citaton="x"', "did you mean citation?"),
        ('version="1.0", summary="x"', "no argument of the decorator is called 'summary'"),
        ('version="1.0", task="query"', "no argument of the decorator is called 'task'"),
        ("version=1.0", "version: it must be text, not 1.0"),
        ('version=""', "version: it must not be empty"),
        ('version="1.0", needs=("labels",)', "needs.0: it must be 'inputs', 'model' or 'members', not 'labels'"),
        ('version="1.0", classifier="ensemble"', "classifier: it must be 'point' or 'mc-mean', not 'ensemble'"),
        (
            'version="1.0", name="My Score"',
            "name: it must be of lower-case letters, digits, '.', '_' and '-', at most 80 and no sign first, not 'My Score'",
        ),
        ('version="1.0", name="../x"', "name: it must be of lower-case letters"),
        ('version="1.0", oracle=True', "are for the harness's own rows; leave them out"),
        ('version="1.0", reference=True', "are for the harness's own rows; leave them out"),
    ],
)
def test_an_argument_to_mend(tmp_path, arguments, part):
    path = decorated(tmp_path, arguments)
    text = sentence(path)
    assert text.startswith(f"{path}, line 2: ")
    assert part in text


def test_a_class_without_score(tmp_path):
    path = decorated(tmp_path, 'version="1.0"', "class Forgetful:\n    def fit(self, reference): ...")
    assert sentence(path) == (f"{path}, line 2: the class Forgetful has no method `score(self, outputs)`; write one.")


def test_an_unreadable_file(tmp_path, monkeypatch):
    path = write(tmp_path, ONE)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda self: (_ for _ in ()).throw(PermissionError(13, "denied")))
    assert sentence(path) == f"{path} cannot be read: denied."


def test_an_encoding_that_nobody_knows(tmp_path):
    path = tmp_path / "method.py"
    path.write_bytes(b"# -*- coding: klingon -*-\n")
    assert "unknown encoding" in sentence(path)


# one body of code, declared twice -----------------------------------------------------------------

TWICE = """
@confidence_score(version="1.0", citation="A 2020")
def plain(outputs):
    \"\"\"What it does.\"\"\"
    return outputs.logits.amax(dim=1)


of_devries = confidence_score(version="2.0", head="devries", citation="B 2021")(plain)
\"\"\"The same of a network with a head.

More.
\"\"\"


@confidence_score(version="1.0")
class Learnt:
    def score(self, outputs):
        return outputs.logits.amax(dim=1)


again = confidence_score(version="1.0", name="learnt-again")(Learnt)
"""


def test_a_method_may_be_declared_once_more(tmp_path):
    path = write(tmp_path, TWICE)
    first, second = (find_method(f"{path}:{name}").spec for name in ("plain", "of_devries"))
    assert (first.name, first.version, first.head, first.summary) == ("plain", "1.0", None, "What it does.")
    assert (second.name, second.version, second.head) == ("of-devries", "2.0", "devries")
    assert second.summary == "The same of a network with a head."
    assert find_method(f"{path}:learnt-again").spec.summary == ""


def test_the_second_declaration_leaves_the_first_alone(tmp_path):
    names = {"confidence_score": interface.confidence_score}
    exec(TWICE, names)
    plain, other, learnt, again = (names[name] for name in ("plain", "of_devries", "Learnt", "again"))
    assert [each.__harness__["version"] for each in (plain, other)] == ["1.0", "2.0"]
    assert [each.__harness__["name"] for each in (learnt, again)] == [None, "learnt-again"]
    assert issubclass(again, learnt)
    outputs = Outputs({"logits": np.arange(6.0).reshape(2, 3)})
    assert other(outputs).tolist() == plain(outputs).tolist() == again().score(outputs).tolist() == [2.0, 5.0]
