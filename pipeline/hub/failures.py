"""What the Hub and the network answer, as messages that name the thing and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.errors import GatescopeError

_LOGIN: Final = "`hf auth login`, or set HF_TOKEN"


@contextmanager
def hub_errors(command: str, repo: str) -> Iterator[None]:
    """Raise GatescopeError for what goes wrong with a repository.

    A token is neither in these messages nor in those of huggingface_hub.
    """
    try:
        yield
    except GatescopeError:
        raise
    except LocalTokenNotFoundError as error:
        raise GatescopeError(f"{command}: {repo}: no token is here; run {_LOGIN}") from error
    except OfflineModeIsEnabled as error:
        raise GatescopeError(
            f"{command}: {repo}: HF_HUB_OFFLINE is set; unset it to reach the Hub"
        ) from error
    except HFValidationError as error:
        raise GatescopeError(
            f"{command}: {repo!r} is no repository on the Hub; write org/name with letters, "
            "digits, `-`, `_` and `.`"
        ) from error
    except RevisionNotFoundError as error:
        raise GatescopeError(
            f"{command}: {repo}: there is no such revision; give a branch, a tag or a commit"
        ) from error
    except RepositoryNotFoundError as error:
        raise GatescopeError(
            f"{command}: {repo}: there is no such repository, or the token may not see it; correct "
            f"the name, or log in with another token ({_LOGIN})"
        ) from error
    except HfHubHTTPError as error:
        raise GatescopeError(f"{command}: {repo}: {_reason(error)}") from error
    # What an upload of several files wraps its errors in.
    except RuntimeError as error:
        if error.__cause__ is None or not str(error).startswith("Error while uploading"):
            raise
        raise GatescopeError(f"{command}: {repo}: {_of_cause(error.__cause__)}") from error
    except (ConnectionError, TimeoutError, httpx2.TransportError) as error:
        raise GatescopeError(f"{command}: {repo}: {_of_cause(error)}") from error


def _of_cause(error: BaseException | None) -> str:
    if isinstance(error, HfHubHTTPError):
        return _reason(error)
    said = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{constants.ENDPOINT} cannot be reached ({said}); check the network, then give the same "
        "command again: what was sent is kept"
    )


def _reason(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    said = " ".join((error.server_message or "").split())
    shown = f" ({said})" if said else ""
    if status == 401:
        return f"the Hub does not know the token{shown}; log in again: {_LOGIN}"
    if status == 403:
        return (
            f"the token may not do this{shown}; give one that may write there, or another "
            f"repository ({_LOGIN})"
        )
    if status == 412:
        return "somebody else has changed it meanwhile; look at it, then give the command again"
    if status == 429:
        return "the Hub asks to be left alone for a while (429); try again later"
    if isinstance(error, BadRequestError):
        return f"the Hub refused{shown}; this is a fault of ours if it lasts"
    return f"the Hub answered {status}{shown}; give the same command again: what was sent is kept"
