"""What is installed."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ip_risk
from ip_risk import _native

ROOT = Path(__file__).parents[2]
INSTALLED = Path(ip_risk.__file__).parent


def test_it_is_the_version_of_the_npm_package():
    version = json.loads((ROOT / "package.json").read_text())["version"]
    assert ip_risk.__version__ == importlib.metadata.version("ip-risk") == version


def test_types_and_feeds_are_in_it():
    assert (INSTALLED / "py.typed").exists()
    assert (INSTALLED / "_native.pyi").exists()
    assert (INSTALLED / "seed.feeds").stat().st_size > 100_000
    for name in ("ATTRIBUTION.md", "LICENSE"):
        assert (INSTALLED / name).read_text() == (ROOT / name).read_text()


def test_the_stub_says_what_the_extension_has():
    command = [sys.executable, "-m", "mypy.stubtest", "ip_risk._native"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_codes_are_those_of_the_node_face():
    declared = re.findall(
        r"'(ERR_IP_RISK_\w+)'", (ROOT / "src" / "dts-header.d.ts").read_text().split("interface IpRiskError")[0]
    )
    assert set(declared) == set(_native.vocabulary()["codes"])


def test_every_name_that_is_offered_is_there():
    for name in ip_risk.__all__:
        assert getattr(ip_risk, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ip_risk.nothing  # noqa: B018


def test_it_works_without_flask():
    script = "import sys; sys.modules['flask'] = None; from ip_risk import *; print(RiskMiddleware.__name__)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "RiskMiddleware\n"


def test_it_works_with_something_in_place_of_flask():
    script = "import sys, types; sys.modules['flask'] = types.ModuleType('flask'); import ip_risk"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_extension_that_cannot_be_loaded_is_explained():
    script = "import sys; sys.modules['ip_risk._native'] = None; import ip_risk"
    failed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "NativeError: the native part of ip-risk cannot be loaded" in failed.stderr


def test_the_check_of_a_release_loads_it_and_decides():
    script = ROOT / "scripts" / "check_load.py"
    assert subprocess.check_output([sys.executable, str(script)], text=True).startswith("ip_risk decides on ")
