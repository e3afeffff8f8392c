"""The method's file becomes a link to another one after the check."""

WHEN, OUTCOME = "after the check", "harmless"


def attack(scene):
    other = scene.elsewhere.parent / "other.py"
    other.write_text("raise RuntimeError('another file')")
    scene.method.unlink()
    scene.method.symlink_to(other)
