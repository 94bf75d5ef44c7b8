"""A dataset as others meet it: its card, its repository on the Hub. Owns huggingface_hub."""

from pipeline.hub.card import card, write_card
from pipeline.hub.failures import hub_errors
from pipeline.hub.repository import (
    Repository,
    State,
    Upload,
    has_token,
    upload_of_file,
    upload_of_text,
)
from pipeline.hub.space import space_card

__all__ = [
    "Repository",
    "State",
    "Upload",
    "card",
    "has_token",
    "hub_errors",
    "space_card",
    "upload_of_file",
    "upload_of_text",
    "write_card",
]
