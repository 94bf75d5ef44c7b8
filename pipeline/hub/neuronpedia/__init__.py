"""A dataset as Neuronpedia's importer takes it."""

from pipeline.hub.neuronpedia.files import model_id, neuronpedia_files, source_set

__all__ = ["model_id", "neuronpedia_files", "source_set"]
