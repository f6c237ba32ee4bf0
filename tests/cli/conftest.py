"""Certificates for the tests of commands."""

from __future__ import annotations

import certificates
import pytest


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Make certificates."""
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(folder)
    return folder
