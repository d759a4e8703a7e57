"""The Python code of the documents does what they say."""

import asyncio
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

ROOT = Path(__file__).parents[2]


def blocks(document):
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


def run(code):
    names = {"__name__": "readme"}
    exec(compile(code, "README", "exec"), names)
    return names


@pytest.mark.parametrize("document", ["README.md", "python/README.md"])
def test_the_quick_start_for_flask(document):
    (code,) = [block for block in blocks(document) if "Flask(" in block]
    app = run(code)["app"]
    (path,) = [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint == "login"]
    assert app.test_client().post(path).json == {"next": "welcome"}


def test_the_middleware_for_fastapi():
    (code,) = [block for block in blocks("README.md") if "FastAPI(" in block]
    client = TestClient(run(code)["app"], client=("127.0.0.1", 1))
    assert client.post("/login").json() == {"next": "welcome"}


def test_the_classes(capsys):
    (code,) = [block for block in blocks("README.md") if "AsyncRiskChecker()" in block]
    names = run(code)
    # Without a key, a hosting network is what the package alone can see.
    assert capsys.readouterr().out.splitlines()[0].startswith("log ")
    asyncio.run(names["main"]())
    assert "'action': 'log'" in capsys.readouterr().out
