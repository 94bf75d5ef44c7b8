"""A repository on the Hub: what is there, and one commit that makes it what it shall be.

Contents are sent first, a few files at a time, and what the Hub has already is not sent again: an
upload that was cut off goes on. Only then one commit makes all of it visible, so every revision is
a whole dataset. (huggingface_hub's `upload_folder` commits large folders in several parts.)
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import Final, Literal

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    hf_hub_download,
)
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import disable_progress_bars

from pipeline.errors import GatescopeError

Kind = Literal["dataset", "space"]

# What is sent between two looks at how far it is.
_MOST_FILES: Final = 8
_MOST_BYTES: Final = 128 << 20
_CHUNK: Final = 1 << 22


@dataclass(frozen=True)
class Upload:
    """A file to be sent: a path on this machine, or its content; `sha256` is of the content."""

    path_in_repo: str
    source: Path | bytes
    n_bytes: int
    sha256: str
    changed_at: int | None = None

    @property
    def blob_id(self) -> str:
        """The id that git gives a small file."""
        assert isinstance(self.source, bytes)
        return hashlib.sha1(b"blob %d\0" % len(self.source) + self.source).hexdigest()


def upload_of_text(path_in_repo: str, text: str) -> Upload:
    """A text as a file."""
    data = text.encode("utf-8")
    return Upload(path_in_repo, data, len(data), hashlib.sha256(data).hexdigest())


def upload_of_file(path_in_repo: str, path: Path, advance: Callable[[int], object]) -> Upload:
    """A file of this machine, read once for its hash; `advance` is told of the bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return Upload(path_in_repo, path, before.st_size, digest.hexdigest(), before.st_mtime_ns)


@dataclass(frozen=True)
class State:
    """What a repository holds: its commit, and of each file what tells its content."""

    sha: str
    private: bool
    files: dict[str, str]

    def has(self, upload: Upload) -> bool:
        """Whether a file is there with the same content."""
        there = self.files.get(upload.path_in_repo)
        small = isinstance(upload.source, bytes) and there == upload.blob_id
        return small or there == upload.sha256


class Repository:
    """A repository of datasets or a Space. Its methods raise what huggingface_hub raises."""

    def __init__(self, repo_id: str, kind: Kind) -> None:
        self.repo_id, self.kind = repo_id, kind
        self._api = HfApi()
        # Ours are shown instead.
        disable_progress_bars()
        logging.set_verbosity(ERROR)

    @property
    def url(self) -> str:
        """Its page."""
        return f"{constants.ENDPOINT}/{self.kind}s/{self.repo_id}"

    def file_url(self, revision: str) -> str:
        """The address below which a browser reads its files."""
        return f"{self.url}/resolve/{revision}/"

    def who(self) -> str:
        """The name of the user that the token is of."""
        return str(self._api.whoami()["name"])

    def state(self) -> State | None:
        """What is there; None where there is no such repository."""
        try:
            info = self._api.repo_info(self.repo_id, repo_type=self.kind)
        except RepositoryNotFoundError:
            return None
        assert info.sha is not None
        tree = self._api.list_repo_tree(
            self.repo_id, recursive=True, revision=info.sha, repo_type=self.kind
        )
        files = {
            entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
            for entry in tree
            if isinstance(entry, RepoFile)
        }
        return State(info.sha, bool(info.private), files)

    def read(self, path: str, sha: str) -> bytes:
        """A small file of a commit."""
        with tempfile.TemporaryDirectory(prefix="gatescope-") as folder:
            found = hf_hub_download(
                self.repo_id, path, repo_type=self.kind, revision=sha, local_dir=folder
            )
            return Path(found).read_bytes()

    def create(self, private: bool) -> None:
        """Make it."""
        self._api.create_repo(
            self.repo_id,
            repo_type=self.kind,
            private=private,
            space_sdk="static" if self.kind == "space" else None,
        )

    def open_to_all(self) -> None:
        """Let everyone read it."""
        self._api.update_repo_settings(self.repo_id, private=False, repo_type=self.kind)

    def commit(
        self,
        uploads: Sequence[Upload],
        stale: Iterable[str],
        parent: str,
        message: str,
        advance: Callable[[int], object],
    ) -> str:
        """Send files, remove stale ones, all in one commit after `parent`; gives its sha.

        `advance` is told of the bytes that are there. Raises GatescopeError where a file has
        changed since it was hashed.
        """
        additions = [_addition(upload) for upload in uploads]
        by_path = {upload.path_in_repo: upload for upload in uploads}
        for group in _groups(additions, by_path):
            try:
                self._api.preupload_lfs_files(
                    self.repo_id, group, repo_type=self.kind, free_memory=False
                )
            except RuntimeError:
                # Of a file that is written to meanwhile the length is wrong.
                for addition in group:
                    _refuse_changed(by_path[addition.path_in_repo])
                raise
            advance(sum(by_path[addition.path_in_repo].n_bytes for addition in group))
        for upload in uploads:
            _refuse_changed(upload)
        done = self._api.create_commit(
            self.repo_id,
            [*additions, *(CommitOperationDelete(path, is_folder=False) for path in stale)],
            commit_message=message,
            repo_type=self.kind,
            parent_commit=parent,
        )
        return str(done.oid)

    def tags(self) -> dict[str, str]:
        """The commit of each tag."""
        found = self._api.list_repo_refs(self.repo_id, repo_type=self.kind).tags
        return {tag.name: tag.target_commit for tag in found}

    def tag(self, name: str, sha: str) -> None:
        """Name a commit; a tag of that name elsewhere is moved."""
        if name in self.tags():
            self._api.delete_tag(self.repo_id, tag=name, repo_type=self.kind)
        self._api.create_tag(self.repo_id, tag=name, revision=sha, repo_type=self.kind)


def has_token() -> bool:
    """Whether a token is at one of the usual places: HF_TOKEN, or a login."""
    return get_token() is not None


def _addition(upload: Upload) -> CommitOperationAdd:
    source = upload.source if isinstance(upload.source, bytes) else str(upload.source)
    addition = CommitOperationAdd(upload.path_in_repo, source)
    # Known already: it would be read once more.
    addition.upload_info.sha256 = bytes.fromhex(upload.sha256)
    return addition


def _groups(
    additions: Sequence[CommitOperationAdd], uploads: dict[str, Upload]
) -> Iterable[list[CommitOperationAdd]]:
    group: list[CommitOperationAdd] = []
    n_bytes = 0
    for addition in additions:
        group.append(addition)
        n_bytes += uploads[addition.path_in_repo].n_bytes
        if len(group) == _MOST_FILES or n_bytes >= _MOST_BYTES:
            yield group
            group, n_bytes = [], 0
    if group:
        yield group


def _refuse_changed(upload: Upload) -> None:
    if isinstance(upload.source, bytes):
        return
    now = upload.source.stat()
    if (now.st_size, now.st_mtime_ns) != (upload.n_bytes, upload.changed_at):
        raise GatescopeError(
            f"publish: {upload.source} has changed while it was sent, and nothing was published; "
            "publish again when nobody writes there"
        )
