"""One Redis for Python and Node.js processes."""

import json
import subprocess
from pathlib import Path

import pytest

from support.servers import redis_server, wait_until

BAD = "2.56.188.34"
LIBRARY = Path(__file__).parents[2] / "lib" / "index.js"
NODE_CHECK = """
const { RiskChecker } = require(process.argv[1])
const options = { apiKey: 'test-key', endpoint: process.argv[2], redis: process.argv[3], logger: false }
const checker = new RiskChecker({ ...options, deadlineMs: 20000, connectTimeoutMs: 20000 })
checker.check(process.argv[4]).then(async (decision) => {
  await checker.close()
  console.log(JSON.stringify(decision))
})
"""


@pytest.fixture
def redis(tmp_path):
    with redis_server(tmp_path) as url:
        yield url


def check_in_node(api, redis, ip):
    command = ["node", "-e", NODE_CHECK, str(LIBRARY), api.url, redis, ip]
    return json.loads(subprocess.check_output(command, text=True, timeout=60))


def test_what_python_asked_node_does_not_ask_again(make, api, redis):
    checker = make(redis={"url": redis, "timeout": 5})
    first = checker.check(BAD)
    wait_until(lambda: checker.stats()["redis"]["written"] == 2, "the entry is written")
    second = check_in_node(api, redis, BAD)
    assert (first["source"], second["source"]) == ("api", "redis")
    assert api.asked(BAD) == 1
    assert {name: second[name] for name in ("score", "action", "reasons", "flags")} == {
        name: first[name] for name in ("score", "action", "reasons", "flags")
    }
    assert abs(second["checkedAt"] - first["checked_at"] * 1_000) < 1


def test_what_node_asked_python_does_not_ask_again(make, api, redis):
    first = check_in_node(api, redis, BAD)
    second = make(redis={"url": redis, "timeout": 5}).check(BAD)
    assert (first["source"], second["source"]) == ("api", "redis")
    assert api.asked(BAD) == 1
    assert second["flags"] == first["flags"]


def test_a_redis_that_is_away_costs_no_decision(make):
    checker = make(redis="redis://127.0.0.1:1")
    assert checker.check(BAD)["action"] == "block"
    assert checker.stats()["redis"]["state"] in ("connecting", "away")
