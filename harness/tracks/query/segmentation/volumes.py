"""The volumes that a setting names, checked for what a campaign needs."""

from __future__ import annotations

from pathlib import Path

from harness.spec.errors import UsageError
from harness.spec.query import RawFolder, TemplateVolumes
from harness.tracks.query.segmentation.cases import Cases
from harness.tracks.query.segmentation.raw_folder import RawFolderCases
from harness.tracks.query.segmentation.template_cases import TemplateCases
from harness.tracks.query.sources import Setting


def open_cases(setting: Setting, scratch: Path) -> Cases:
    """The volumes of a setting, all read and checked once; `scratch` is a folder for what is computed from them.

    A pool must have every class in at least two images, as cross-validation over images needs. Raises UsageError for
    data that cannot be used, with the file; IntegrityError for pinned files that were changed.
    """
    cases: Cases
    if isinstance(setting.dataset, TemplateVolumes):
        path, _ = setting.protocol.verified(setting.dataset.cases)
        cases = TemplateCases(path)
    elif isinstance(setting.dataset, RawFolder):
        folder = setting.protocol.locate(setting.dataset.folder)
        pinned = setting.protocol.verified(setting.dataset.cases)[0] if setting.dataset.cases else None
        cases = RawFolderCases(setting.dataset, folder, pinned, scratch)
    else:
        raise TypeError(f"{setting.dataset.id} holds no volumes")
    _check_classes(cases)
    return cases


def _check_classes(cases: Cases) -> None:
    import numpy as np

    if not cases.pool or not cases.held_out:
        empty = "pool" if not cases.pool else "held-out part"
        raise UsageError(f"the {empty} of the data set has no case; it needs some of both kinds.")
    present = np.array([cases.counts[name] > 0 for name in cases.pool])
    if not present[:, 1:].any():
        raise UsageError("no image of the pool has any foreground; check the label files, there is nothing to learn.")
    for number, name in enumerate(cases.classes):
        if (images := int(present[:, number].sum())) < 2:
            raise UsageError(
                f"class {number} ({name}) is in {images} of the {len(cases.pool)} pool images; cross-validation needs "
                f"it in two: add cases that show it, or merge it with another class."
            )
