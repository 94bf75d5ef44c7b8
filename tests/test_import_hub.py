"""Import from the Hub over HTTP, by the real client, of what `push_to_hub` has put there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from datasets_compared import differences_between
from hub_clients import gatescope, python
from loopback_hub import loopback_hub
from measured import K, measure, one_file

_PUSH = """
import datasets
dataset = datasets.Dataset.from_parquet({path!r})
dataset.push_to_hub("org/tiny_neuron-activations", num_shards=2)
"""


def test_what_was_pushed_is_imported(tmp_path: Path) -> None:
    measured = measure(tmp_path)
    source = one_file(measured.rows, tmp_path)
    with loopback_hub() as hub:
        python(hub, _PUSH.format(path=str(source)))
        name = "org/tiny_neuron-activations"
        repo = hub.repo(name)
        places = {"hub": name, "url": f"hf://datasets/{name}", "file": str(source)}
        for output, place in places.items():
            done = gatescope(hub, "import", place, str(tmp_path / output), f"scan.k={K}")
            assert done.returncode == 0, done.stderr
        wrong = gatescope(hub, "import", "org/nothing", str(tmp_path / "nothing"))
        files = {path: hub.read(repo, path) for path in repo.files if path.endswith(".parquet")}
    assert differences_between(tmp_path / "hub", tmp_path / "file") == []
    assert differences_between(tmp_path / "url", tmp_path / "file") == []
    said = json.loads((tmp_path / "hub/manifest.json").read_text("utf-8"))["imported"]
    assert said["source"] == name
    assert said["files"] == {p: hashlib.sha256(data).hexdigest() for p, data in files.items()}
    assert len(said["files"]) == 2
    assert wrong.returncode == 2
    assert "gatescope: " in wrong.stderr
    assert "Traceback" not in wrong.stderr
