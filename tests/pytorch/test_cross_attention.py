"""The PyTorch module against the NumPy release; skipped where PyTorch is missing."""

import math
import pickle

import numpy as np
import pytest
from oracle.cross_attention import attention

import dpstruct as dps
from dpstruct.testing import ZeroNoise

torch = pytest.importorskip("torch")


def release(heads=1, *, noise=True, n=3000, degree=2, features="exact", centre=None):
    rng = np.random.default_rng(0)
    K, V = rng.normal(size=(n, heads, 6)), rng.normal(size=(n, heads, 4))
    K /= np.linalg.norm(K, axis=2, keepdims=True)
    V /= 2 * np.linalg.norm(V, axis=2, keepdims=True)
    options = {"degree": degree, "heads": heads, "features": features, "sketch_size": 8, "key_center": centre}
    structure = dps.CrossAttention(6, 4, key_norm=1.0, value_norm=1.0, value_center=(0.5, 0, 0, 0), **options)
    budget = dps.Budget(4.0, 1e-6, neighbors="add-remove")
    summary = structure.summarize(K if heads > 1 else K[:, 0], V if heads > 1 else V[:, 0])
    if noise:
        return budget.release(summary, share=1), K, V
    with ZeroNoise():
        return budget.release(summary, share=1), K, V


def module(private, **options):
    from dpstruct.torch import PrivateAttention

    return PrivateAttention(private, dtype=torch.float64, **options)


def queries(heads=1, seed=1):
    return torch.tensor(np.random.default_rng(seed).normal(size=(2, heads, 5, 6)))


@pytest.mark.parametrize("shrink", [True, False])
@pytest.mark.parametrize(("degree", "coefficients"), [(1, None), (2, "taylor"), (3, (1.0, 1.0, 0.5, 0.2))])
def test_outputs_are_those_of_numpy(degree, coefficients, shrink):
    private, _, _ = release(degree=degree)
    found = module(private, coefficients=coefficients, shrink=shrink)(queries())
    expected = private.query(queries()[:, 0].numpy(), coefficients=coefficients, shrink=shrink)
    assert found.shape == (2, 1, 5, 4)
    assert np.abs(found[:, 0].numpy() - expected).max() < 1e-5
    scaled = module(private, coefficients=coefficients, shrink=shrink)(queries(), scale=1.5)
    expected = private.query(queries()[:, 0].numpy(), temperature=1 / 1.5, coefficients=coefficients, shrink=shrink)
    assert np.abs(scaled[:, 0].numpy() - expected).max() < 1e-5


def test_heads_groups_and_broadcasting():
    private, _, _ = release(heads=2)
    attend, four, two = module(private), queries(4), queries(2)
    expected = private.query(two.numpy().transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    assert np.abs(attend(two).numpy() - expected).max() < 1e-6
    grouped = attend(four, enable_gqa=True)
    assert torch.equal(grouped[:, :2], attend(four[:, [0, 2]])[:, [0]].expand(-1, 2, -1, -1)) is False
    for head in range(4):
        pair = four[:, [head, head]]
        assert torch.allclose(grouped[:, head], attend(pair)[:, head // 2])
    single = module(release()[0])
    assert torch.allclose(single(four)[:, 3], single(four[:, 3:])[:, 0])
    with pytest.raises(dps.InvalidParameter, match="enable_gqa"):
        attend(four)


def test_gradients_are_right():
    private, _, _ = release()
    q = queries()[:1, :, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(module(private), (q,), eps=1e-6, atol=1e-5)
    assert torch.autograd.gradcheck(lambda q: module(private).numerator_denominator(q), (q,), eps=1e-6, atol=1e-5)
    assert list(module(private).parameters()) == []


@pytest.mark.parametrize("centre", [None, (0.3, 0, 0, 0, 0, -0.3)])
def test_local_tokens_and_memory_mix_like_one_softmax(centre):
    private, K, V = release(noise=False, n=50, centre=centre)
    rng = np.random.default_rng(2)
    k, v = rng.normal(size=(1, 1, 30, 6)), rng.normal(size=(1, 1, 30, 4))
    q = queries()[:1]
    found = module(private, coefficients="taylor").attend(q, torch.tensor(k), torch.tensor(v), scale=0.25)
    everything = np.concatenate([K[:, 0], k[0, 0]]), np.concatenate([V[:, 0], v[0, 0]])
    expected = attention(q[0, 0].numpy(), *everything, 4.0)
    assert np.abs(found[0, 0].numpy() - expected).max() < 0.03
    alone = attention(q[0, 0].numpy(), k[0, 0], v[0, 0], 4.0)
    assert np.abs(alone - expected).max() > 0.1


def test_what_sums_can_not_do_is_refused():
    attend = module(release()[0])
    for bad in ({"attn_mask": torch.ones(5, 5)}, {"is_causal": True}, {"dropout_p": 0.1}):
        with pytest.raises(dps.InvalidParameter, match=next(iter(bad))):
            attend(queries(), **bad)
    with pytest.raises(dps.InvalidParameter, match="scale"):
        attend(queries(), scale=-1.0)
    with pytest.raises(dps.InvalidParameter, match="query"):
        attend(queries()[0])
    with pytest.raises(dps.InvalidParameter, match="sketched"):
        module(release(features="tensorsketch")[0])
    with pytest.raises(dps.InvalidParameter, match="PrivateCrossAttention"):
        module("memory")


def test_a_module_is_saved_moved_and_printed():
    private, _, _ = release()
    attend = module(private)
    twin = module(release()[0])
    twin.load_state_dict(attend.state_dict())
    assert torch.equal(twin.state, attend.state)
    assert attend.float()(queries().float()).dtype == torch.float32
    assert "(4, 1e-6)-DP" in repr(attend)
    assert math.isfinite(float(attend(torch.zeros(1, 1, 1, 6)).sum()))


def test_a_module_is_pickled_whole():
    private, _, _ = release()
    found = module(private)
    again = pickle.loads(pickle.dumps(found))
    assert torch.equal(again(queries()), found(queries()))
