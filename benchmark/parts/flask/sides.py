"""The sides of `flask`: what looks one address up, and what stands in front of a view.

Each loads only what it needs itself.
"""

import os

API = os.environ["API_URL"]
REDIS = os.environ["REDIS_URL"]
# So that what is known stays known while it is measured.
TTL = 3_600


def make_checker():
    from ip_risk import RiskChecker

    return RiskChecker(api_key="benchmark", endpoint=API, redis=False, logger=False, cache={"ttl": TTL})


def make_tutorial():
    from tutorial import Tutorial

    return Tutorial(API, REDIS, ttl=TTL)


def make_gate():
    from ip_risk import check_ip_risk

    return check_ip_risk(checker=make_checker())


CALLS = {"gate": lambda: make_checker().check, "tutorial": lambda: make_tutorial().look}
DECORATORS = {
    "bare": lambda: lambda view: view,
    "gate": make_gate,
    "tutorial": lambda: make_tutorial().check_ip_risk,
}
