"""Without the package ray, one sentence says what to install."""

from __future__ import annotations

import sys

import pytest

from medvista.errors import UserError
from medvista.tools.executors import make_executor


def test_the_executor_ray_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "medvista.tools.executors.ray_actors", raising=False)
    with pytest.raises(UserError, match=r"needs the package ray: pip install 'medvista\[ray\]'"):
        make_executor("ray")


def test_importing_the_tools_does_not_import_ray():
    import subprocess

    code = "import medvista.tools, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
