"""Meshes and clouds as point clouds: ModelNet40 (OFF), CoMA (PLY), ShapeNet (text)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.readers.base import Listing, checked
from harness.data.readers.files import class_numbers, labelled, library
from harness.spec.errors import UsageError
from harness.spec.readers import ShapesReader
from harness.storage import IntegrityError, bytes_id

if TYPE_CHECKING:
    import numpy as np

MAX_BYTES = 1 << 28  # of one mesh: the largest of ModelNet40 has 90 MB
_NORMALISED = 0.999999  # largest coordinate, as PyTorch Geometric's NormalizeScale has it
_MESHES = (".off", ".ply")


def list_samples(reader: ShapesReader, folder: Path) -> Listing:
    """Samples named by their paths, clouds (points, 3) float32. Columns: the groups of the pattern (`label` is called
    `class`). The points of a sample depend on the seed and its name alone, not on what is read with it."""
    import numpy as np

    ids, names, columns = labelled(reader.pattern, folder)
    numbers = class_numbers(names, reader.classes, str(folder))
    labels = np.array([numbers[name] for name in names], dtype=np.int64)

    def read(rows: Sequence[int]) -> list[np.ndarray]:
        return [_cloud(folder / ids[row], ids[row], reader) for row in rows]

    return checked(Listing(ids, labels, columns, read), None, str(folder))


def _cloud(path: Path, name: str, reader: ShapesReader) -> np.ndarray:
    import numpy as np

    vertices, faces = _shape(path)
    if reader.normalise:
        vertices = vertices - vertices.mean(axis=0)
        extent = np.abs(vertices).max()
        vertices = vertices * (_NORMALISED / extent if extent > 0 else 1.0)
    rng = np.random.default_rng([reader.seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")])
    return _points(vertices, faces, reader, rng, path).astype(np.float32)


def _points(
    vertices: np.ndarray, faces: np.ndarray | None, reader: ShapesReader, rng: np.random.Generator, path: Path
) -> np.ndarray:
    if reader.sampling == "first":
        if len(vertices) < reader.points:
            raise IntegrityError(f"{path} has {len(vertices)} points, {reader.points} are needed.")
        return vertices[: reader.points]
    if reader.sampling in ("vertices", "vertices-with-replacement"):
        again = len(vertices) < reader.points or reader.sampling == "vertices-with-replacement"
        chosen: np.ndarray = vertices[rng.choice(len(vertices), reader.points, replace=again)]
        return chosen
    if faces is None or not len(faces):
        raise IntegrityError(f"{path} has no faces, so that no points can be drawn on them.")
    trimesh = library("trimesh")
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    if not mesh.area > 0:
        raise IntegrityError(f"{path} has no surface, so that no points can be drawn on it.")
    points: np.ndarray = trimesh.sample.sample_surface(mesh, reader.points, seed=rng)[0]
    return points


def _shape(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices (n, 3) float64, and the faces of a mesh."""
    import numpy as np

    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}.") from error
    if data is None:
        raise IntegrityError(f"{path} is larger than the {MAX_BYTES} bytes allowed for one shape.")
    try:
        if path.suffix.lower() in _MESHES:
            vertices, faces = _mesh(data, path.suffix.lower()[1:])
        else:
            vertices, faces = np.loadtxt(io.BytesIO(data), usecols=(0, 1, 2), ndmin=2), None
    except UsageError:
        raise
    except Exception as error:  # trimesh raises whatever its parsers stumble over
        raise IntegrityError(f"{path} is no readable shape (sha256 {bytes_id(data)[:12]}): {error}.") from error
    if not len(vertices) or not np.isfinite(vertices).all():
        raise IntegrityError(f"{path} has no points, or some that are not finite.")
    return vertices, faces


def _mesh(data: bytes, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Parsed from memory: without a place on disk, a file cannot make trimesh read others (textures)."""
    import numpy as np

    mesh = library("trimesh").load_mesh(io.BytesIO(data), file_type=kind, process=False)
    vertices, faces = np.asarray(mesh.vertices, dtype=np.float64), np.asarray(getattr(mesh, "faces", np.empty((0, 3))))
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError("a face names a vertex that does not exist")
    return vertices, faces
