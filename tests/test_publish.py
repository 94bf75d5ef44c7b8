"""`gatescope publish` over HTTP, with the real client, to a Hub on loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from hub_clients import GATESCOPE, gatescope
from huggingface_hub import DatasetCard
from loopback_hub import LoopbackHub, loopback_hub
from synthetic import Synthetic, write_synthetic

from pipeline.query import check_invariants, open_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("publish") / "ds", n_neurons=10, seed=2)


def tables(made: Synthetic) -> dict[str, bytes]:
    """The files of a dataset's tables by their path."""
    return {
        path.relative_to(made.path).as_posix(): path.read_bytes()
        for path in made.path.rglob("*.parquet")
    }


def fingerprint(files: dict[str, bytes]) -> str:
    lines = sorted(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def test_a_dry_run_needs_neither_token_nor_network(made: Synthetic, loopback: LoopbackHub) -> None:
    before = len(loopback.asked)
    words = ("publish", str(made.path), "org/dry", "--dry-run")
    done = gatescope(loopback, *words, HF_TOKEN="", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert f"org/dry: private, version {fingerprint(tables(made))}" in done.stdout
    assert "Nothing was sent" in done.stdout
    for table in ("neurons", "examples", "corpus"):
        assert f"{len(made.tables[table]):,}" in done.stdout
    assert len(loopback.asked) == before


def test_published_once_and_again(made: Synthetic, loopback: LoopbackHub) -> None:
    words = ("publish", str(made.path), "org/name")
    done = gatescope(loopback, *words)
    assert done.returncode == 0, done.stderr
    repo = loopback.repo("org/name")
    files = tables(made)
    assert repo.private
    assert {path: loopback.read(repo, path) for path in files} == files
    assert set(repo.files) == {*files, ".gitattributes", "README.md", "manifest.json"}
    own = json.loads((made.path / "manifest.json").read_text("utf-8"))
    assert json.loads(loopback.read(repo, "manifest.json")) == own
    # One commit after the one that made the repository: no reader ever sees a part.
    assert len(repo.commits) == 2
    assert repo.tags == {fingerprint(files): repo.branches["main"]}
    card = loopback.read(repo, "README.md").decode()
    assert 'load_dataset("org/name", "neurons"' in card
    assert DatasetCard(card).data.license == "other"

    n_uploads = len(loopback.uploads)
    repo.tags.clear()
    again = gatescope(loopback, *words)
    assert again.returncode == 0, again.stderr
    assert "all of it was there already" in again.stdout
    assert len(loopback.uploads) == n_uploads
    assert len(repo.commits) == 2
    assert repo.tags == {fingerprint(files): repo.branches["main"]}
    assert repo.private

    opened = gatescope(loopback, *words, "--public")
    assert opened.returncode == 0, opened.stderr
    assert not repo.private
    assert gatescope(loopback, *words).returncode == 0
    assert not repo.private
    assert len(repo.commits) == 2


def test_what_somebody_wrote_on_the_card_stays(made: Synthetic) -> None:
    with loopback_hub() as hub:
        assert gatescope(hub, "publish", str(made.path), "org/name").returncode == 0
        repo = hub.repo("org/name")
        other = hub.put("org/other", {"README.md": b"# Mine\n"}).files["README.md"]
        repo.commit("main", repo.files | {"README.md": other}, "my words")
        assert gatescope(hub, "publish", str(made.path), "org/name").returncode == 0
        assert hub.read(repo, "README.md") == b"# Mine\n"


@pytest.mark.parametrize("with_what", [signal.SIGKILL, signal.SIGINT])
def test_cut_off_half_way_and_given_again(made: Synthetic, with_what: signal.Signals) -> None:
    files = tables(made)
    half = len(files) // 2
    with loopback_hub() as hub:
        killed = threading.Event()

        def kill(n_uploads: int) -> None:
            # More than once, as Python can lose a signal that comes while it cleans up.
            if n_uploads in (half, half + 2) and process.poll() is None:
                process.send_signal(with_what)
                killed.set()

        hub.on_upload = kill
        words = ["publish", str(made.path), "org/name"]
        # A shell's background jobs ignore SIGINT, and what they start does too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen([GATESCOPE, *words], env=hub.environment)
        signal.signal(signal.SIGINT, before)
        process.wait()
        assert killed.is_set()
        assert process.returncode in (-signal.SIGKILL, 130)
        repo = hub.repo("org/name")
        # Nothing is to be seen of it.
        assert set(repo.files) == {".gitattributes"}
        assert not repo.tags
        assert half <= len(hub.uploads) < len(files)
        done = gatescope(hub, *words)
        assert done.returncode == 0, done.stderr
        assert {path: hub.read(repo, path) for path in files} == files
        # What was there was not sent again.
        assert sum(one.n_received for one in hub.uploads) == sum(map(len, files.values()))


def test_a_commit_that_fails(made: Synthetic) -> None:
    with loopback_hub() as hub:
        hub.refuses_commits = True
        words = ("publish", str(made.path), "org/name")
        done = gatescope(hub, *words)
        assert done.returncode == 2
        assert "the Hub refused (the commit was refused)" in done.stderr
        hub.refuses_commits = False
        n_uploads = len(hub.uploads)
        assert gatescope(hub, *words).returncode == 0
        assert len(hub.uploads) == n_uploads == len(tables(made))


def test_a_new_version(made: Synthetic, tmp_path: Path) -> None:
    with loopback_hub() as hub:
        smaller = write_synthetic(tmp_path / "ds", n_neurons=10, seed=3, layers=(0,))
        assert gatescope(hub, "publish", str(made.path), "org/name").returncode == 0
        repo = hub.repo("org/name")
        first = repo.branches["main"]
        done = gatescope(hub, "publish", str(smaller.path), "org/name")
        assert done.returncode == 0, done.stderr
        assert {path for path in repo.files if path.endswith(".parquet")} == set(tables(smaller))
        # The first stays where its tag is.
        assert repo.tags[fingerprint(tables(made))] == first
        assert set(tables(made)) < set(repo.commits[first])
        assert repo.tags[fingerprint(tables(smaller))] == repo.branches["main"]


def test_without_the_texts(made: Synthetic, tmp_path: Path) -> None:
    with loopback_hub() as hub:
        done = gatescope(hub, "publish", str(made.path), "org/name", "--no-corpus")
        assert done.returncode == 0, done.stderr
        repo = hub.repo("org/name")
        assert not [path for path in repo.files if path.startswith("corpus/")]
        card = hub.read(repo, "README.md").decode()
        assert "Missing: `corpus` (the texts were left out" in card
        assert "config_name: corpus" not in card
        text = made.tables["corpus"][0]["text"].encode()
        assert not any(text in hub.read(repo, path) for path in repo.files)
        for path in repo.files:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(hub.read(repo, path))
    with open_dataset(tmp_path) as dataset:
        assert [check.name for check in check_invariants(dataset) if not check.ok] == []
        assert dataset.neuron(0, 1).examples
        (note,) = dataset.notes("select * from corpus")
        assert "the texts were left out when it was published" in note


def test_the_space_beside_it(made: Synthetic) -> None:
    with loopback_hub() as hub:
        words = ("publish", str(made.path), "org/name", "--space")
        private = gatescope(hub, *words)
        assert private.returncode == 2
        assert "--space: org/name is private" in private.stderr
        assert "add --public" in private.stderr
        assert not hub.repos
        done = gatescope(hub, *words, "--public")
        assert done.returncode == 0, done.stderr
        space = hub.repo("org/name", "space")
        assert (space.sdk, space.private) == ("static", False)
        (listed,) = json.loads(hub.read(space, "datasets.json"))
        tag = fingerprint(tables(made))
        assert listed["url"] == f"{hub.url}/datasets/org/name/resolve/{tag}/"
        assert {"index.html", "app.js", "README.md"} <= set(space.files)
        n_commits = len(space.commits)
        assert gatescope(hub, *words, "--public").returncode == 0
        assert len(space.commits) == n_commits
        # A Space of somebody else's making is left alone, and so is the dataset then.
        hub.put("org/taken", {"app.py": b"print()"}, kind="space")
        taken = gatescope(hub, "publish", str(made.path), "org/taken", "--space", "--public")
        assert taken.returncode == 2
        assert "the Space org/taken holds something else (such as app.py)" in taken.stderr
        assert ("dataset", "org/taken") not in hub.repos


def test_files_that_change_while_they_are_sent(made: Synthetic, tmp_path: Path) -> None:
    copy = tmp_path / "ds"
    shutil.copytree(made.path, copy)
    part = copy / "vocab/part-00000.parquet"
    with loopback_hub() as hub:
        hub.on_upload = lambda n: part.write_bytes(part.read_bytes() + b"more")
        done = gatescope(hub, "publish", str(copy), "org/name")
        assert done.returncode == 2, done.stderr
        assert set(hub.repo("org/name").files) == {".gitattributes"}
