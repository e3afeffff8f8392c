"""The journal is a link to a name that is not there yet: a file would be made elsewhere."""

WHEN, OUTCOME, SAYS = "before", "refused", "/journal.log is a link"


def attack(scene):
    scene.run.mkdir(parents=True)
    (scene.run / "journal.log").symlink_to(scene.elsewhere / "new")
