"""The run's folder is a link to a folder elsewhere, made before the run."""

WHEN, OUTCOME, SAYS = "before", "refused", " is a link, or something else that leads out of the run's own folder"


def attack(scene):
    scene.run.parent.mkdir()
    scene.run.symlink_to(scene.elsewhere)
