"""The journal is a link to an empty file elsewhere, to which lines would be appended."""

WHEN, OUTCOME, SAYS = "before", "refused", "/journal.log is a link"


def attack(scene):
    scene.run.mkdir(parents=True)
    (scene.run / "journal.log").symlink_to(scene.elsewhere / "empty")
