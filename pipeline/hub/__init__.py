"""A dataset as others meet it: its card. The owner of huggingface_hub."""

from pipeline.hub.card import write_card

__all__ = ["write_card"]
