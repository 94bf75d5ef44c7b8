"""Cosines, classes and randomness regions against numpy, hand-made tables and sampling."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import betaincinv

from pipeline.naming import IO_CLASSES
from pipeline.weights import (
    NeuronWeights,
    io_classes,
    mismatched,
    mismatched_cosines,
    neuron_weights,
    random_cosine_interval,
)

# Every triple of approximate signs: of cos(gate, in), cos(gate, out) and cos(in, out).
CLASSES = {
    "enrichment": [(1, 1, 1), (-1, -1, 1)],
    "atypical enrichment": [(0, 1, 1), (-1, 1, 1), (0, -1, 1), (1, -1, 1)],
    "conditional enrichment": [(0, 0, 1)],
    "atypical conditional enrichment": [(1, 0, 1), (-1, 0, 1)],
    "proportional change": [(0, 1, 0), (0, -1, 0)],
    "atypical proportional change": [(1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0)],
    "orthogonal output": [(0, 0, 0), (1, 0, 0), (-1, 0, 0)],
    "depletion": [(-1, 1, -1), (1, -1, -1)],
    "atypical depletion": [(0, 1, -1), (1, 1, -1), (0, -1, -1), (-1, -1, -1)],
    "conditional depletion": [(0, 0, -1)],
    "atypical conditional depletion": [(1, 0, -1), (-1, 0, -1)],
}


def random_weights(
    n_neurons: int, d_model: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    gate, in_, out = torch.randn((3, n_neurons, d_model), generator=generator).unbind()
    return gate, in_ * 3, out * 0.01


def class_of(gate_in: float, gate_out: float, in_out: float) -> str:
    return io_classes(*torch.tensor([[gate_in], [gate_out], [in_out]], dtype=torch.float64), 0.5)[0]


@pytest.mark.parametrize("canonical_signs", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cosines_and_norms(canonical_signs: bool, dtype: torch.dtype) -> None:
    weights = tuple(values.to(dtype) for values in random_weights(50, 7))
    found = neuron_weights(*weights, canonical_signs=canonical_signs)
    gate, in_, out = (values.double().numpy() for values in weights)
    for n in range(50):
        norms = [np.sqrt(np.sum(vector**2)) for vector in (gate[n], in_[n], out[n])]
        cos_gate_in = np.dot(gate[n], in_[n]) / norms[0] / norms[1]
        sign = -1 if canonical_signs and cos_gate_in < 0 else 1
        expected = {
            "cos_gate_in": sign * cos_gate_in,
            "cos_gate_out": sign * np.dot(gate[n], out[n]) / norms[0] / norms[2],
            "cos_in_out": np.dot(in_[n], out[n]) / norms[1] / norms[2],
            "norm_gate": norms[0],
            "norm_in": norms[1],
            "norm_out": norms[2],
        }
        got = {name: float(getattr(found, name)[n]) for name in expected}
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-14)
        assert bool(found.flipped[n]) == (sign < 0)
    assert found.cos_in_out.dtype == torch.float64
    assert (found.flipped.any() and not found.flipped.all()) == canonical_signs


def test_cosines_of_parallel_vectors_stay_within_one() -> None:
    gate, _, _ = random_weights(200, 11)
    found = neuron_weights(gate, gate * -0.1, gate * 7, canonical_signs=True)
    assert found.flipped.all()
    assert found.cos_gate_in.tolist() == pytest.approx([1.0] * 200)
    for cosine in (found.cos_gate_in, found.cos_gate_out, found.cos_in_out):
        assert float(cosine.abs().max()) <= 1.0
    assert float(found.cos_gate_out.max()) < -0.999


@pytest.mark.parametrize("canonical_signs", [True, False])
def test_zero_vectors_have_no_direction(canonical_signs: bool) -> None:
    """A neuron that was pruned away has cosine 0 with everything, is not flipped, and is no NaN."""
    vectors = torch.ones(8, 4)
    alive = torch.tensor(list(product([0.0, 1.0], repeat=3)))
    weights = [vectors * alive[:, [i]] for i in range(3)]
    found = neuron_weights(*weights, canonical_signs=canonical_signs)
    both = alive[:, [0, 0, 1]] * alive[:, [1, 2, 2]]
    cosines = torch.stack([found.cos_gate_in, found.cos_gate_out, found.cos_in_out], dim=1)
    assert torch.equal(cosines, both.double())
    assert torch.equal(found.norm_gate, 2 * alive[:, 0].double())
    assert not found.flipped.any()
    assert io_classes(*cosines[:1].T, 0.5) == ["orthogonal output"]


def test_every_triple_of_signs_has_its_class() -> None:
    assert set(CLASSES) == set(IO_CLASSES)
    triples = {triple: name for name, of_class in CLASSES.items() for triple in of_class}
    assert set(triples) == set(product([-1, 0, 1], repeat=3))
    for size in (0.51, 1.0):
        found = {triple: class_of(*(size * sign for sign in triple)) for triple in triples}
        assert found == triples


@pytest.mark.parametrize("io_class", IO_CLASSES)
def test_weights_of_each_class(io_class: str) -> None:
    """Three vectors with these very cosines: a root of their Gram matrix."""
    gate_in, gate_out, in_out = (0.6 * sign for sign in CLASSES[io_class][0])
    gram = np.array([[1, gate_in, gate_out], [gate_in, 1, in_out], [gate_out, in_out, 1]])
    values, vectors = np.linalg.eigh(gram)
    weights = torch.tensor(vectors * np.sqrt(values))
    for canonical_signs in (True, False):
        found = neuron_weights(*weights[:, None], canonical_signs=canonical_signs)
        found_classes = io_classes(found.cos_gate_in, found.cos_gate_out, found.cos_in_out, 0.5)
        assert found_classes == [io_class]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_cosine_on_the_threshold_is_none(sign: int) -> None:
    above = float(np.nextafter(0.5, 1.0))
    assert class_of(0, 0, sign * 0.5) == class_of(0, sign * 0.5, 0) == "orthogonal output"
    assert class_of(0, sign * above, 0) == "proportional change"
    assert class_of(sign * 0.5, 1, 0) == "proportional change"
    assert class_of(sign * above, 1, 0) == "atypical proportional change"
    conditional = "conditional enrichment" if sign > 0 else "conditional depletion"
    assert class_of(0, 0, sign * above) == conditional
    assert class_of(sign * 0.5, 0, sign * above) == conditional
    assert class_of(sign * above, 0, sign * above) == f"atypical {conditional}"


def test_the_threshold_is_a_setting() -> None:
    cosines = [torch.tensor([value]) for value in (0.0, 0.0, 0.3)]
    assert io_classes(*cosines, threshold=0.5) == ["orthogonal output"]
    assert io_classes(*cosines, threshold=0.2) == ["conditional enrichment"]


@pytest.mark.parametrize("sign", [1, -1])
def test_without_a_gate_there_are_three_classes(sign: int) -> None:
    above = float(np.nextafter(0.5, 1.0))
    cosines = torch.tensor([sign * above, sign * 0.5, 0.0], dtype=torch.float64)
    outermost = "enrichment" if sign > 0 else "depletion"
    wanted = [outermost, "orthogonal output", "orthogonal output"]
    assert io_classes(None, None, cosines, 0.5) == wanted
    assert io_classes(None, None, cosines, 0.4)[:2] == [outermost, outermost]


def test_without_a_gate_nothing_is_flipped() -> None:
    _, in_, out = random_weights(50, 7)
    found = neuron_weights(None, in_, out, canonical_signs=True)
    gated = neuron_weights(in_, in_, out, canonical_signs=True)
    assert (found.cos_gate_in, found.cos_gate_out, found.norm_gate) == (None, None, None)
    assert not found.flipped.any()
    for name in ("cos_in_out", "norm_in", "norm_out"):
        assert torch.equal(getattr(found, name), getattr(gated, name))


def test_a_flip_changes_no_class() -> None:
    weights = random_weights(3000, 4, seed=1)  # So few dimensions that cosines are large.

    def found(canonical_signs: bool) -> tuple[NeuronWeights, list[str]]:
        w = neuron_weights(*weights, canonical_signs=canonical_signs)
        return w, io_classes(w.cos_gate_in, w.cos_gate_out, w.cos_in_out, 0.5)

    (as_they_are, classes), (canonical, flipped_classes) = found(False), found(True)
    assert classes == flipped_classes
    assert set(classes) == set(IO_CLASSES)
    assert not as_they_are.flipped.any()
    assert 1000 < int(canonical.flipped.sum()) < 2000
    assert (canonical.cos_gate_in >= 0).all()
    assert torch.equal(canonical.cos_in_out, as_they_are.cos_in_out)
    changed = canonical.cos_gate_out != as_they_are.cos_gate_out
    assert torch.equal(changed, canonical.flipped)


@pytest.mark.parametrize(("d_model", "bound"), [(4096, 0.031), (2048, 0.043)])
def test_randomness_region_of_the_paper(d_model: int, bound: float) -> None:
    low, high = random_cosine_interval(d_model)
    assert round(high, 3) == bound
    assert low == -high


@pytest.mark.parametrize("d_model", [2, 3, 64, 4096, 16384])
@pytest.mark.parametrize("p", [0.5, 0.05, 0.001])
def test_randomness_region_is_that_of_the_beta_distribution(d_model: int, p: float) -> None:
    shape = (d_model - 1) / 2
    low = 2 * float(betaincinv(shape, shape, p / 2)) - 1
    assert random_cosine_interval(d_model, p) == pytest.approx((low, -low), abs=1e-8)


@pytest.mark.parametrize(("d_model", "p"), [(3, 0.05), (16, 0.05), (16, 0.5), (64, 0.01)])
def test_randomness_region_holds_the_cosines_of_random_vectors(d_model: int, p: float) -> None:
    rng = np.random.default_rng(0)
    n = 40_000
    a, b = rng.standard_normal((2, n, d_model))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    low, high = random_cosine_interval(d_model, p)
    for outside in (cosines < low, cosines > high):
        assert outside.mean() == pytest.approx(p / 2, abs=4 * np.sqrt(p / 2 / n))


def pairs_of_different(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    """The cosines of all pairs, one after the other."""
    a, b = (v.double() / v.double().norm(dim=1, keepdim=True) for v in (one, other))
    return (a @ b.T).numpy()[~np.eye(len(a), dtype=bool)]


def with_structure(n_neurons: int, d_model: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors that share a direction, as those of a layer do, and have different norms."""
    shared = torch.randn(d_model, generator=torch.Generator().manual_seed(9))
    one, other, _ = random_weights(n_neurons, d_model)
    sizes = torch.rand(n_neurons, 1, generator=torch.Generator().manual_seed(8))
    return one + 0.3 * shared, 0.01 * sizes * (other + 0.5 * shared)


