"""Readers as data: what a manifest may say, and what is refused with it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from harness.spec.readers import Reader

READER: TypeAdapter[Any] = TypeAdapter(Reader)
TREE = {"kind": "image-tree", "pattern": "(?P<label>.+)/x"}
TABLE = {"file": "t.csv", "path": "{a}", "label": "y"}
VOLUMES = {"kind": "volumes", "pattern": "l", "channels": {"c": {"path": "x"}}, "labels": {"a": [1]}}
CIFAR = {"kind": "cifar-binary", "files": {"a": ["x.bin"]}, "classes": 2}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "pickles"}, "does not match any of the expected tags"),
        ({"kind": "medmnist", "file": "/etc/passwd"}, "not a plain relative path"),
        ({"kind": "medmnist", "file": "../m.npz"}, "not a plain relative path"),
        ({"kind": "medmnist", "file": "m.npz", "colour": 1}, "Extra inputs are not permitted"),
        ({**TREE, "pattern": "(?P<label>"}, "is no regular expression"),
        ({**TREE, "pattern": "x"}, "needs a group"),
        ({**TREE, "classes": ["a"], "table": "t.csv"}, "not both"),
        ({"kind": "shapes", "pattern": "x", "points": 4}, "needs a group"),
        ({"kind": "image-tables", "classes": 2, "tables": [{**TABLE, "one_hot": ["a"]}]}, "`label` or `one_hot`"),
        ({"kind": "image-tables", "classes": 2, "tables": [{"file": "t.csv", "path": "a"}]}, "`label` or `one_hot`"),
        ({"kind": "image-tables", "classes": 2, "tables": [{**TABLE, "join": "o.csv"}]}, "belong together"),
        ({"kind": "image-tables", "classes": 2, "tables": [{**TABLE, "path": "{a.__class__:>9}"}]}, "should match"),
        ({"kind": "image-tables", "classes": 2, "tables": [{**TABLE, "path": "{a"}]}, "should match"),
        ({**VOLUMES, "labels": {"a": [1], "b": [1]}}, "one foreground class only"),
        ({**VOLUMES, "labels": {"a": [0]}}, "0 is the background"),
        ({**CIFAR, "label": "fine"}, "not among the label bytes"),
        ({**CIFAR, "names": {"fine": "n.txt"}}, "not among the label bytes"),
        ({"kind": "hdf5", "files": {"a": ["x.h5"]}, "inputs": "link/data", "classes": 2}, "should match"),
    ],
)
def test_readers_that_make_no_sense(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        READER.validate_python(fields)


@pytest.mark.parametrize("template", ["{a}", "x/{a:03}/{b:.2}_{c c}.png", "plain"])
def test_templates(template: str) -> None:
    found = READER.validate_python({"kind": "image-tables", "classes": 2, "tables": [{**TABLE, "path": template}]})
    assert found.tables[0].path == template
