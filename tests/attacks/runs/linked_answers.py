"""The folder for answers in the run's folder is a link: whole files would be written elsewhere, over those of other runs."""

WHEN, OUTCOME, SAYS = "before", "refused", "/outputs is a link"


def attack(scene):
    scene.run.mkdir(parents=True)
    (scene.run / "outputs").symlink_to(scene.elsewhere)
