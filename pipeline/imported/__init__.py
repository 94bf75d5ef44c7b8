"""`gatescope import`: what GLUScope's authors have published, as a dataset of ours.

settings -> task -> importing: layer by layer -> manifest
|
v  with a model
filling: the named examples run once -> fitting: do they fit? -> windows
"""

from pipeline.imported.importing import import_dataset

__all__ = ["import_dataset"]
