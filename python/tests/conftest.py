import asyncio
import os

import pytest

from ip_risk import AsyncRiskChecker, RiskChecker
from ip_risk._judge import Judge
from support.upstream import Upstream

# What a checker reads: variables of the person who tests must not change what the tests see.
READ_BY_CHECKERS = [
    "IPGEO_API_KEY", "REDIS_URL", "IP_RISK_FEEDS", "IP_RISK_MODE", "NODE_EXTRA_CA_CERTS", "FORWARDED_ALLOW_IPS",
    "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
]  # fmt: skip
for name in READ_BY_CHECKERS:
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def session_api():
    api = Upstream()
    yield api
    api.close()


@pytest.fixture
def api(session_api):
    session_api.reset()
    return session_api


def options_for(api):
    # A busy machine must not turn an answer into a timeout.
    return {"api_key": "test-key", "endpoint": api.url, "deadline": 20, "connect_timeout": 20, "logger": False}


@pytest.fixture
def options(api):
    return options_for(api)


@pytest.fixture
def make(options):
    """Makes checkers on the stand-in, and closes them."""
    made = []

    def make_checker(**more):
        checker = RiskChecker(**{**options, **more})
        made.append(checker)
        return checker

    yield make_checker
    for checker in made:
        checker.close()


@pytest.fixture
def checker(make):
    return make()


@pytest.fixture
def make_async(options):
    """The same for event loops."""
    made = []

    def make_checker(**more):
        checker = AsyncRiskChecker(**{**options, **more})
        made.append(checker)
        return checker

    yield make_checker
    for checker in made:
        asyncio.run(checker.close())


@pytest.fixture(scope="module")
def make_test_checker(session_api):
    """Makes checkers that score documentation addresses, whose clock can be moved with `advance(seconds)`."""
    made = []

    def make_checker(**more):
        checker = RiskChecker.__new__(RiskChecker)
        written = {**options_for(session_api), **more}
        logger = written.pop("logger")
        checker._judge = Judge(written, logger, is_test=True)
        checker.advance = lambda seconds: checker._judge.native.advance_clock(seconds * 1_000)
        made.append(checker)
        return checker

    yield make_checker
    for checker in made:
        checker.close()
