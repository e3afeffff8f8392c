"""A server that answers as the Hugging Face Hub does, for tests with the real clients and without the internet.

Import the fixture `hub` into a `conftest.py` (`from tests.hub_server.fixtures import hub`); run clients in processes of
their own with `HubServer.environment`, since they read their settings when they are imported.
"""

from tests.hub_server.client import run_code, run_harness
from tests.hub_server.server import Account, HubServer, Request
from tests.hub_server.store import Repository

__all__ = ["Account", "HubServer", "Repository", "Request", "run_code", "run_harness"]
