"""What a checkout changed since a revision, as git tells it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.spec.errors import UsageError

_SECONDS = 60


@dataclass(frozen=True)
class FileChange:
    """One path, relative to the checkout. status: A added, M modified, D deleted, T other type of file."""

    status: str
    path: str


@dataclass(frozen=True)
class Revision:
    """A commit, branch or tag of a checkout."""

    checkout: Path
    name: str

    @cached_property
    def changes(self) -> tuple[FileChange, ...]:
        """What this checkout changed since it parted from the revision, in order of paths; untracked files are added.

        Raises UsageError for a folder that is no checkout, and for a revision that it does not hold.
        """
        base = self._base()
        fields = self._git("diff", "--name-status", "--no-renames", "--no-ext-diff", "-z", base, "--").split("\0")
        changed = [FileChange(*pair) for pair in zip(fields[0::2], fields[1::2], strict=False)]
        untracked = self._git("ls-files", "--others", "--exclude-standard", "-z").split("\0")
        changed += [FileChange("A", path) for path in untracked if path]
        return tuple(sorted(changed, key=lambda change: change.path))

    def _base(self) -> str:
        """The commit from which the checkout parted: what others merged since is no change of its own."""
        try:
            commit = self._git(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{self.name}^{{commit}}"
            ).strip()
            return self._git("merge-base", commit, "HEAD").strip()
        except UsageError as error:
            raise UsageError(
                f"{self.checkout} holds no history from which it parted from {self.name!r}; "
                "name a revision of it, and fetch all of it (git fetch --unshallow)."
            ) from error

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self.checkout, capture_output=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"git cannot be run in {self.checkout} ({error}); install it.") from error
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip().split("\n")[0]
            raise UsageError(f"git {arguments[0]} failed in {self.checkout}: {reason or 'it gave no reason'}.")
        return done.stdout.decode(errors="surrogateescape")


def checkout_of(folder: Path) -> Path:
    """The checkout that a folder lies in. Raises UsageError where there is none."""
    return Path(Revision(folder, "HEAD")._git("rev-parse", "--show-toplevel").removesuffix("\n"))
