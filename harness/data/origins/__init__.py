"""Where files come from: one small client for each kind of origin, all with the same two functions."""

from __future__ import annotations

from harness.data.origins.base import Client, Errand, Got, OriginError, Patience, Watch, offline

__all__ = ["Client", "Errand", "Got", "OriginError", "Patience", "Watch", "client_of", "offline"]


def client_of(kind: str) -> Client:
    """The client for the origins of this kind (see `harness.spec.manifest.Origin`), loaded when it is first used."""
    if kind == "hub":
        from harness.data.origins import hub

        return hub
    if kind == "zenodo":
        from harness.data.origins import zenodo

        return zenodo
    if kind == "package":
        from harness.data.origins import package

        return package
    if kind == "own":
        from harness.data.origins import own

        return own
    from harness.data.origins import http

    return http
