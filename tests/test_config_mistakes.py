"""What a configuration refuses: one line that names the key, the value and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import CorpusConfig, RunConfig, check, compose_config, from_dict
from pipeline.errors import GatescopeError


def refusal(*overrides: str) -> str:
    with pytest.raises(GatescopeError) as error:
        compose_config(overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("scan.kk=3", "scan.kk is not a setting: did you mean scan.k?"),
        ("modle=demo", "modle is not a setting: did you mean model?"),
        ("max_length=3", "max_length is not a setting: did you mean corpus.max_length?"),
        ("scan.window=3", "set scan.window.before or scan.window.after"),
        ("hydra.run.dir=x", "hydra.run.dir is not a setting: known: "),
        ("model=yi-6b", "model=yi-6b is not a choice of model: did you mean Yi-6B?"),
        ("model=../gpt2", "for any other model: model.name="),
        ("cluster=rey", "cluster=rey is not a choice of cluster: did you mean ray?"),
        ("experiment=null", "known: gluscope"),
        ("scan.k", "'scan.k' is not a setting: write key=value"),
        ("+scan.k=3", "'+scan.k=3' is not a setting: write key=value"),
        ("~scan.k", "write key=value"),
        ("model@x=demo", "write key=value"),
        ("corpus.path=a\nb", "write key=value"),
        ("scan.k=1,2", "scan.k=1,2 gives several values"),
        ("scan.k=[1", "cannot read 'scan.k=[1'"),
        ("scan.k=abc", "scan.k=abc has the wrong type: give a whole number"),
        ("scan.k=1.5", "scan.k=1.5 has the wrong type"),
        ("scan.k=true", "scan.k=True has the wrong type"),
        ("scan.k=null", "scan.k=null has the wrong type"),
        ("scan.dedupe=2", "scan.dedupe=2 has the wrong type: give true or false"),
        ("corpus.max_tokens=x", "give a whole number or null"),
        ("model.name=null", "model.name=null has the wrong type: give text"),
        ("model.layers=3", "give a list such as [0,1] or null"),
        ("scan.rankings=[post,1]", "give a list such as [post,in]"),
        ("scan.k=${nope}", "scan.k cannot be resolved: Interpolation key 'nope' not found"),
        ("output=${oc.env:NOT_SET}", "output cannot be resolved: "),
        ("output=${oc.env:HOME", "output="),
        ("scan.k=0", "scan.k=0 is too small: give at least 1"),
        ("scan.spare=-1", "scan.spare=-1 is too small"),
        ("scan.unit_tokens=0", "scan.unit_tokens=0 is too small"),
        ("scan.tokens_per_batch=0", "scan.tokens_per_batch=0 is too small"),
        ("scan.window.before=-1", "scan.window.before=-1 is too small"),
        ("scan.window.after=-1", "scan.window.after=-1 is too small"),
        ("scan.window.before=600", "make a window of 616, longer than corpus.max_length=512"),
        ("scan.rankings=[]", "scan.rankings is empty"),
        ("scan.rankings=[post,pots]", "pots is not a ranking; did you mean post?"),
        ("scan.rankings=[act]", "act is not a ranking"),
        ("scan.rankings=[in,in]", "scan.rankings=[in,in] names a ranking twice"),
        ("scan.compile=maybe", "scan.compile=maybe is not known: give auto or true or false"),
        ("scan.state_device=tpu", "scan.state_device=tpu is not known"),
        ("model.dtype=fp8", "model.dtype=fp8 is not known"),
        ("model.device=cuda:x", "model.device=cuda:x is not known"),
        ("model.layers=[]", "model.layers is empty"),
        ("model.layers=[1,1]", "names a layer twice"),
        ("model.layers=[-1]", "layers are counted from 0"),
        ("model.name=", "model.name is empty"),
        ("model.name=./nowhere", "model.name=./nowhere: no such folder"),
        ("corpus.max_length=0", "corpus.max_length=0 is too small"),
        ("corpus.max_length=1", "leaves nothing to count"),
        ("corpus.max_tokens=0", "corpus.max_tokens=0 is too small"),
        ("corpus.source=web", "corpus.source=web is not known"),
        ("corpus.path=x.txt", "corpus.path=x.txt is not read by corpus=demo: add corpus=local"),
        ("corpus.tokenized=true", "add corpus=tokenized"),
        ("corpus=local", "corpus.path is not set for corpus=local: give a file or a folder"),
        ("corpus=tokenized", "corpus.path is not set for corpus=tokenized"),
        ("cluster.name=dask", "cluster.name=dask is not known: give inprocess or ray"),
        ("cluster.workers=2", "cluster.workers=2 does not go with one process: add cluster=ray"),
        ("cluster.workers=0", "cluster.workers=0 is too small"),
        ("cluster.hang_after_s=-1", "cluster.hang_after_s=-1.0 is not a time"),
        ("cluster.snapshot_every_s=0", "cluster.snapshot_every_s=0.0 is not a time"),
        ("cluster.snapshot_every_s=nan", "is not a time"),
        ("cluster.snapshot_every_s=inf", "is not a time"),
        ("seed=-1", "seed=-1 is out of range"),
        (f"seed={2**63}", "is out of range"),
        ("output=", "output is empty"),
    ],
)
def test_a_mistake_is_one_line(override: str, expected: str) -> None:
    assert expected in refusal(override)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    nowhere = tmp_path / "no such, file.txt"
    message = refusal("corpus=local", f"corpus.path={nowhere}")
    assert f"corpus.path={nowhere}: no such file or folder" in message
    nowhere.touch()
    assert compose_config(["corpus=local", f"corpus.path={nowhere}"]).corpus.path == str(nowhere)


def test_position_0_alone_is_enough_where_it_counts() -> None:
    tiny = ["corpus.max_length=1", "scan.window.before=0", "scan.window.after=0"]
    assert compose_config([*tiny, "scan.skip_bos=false"]).corpus.max_length == 1
    assert "leaves nothing to count" in refusal(*tiny)


def test_a_window_may_fill_an_example() -> None:
    check(RunConfig(corpus=CorpusConfig(max_length=64)))
    with pytest.raises(GatescopeError, match="make a window of 64, longer than"):
        check(RunConfig(corpus=CorpusConfig(max_length=63)))


def test_a_stored_configuration_is_checked_too() -> None:
    with pytest.raises(GatescopeError, match=r"^scan\.kk is not a setting"):
        from_dict({"scan": {"kk": 1}})
    with pytest.raises(GatescopeError, match=r"^scan\.window=3 is not a group"):
        from_dict({"scan": {"window": 3}})