@pytest.mark.parametrize("n_neurons", [2, 3, 40, 700])
def test_mismatched_cosines_of_all_pairs(n_neurons: int) -> None:
    one, other = with_structure(n_neurons, 16)
    found = mismatched_cosines(one, other)
    wanted = np.quantile(pairs_of_different(one, other), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(wanted), abs=1e-6)
    assert (found.n_pairs, found.error) == (n_neurons * (n_neurons - 1), 0.0)


def test_mismatched_cosines_leave_out_a_neuron_with_itself() -> None:
    one = torch.eye(3)
    found = mismatched_cosines(one, one)
    assert (found.low, found.high) == (0.0, 0.0)


def test_mismatched_cosines_of_a_sample() -> None:
    one, other = with_structure(9000, 512)
    found = mismatched_cosines(one, other)
    wanted = np.quantile(pairs_of_different(one, other), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(wanted), abs=1e-3)
    assert 0 < found.error < 1e-3
    assert max(abs(found.low - wanted[0]), abs(found.high - wanted[1])) < 4 * found.error
    assert found.n_pairs == 4 * (9000 // 256) * 256 * 255
    assert found == mismatched_cosines(one, other)


def test_the_error_of_a_sample_is_what_samples_differ_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over layers of the same kind, the deviation from all pairs has the size that is stated."""
    deviations, errors = [], []
    for seed in range(12):
        one, other, _ = random_weights(600, 32, seed=seed)
        exact = mismatched_cosines(one, other)
        with monkeypatch.context() as patch:
            patch.setattr(mismatched, "_EXACT_UP_TO", 0)
            sampled = mismatched_cosines(one, other)
        assert exact.low is not None
        assert sampled.low is not None
        deviations.append(sampled.low - exact.low)
        errors.append(sampled.error)
    assert 0.2 < np.std(deviations) / np.mean(errors) < 2


@pytest.mark.parametrize("n_neurons", [0, 1])
def test_a_layer_without_pairs(n_neurons: int) -> None:
    one = torch.ones(n_neurons, 4)
    found = mismatched_cosines(one, one)
    assert (found.low, found.high, found.n_pairs, found.error) == (None, None, 0, 0.0)
