"""Known vulnerabilities of what is installed, by pip-audit; skipped aloud where its service cannot be reached."""

from __future__ import annotations

import json
import subprocess
import sys

ALLOWED: dict[str, str] = {}  # "PYSEC-2099-1": why it does not concern us
LIMIT_S = 180


def main() -> int:
    """The exit code: 1 where a vulnerability is known that is not allowed."""
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--format", "json"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False).stdout
        packages = json.loads(said)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        packages = []
    audited = [package for package in packages if "vulns" in package]
    if not audited:
        print("pip-audit: skipped, since its vulnerability service cannot be reached from here.")
        return 0
    found = [(p["name"], p["version"], v["id"]) for p in audited for v in p["vulns"] if v["id"] not in ALLOWED]
    for name, version, identifier in found:
        print(f"{name} {version} has {identifier}: raise its lower bound in setup.cfg, or say in ALLOWED why not.")
    print(f"pip-audit: {len(found)} vulnerabilities in {len(audited)} of {len(packages)} packages that it knows.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
