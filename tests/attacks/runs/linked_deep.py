"""Deep in what a unit had done on its way, a folder is a link."""

WHEN, OUTCOME, SAYS = "before", "refused", "/under-way/0123456789abcdef/loop_001 is a link"


def attack(scene):
    folder = scene.run / "under-way" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "loop_001").symlink_to(scene.elsewhere)
