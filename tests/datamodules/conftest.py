"""Makes `support/tiny_shards.py` available as a fixture."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """Functions that write small splits."""
    path = Path(__file__).parents[1] / "support" / "tiny_shards.py"
    spec = importlib.util.spec_from_file_location("tiny_shards", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
