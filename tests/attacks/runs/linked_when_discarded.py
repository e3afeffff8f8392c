"""The folder of an earlier run is a link, and it is to be discarded: files elsewhere would be removed."""

WHEN, OUTCOME, SAYS, FRESH = "before", "refused", " is a link", True


def attack(scene):
    scene.run.parent.mkdir()
    (scene.elsewhere / "outputs").mkdir()
    (scene.elsewhere / "run.json").write_text("{}")
    scene.run.symlink_to(scene.elsewhere)
