"""Shows that the installed wheel loads and decides on the machine that this runs on."""

import platform

from ip_risk import RiskChecker

# One of a large cloud, which the feeds in the package know.
CLOUD = "52.95.110.1"

with RiskChecker(logger=False) as checker:
    decision = checker.check(CLOUD)
if (decision["action"], decision["source"]) != ("log", "feeds"):
    raise SystemExit(f"unexpected decision: {decision}")
print(f"ip_risk decides on {platform.platform()}, Python {platform.python_version()}")
