"""The folder of all runs, `--out` itself, is a link: this is what its user wants."""

WHEN, OUTCOME = "before", "harmless"


def attack(scene):
    (scene.elsewhere.parent / "large disk").mkdir()
    scene.run.parent.symlink_to(scene.elsewhere.parent / "large disk")
