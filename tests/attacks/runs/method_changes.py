"""The method's file becomes another one after the check: what runs, and is kept, is what was checked."""

WHEN, OUTCOME = "after the check", "harmless"


def attack(scene):
    scene.method.write_text("raise RuntimeError('another file')")
