"""The folder for answers becomes a link while the method is being checked."""

WHEN, OUTCOME, SAYS = "after the check", "refused", "/outputs is a link"


def attack(scene):
    scene.run.mkdir(parents=True)
    (scene.run / "outputs").symlink_to(scene.elsewhere)
