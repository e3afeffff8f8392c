"""The lock is a link to a file elsewhere, which would be emptied and removed."""

WHEN, OUTCOME, SAYS = "before", "refused", "/.run.lock is a link"


def attack(scene):
    scene.run.mkdir(parents=True)
    (scene.run / ".run.lock").symlink_to(scene.elsewhere / "empty")
