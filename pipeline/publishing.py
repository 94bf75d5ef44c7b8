"""`gatescope publish`: verify -> hash -> look at the Hub -> send -> commit -> tag -> Space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console

from pipeline.console import results, say, say_next
from pipeline.errors import GatescopeError
from pipeline.hub import (
    Repository,
    State,
    Upload,
    has_token,
    hub_errors,
    space_card,
    upload_of_file,
    upload_of_text,
)
from pipeline.publication import (
    CARD,
    MB,
    Publication,
    lacking_files,
    make_publication,
    published_manifest,
    stale_files,
)
from pipeline.query import open_dataset
from pipeline.query.source import MANIFEST, Source, find_source
from pipeline.verifying import checks_of
from pipeline.view.export import LIST
from pipeline.view.progress import progress
from pipeline.view.publication import render_publication
from pipeline.view.serve import SITE

# What a Space that nobody has used yet may hold.
_EMPTY_SPACE: Final = frozenset((CARD, ".gitattributes", "index.html", "style.css"))


def publish(
    dataset: str,
    repo: str,
    *,
    public: bool,
    space: bool,
    no_corpus: bool,
    dry_run: bool,
    console: Console,
) -> None:
    """Put a dataset on the Hub as `repo`, or say what would be sent.

    Raises GatescopeError before anything is sent for a dataset that is not sound, for a repository
    that holds something else, and where the Hub cannot be reached or does not let us.
    """
    source = find_source(dataset)
    if source.filesystem is not None:
        raise GatescopeError(
            f"publish: {dataset} is not on this machine; copy it to a folder, and publish that"
        )
    manifest = published_manifest(source.manifest, no_corpus)
    with hub_errors("publish", repo):
        repository = Repository(repo, "dataset")
        if not dry_run:
            say(console, f"Publishing as {repository.who()}")
        # What would be sent can be said with nobody logged in.
        state = repository.state() if not dry_run or has_token() else None
        _refuse_foreign(repository, state, manifest)
        if space and not public and (state is None or state.private):
            raise GatescopeError(
                f"publish: --space: {repo} is private, and a static page has no token to read it; "
                "add --public, or leave --space out"
            )
        room = _room(repo) if space and not dry_run else None
        _verify(source, console)
        publication = make_publication(source, manifest, repo, console)
        if dry_run:
            n_bytes = sum(file.n_bytes for file in lacking_files(publication, state))
            _show(publication, repository, state, public)
            say(results(), f"Nothing was sent; it would be {n_bytes:,} bytes", "bold")
            return
        _send(repository, publication, state, public, console)
        if room is not None:
            _send_space(publication, repository, *room, console)


def _verify(source: Source, console: Console) -> None:
    with console.status("Checking the dataset"), open_dataset(source.name) as opened:
        failed = [check for check in checks_of(opened) if not check.ok]
    if failed:
        raise GatescopeError(
            f"publish: {source.name} is not sound ({failed[0].sentence}: not so for "
            f"{failed[0].n_violations:,}, such as {failed[0].violations[0]}"
            + (f"; {len(failed) - 1} more checks failed" if len(failed) > 1 else "")
            + f"); `gatescope verify {source.name}` says all"
        )


def _refuse_foreign(repository: Repository, state: State | None, manifest: dict[str, Any]) -> None:
    """Raise GatescopeError where a repository holds anything but earlier versions of this."""
    if state is None:
        return
    repo = repository.repo_id
    if MANIFEST not in state.files:
        other = sorted(state.files.keys() - {CARD, ".gitattributes"})
        if other:
            raise GatescopeError(
                f"publish: {repo} holds {len(other)} files (such as {other[0]}) and no Gatescope "
                "dataset; publish to another repository"
            )
        return
    try:
        there = json.loads(repository.read(MANIFEST, state.sha))
        known = [_identity(there), _identity(manifest)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GatescopeError(
            f"publish: {repo} has a {MANIFEST} that is not that of a Gatescope dataset; publish to "
            "another repository"
        ) from error
    if known[0] != known[1]:
        raise GatescopeError(
            f"publish: {repo} holds the dataset of {known[0]}, and this is that of {known[1]}; "
            "publish to another repository"
        )


def _identity(manifest: dict[str, Any]) -> str:
    corpus = (manifest.get("corpus") or {}).get("name")
    return str(manifest["model"]["name"]) + (f" on {corpus}" if corpus else "")


def _send(
    repository: Repository,
    publication: Publication,
    state: State | None,
    public: bool,
    console: Console,
) -> None:
    if state is None:
        repository.create(private=not public)
        state = repository.state()
        assert state is not None
    lacking, stale = lacking_files(publication, state), stale_files(publication, state)
    sha = state.sha
    if lacking or stale:
        title = f"Gatescope dataset {publication.tag}"
        sha = _commit(repository, publication.files, lacking, stale, state, title, console)
    if repository.tags().get(publication.tag) is None:
        repository.tag(publication.tag, sha)
    if public and state.private:
        repository.open_to_all()
    _show(publication, repository, state, public)
    out = results()
    if lacking or stale:
        n_bytes = sum(file.n_bytes for file in lacking)
        say(
            out,
            f"{repository.url}: published, {len(lacking)} files, {n_bytes:,} bytes",
            "bold green",
        )
    else:
        say(out, f"{repository.url}: all of it was there already", "bold green")
    say_next(out, [["query", repository.repo_id], ["serve", repository.repo_id]])
    say(out, f'  datasets.load_dataset("{repository.repo_id}", "neurons")   # in Python')


def _commit(
    repository: Repository,
    files: Sequence[Upload],
    lacking: Sequence[Upload],
    stale: Sequence[str],
    state: State,
    title: str,
    console: Console,
) -> str:
    total = sum(file.n_bytes for file in files)
    done = total - sum(file.n_bytes for file in lacking)
    with progress(console, "Sending", "MB", total / MB, done / MB) as advance:
        return repository.commit(lacking, stale, state.sha, title, lambda n: advance(n / MB))


def _show(
    publication: Publication, repository: Repository, state: State | None, public: bool
) -> None:
    is_private = not public and (state is None or state.private)
    tables = publication.manifest["tables"]
    n_bytes = dict.fromkeys(tables, 0)
    for file in publication.files:
        table = file.path_in_repo.split("/")[0]
        if table in n_bytes:
            n_bytes[table] += file.n_bytes
    out = results()
    out.print(render_publication(tables, n_bytes))
    say(
        out,
        f"{repository.repo_id}: {'private' if is_private else 'public'}, version {publication.tag}",
    )


def _room(repo: str) -> tuple[Repository, State | None]:
    """The Space of a dataset, which may be; GatescopeError where it holds something else."""
    space = Repository(repo, "space")
    state = space.state()
    other = sorted(state.files.keys() - _EMPTY_SPACE) if state else []
    if state and other and LIST not in state.files:
        raise GatescopeError(
            f"publish: --space: the Space {repo} holds something else (such as {other[0]}); leave "
            "--space out, or publish to another name"
        )
    return space, state


def _send_space(
    publication: Publication,
    dataset: Repository,
    space: Repository,
    state: State | None,
    console: Console,
) -> None:
    """Make or renew the Space that shows the dataset at this version."""
    paths = sorted(path for path in SITE.rglob("*") if path.is_file())
    listed = {
        "name": dataset.repo_id.partition("/")[2],
        "url": dataset.file_url(publication.tag),
        "live": False,
    }
    files = [
        *(
            upload_of_file(path.relative_to(SITE).as_posix(), path, lambda n: None)
            for path in paths
        ),
        upload_of_text(LIST, json.dumps([listed], indent=2) + "\n"),
        upload_of_text(CARD, space_card(publication.manifest, dataset.repo_id)),
    ]
    if state is None:
        space.create(private=False)
        state = space.state()
        assert state is not None
    lacking = [file for file in files if not state.has(file)]
    if lacking:
        _commit(space, files, lacking, [], state, f"The viewer of {publication.tag}", console)
    say(results(), f"{space.url}: the viewer, for a browser", "bold green")
