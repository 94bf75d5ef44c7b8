"""The commit that a dataset on the Hub is read at."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from huggingface_hub import HfApi

from pipeline.hub.failures import hub_errors

_URL: Final = re.compile(
    r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?"
    r"(?P<path>/.*)?"
)


def pinned(url: str) -> str:
    """The URL of the commit that a branch or a tag is at now.

    A dataset that is published anew while it is open would else be read as half of one and half of
    the other. Raises GatescopeError where the Hub has no such dataset, or cannot be reached.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return url
    with hub_errors("open", url):
        revision = unquote(match["revision"]) if match["revision"] else None
        info = HfApi().repo_info(match["repo"], repo_type="dataset", revision=revision)
    return f"hf://datasets/{match['repo']}@{info.sha}{match['path'] or ''}"
