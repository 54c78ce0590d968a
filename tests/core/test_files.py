"""The .dps file: bitwise round trips, one golden file of format version 1, and files that lie."""

import json
import os
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as safetensors_bytes

import dpstruct as dps
from dpstruct.core import blueprint, files
from dpstruct.privacy.events import Event, Line

GOLDEN = Path(__file__).parent / "golden" / "kde_tree_v1.dps"
TREE = dps.KDETree(bounds=dps.Box([0, -1], [1, 3]), depth=3)
RELATIONS = ["add-remove", "substitute", dps.RowsWithin(0.25)]


def released(*, delta=1e-6, neighbors="add-remove", tree=TREE):
    X = np.linspace(-1, 2, 40 * tree.dim).reshape(40, tree.dim)
    budget = dps.Budget(epsilon=2.0, delta=delta, neighbors=neighbors)
    return budget.release(tree.summarize(X), share=0.25, label="forty rows")


RELEASE = released()


# ---- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbors", RELATIONS, ids=str)
@pytest.mark.parametrize("delta", [0.0, 1e-6])
def test_a_loaded_release_is_the_same_to_the_last_bit(tmp_path, delta, neighbors):
    private = released(delta=delta, neighbors=neighbors)
    private.save(tmp_path / "a.dps")
    loaded = dps.load(tmp_path / "a.dps")
    Y = np.array([[0.1, 0.2], [np.nan, 0.0], [5.0, -9.0]])
    assert type(loaded) is type(private)
    assert loaded.receipt == private.receipt
    assert loaded.structure == private.structure
    assert loaded.query(Y).tobytes() == private.query(Y).tobytes()
    assert loaded.error(Y).tobytes() == private.error(Y).tobytes()
    assert loaded.count == private.count
    assert all(np.array_equal(loaded.transcript[name], array) for name, array in private.transcript.items())
    loaded.save(tmp_path / "b.dps")
    assert (tmp_path / "a.dps").read_bytes() == (tmp_path / "b.dps").read_bytes()


def test_a_saved_file_is_plain_safetensors(tmp_path):
    from safetensors.numpy import load_file

    RELEASE.save(tmp_path / "a.dps")
    tensors = load_file(tmp_path / "a.dps")
    assert {name: array.dtype for name, array in tensors.items()} == dict.fromkeys(RELEASE.transcript, np.int64)


def test_saving_replaces_a_file_whole_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "a.dps"
    target.write_bytes(b"old")
    RELEASE.save(target)
    assert dps.load(target).receipt == RELEASE.receipt
    assert [path.name for path in tmp_path.iterdir()] == ["a.dps"]
    with pytest.raises(OSError, match="No such file"):
        RELEASE.save(tmp_path / "missing" / "a.dps")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_saved_file_obeys_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        RELEASE.save(tmp_path / "a.dps")
    finally:
        os.umask(old)
    assert (tmp_path / "a.dps").stat().st_mode & 0o777 == 0o640


def test_load_finds_the_blueprint_that_is_passed(tmp_path):
    RELEASE.save(tmp_path / "a.dps")
    assert dps.load(tmp_path / "a.dps", structure=TREE).receipt == RELEASE.receipt
    with pytest.raises(dps.FileFormatError, match="not of the structure that was passed"):
        dps.load(tmp_path / "a.dps", structure=dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=3))
    with pytest.raises(dps.InvalidType):
        dps.load(3)
    with pytest.raises(FileNotFoundError):
        dps.load(tmp_path / "b.dps")


# ---- format version 1 ------------------------------------------------------------------------------------------------


def golden_parts():
    """Blueprint, transcript and receipt of the golden file, from constants."""
    tree = dps.KDETree(bounds=dps.Box([0.0], [1.0]), depth=2, max_rows=1000)
    plan = tree.plan(cost=dps.GDP(0.5), neighbors="add-remove")
    M = 1 << 30
    transcript = {
        "A": np.array([3 * M // 2]),
        "B": np.array([5 * M // 2]),
        "level0": np.array([[M // 2]]),
        "level1": np.array([[M // 8, -M // 16]]),
    }
    receipt = dps.Receipt(
        uid="00112233445566778899aabbccddeeff",
        at="2026-01-01T00:00:00.000000+00:00",
        structure="KDETree",
        cost=dps.GDP(0.5),
        charged=dps.GDP(0.5),
        total=dps.GDP.from_approx_dp(5.0, 1e-6),
        epsilon=5.0,
        delta=1e-6,
        neighbors="add-remove",
        unit="row",
        budget="golden",
        label="format version 1",
        events=plan.events,
        noise="openssl-drbg",
        version="0.1.0",
    )
    return tree, transcript, receipt


def test_golden_bytes_are_those_of_the_parts():
    assert files.encode(*golden_parts()) == GOLDEN.read_bytes()


@pytest.mark.parametrize("golden", [GOLDEN, GOLDEN.with_name("kde_tree_v1_first.dps")], ids=["now", "first"])
def test_golden_answers(golden):
    """Knots by hand: ends 3/2 and 5/2; middle (3/2 + 5/2)/2 - 1/2 = 3/2; quarters 3/2 - 1/8 and 2 + 1/16.

    The first file was written before trees had a power and directions.
    """
    private = dps.load(golden)
    assert private.query([[0.0], [0.25], [0.5], [0.75], [1.0]]).tolist() == [1.5, 1.375, 1.5, 2.0625, 2.5]
    assert private.query([[0.125], [2.0]]).tolist() == [1.4375, 2.5]
    assert private.count == 4.0
    assert private.error([[0.0], [1.0]]).tolist() == pytest.approx([2.0, 2.0], rel=1e-9)
    assert private.receipt.guarantee == "(2.255, 1e-6)-DP from 0.5-GDP for add-remove neighbors, unit row"
    assert files.inspect(GOLDEN)["receipt"]["uid"] == "00112233445566778899aabbccddeeff"
    assert [line.split(":")[0] for line in files.verify(GOLDEN)] == ["hash", "accounting", "plan"]


# ---- files that lie --------------------------------------------------------------------------------------------------


def parts():
    """Label and tensors of a good file, to be spoiled."""
    metadata, tensors = files.split(files.encode(RELEASE.structure, RELEASE.transcript, RELEASE.receipt))
    return json.loads(metadata["dpstruct"]), dict(tensors)


def sealed(label, tensors, *, text=None):
    """The bytes of a file whose hash is right, whatever it says."""
    if text is None:
        label = {key: value for key, value in label.items() if key != "sha256"}
        label["sha256"] = files._hash(label, tensors)
        text = blueprint.canonical(label).decode()
    return safetensors_bytes(tensors, metadata={"dpstruct": text})


def refused(tmp_path, data, match=None):
    """Loading raises FileFormatError, imports no module and takes no more memory than a few copies of the file."""
    path = tmp_path / "hostile.dps"
    path.write_bytes(data)
    files._hash({}, {})
    before = set(sys.modules)
    tracemalloc.start()
    try:
        with pytest.raises(dps.FileFormatError, match=match):
            dps.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert set(sys.modules) - before <= {"safetensors", "safetensors.numpy"}
    assert peak < (8 << 20) + 16 * len(data)


def test_the_forge_makes_good_files(tmp_path):
    (tmp_path / "a.dps").write_bytes(sealed(*parts()))
    assert dps.load(tmp_path / "a.dps").receipt == RELEASE.receipt


GOOD = sealed(*parts())
BYTES = {
    "empty": b"",
    "seven bytes": GOOD[:7],
    "header only": GOOD[: 8 + int.from_bytes(GOOD[:8], "little")],
    "cut in the header": GOOD[:100],
    "cut in a tensor": GOOD[:-1],
    "more at the end": GOOD + b"\0" * 8,
    "header longer than the file": (1 << 40).to_bytes(8, "little") + GOOD[8:],
    "header of 2**64 - 1": b"\xff" * 8 + GOOD[8:],
    "header of none": bytes(8) + GOOD[8:],
    "header no JSON": (4).to_bytes(8, "little") + b"abcd",
    "header no object": (2).to_bytes(8, "little") + b"[]",
    "header of arrays": (100_000).to_bytes(8, "little") + b"[" * 100_000,
    "a zip": b"PK\x03\x04" + bytes(100),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("what", BYTES)
def test_bytes_that_are_no_file(tmp_path, what):
    refused(tmp_path, BYTES[what])


@pytest.mark.parametrize("position", range(8, len(GOOD), 97))
def test_a_flipped_bit_is_noticed(tmp_path, position):
    spoiled = bytearray(GOOD)
    spoiled[position] ^= 1
    path = tmp_path / "a.dps"
    path.write_bytes(bytes(spoiled))
    with pytest.raises(dps.FileFormatError):
        dps.load(path)


def header(entries, body=b""):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + body


HEADERS = {
    "offsets beyond the file": {"A": {"dtype": "I64", "shape": [1 << 40], "data_offsets": [0, 1 << 43]}},
    "overlapping": {
        "A": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "B": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
    },
    "overflowing shape": {"A": {"dtype": "I64", "shape": [1 << 32, 1 << 32], "data_offsets": [0, 0]}},
    "negative shape": {"A": {"dtype": "I64", "shape": [-1], "data_offsets": [0, 8]}},
    "entry no object": {"A": 3},
    "metadata no object": {"__metadata__": 3},
    "metadata of numbers": {"__metadata__": {"dpstruct": 3}},
    "no metadata": {},
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_that_lie(tmp_path, what):
    refused(tmp_path, header(HEADERS[what], bytes(8)))


def change(*path, to):
    """A spoiler of the label: the value at `path` becomes `to`."""

    def spoil(label, tensors):
        inner = label
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to

    return spoil


def event(position, **changes):
    def spoil(label, tensors):
        label["receipt"]["events"][0]["lines"][position].update(changes)

    return spoil


def tensor(**changes):
    def spoil(label, tensors):
        tensors.update(changes)

    return spoil


def drop(name):
    def spoil(label, tensors):
        del tensors[name]
        lines = label["receipt"]["events"][0]["lines"]
        lines[:] = [line for line in lines if line["name"] != name]

    return spoil


def extra_line(label, tensors):
    tensors["extra"] = np.zeros(2, np.int64)
    lines = label["receipt"]["events"][0]["lines"]
    lines.append({**lines[0], "name": "extra"})


def other_shape(label, tensors):
    tensors["level1"] = np.zeros((2, 3), np.int64)
    label["receipt"]["events"][0]["lines"][3]["shape"] = [2, 3]


PARAMETERS = ("structure", "parameters")
BOX = (*PARAMETERS, "bounds")
RECEIPT = ("receipt",)
LABELS = {
    "another version": change("format", to=2),
    "version as text": change("format", to="1"),
    "version as true": change("format", to=True),
    "version as list": change("format", to=[1]),
    "a field more": change("more", to=1),
    "structure is text": change("structure", to="KDETree"),
    "a function of os": change("structure", "name", to="os.system"),
    "a module": change("structure", "name", to="antigravity"),
    "the release class": change("structure", "name", to="PrivateKDETree"),
    "name no text": change("structure", "name", to=["KDETree"]),
    "a parameter more": change(*PARAMETERS, "evil", to=1),
    "parameters no object": change(*PARAMETERS, to=[]),
    "a huge depth": change(*PARAMETERS, "depth", to=10**9),
    "the largest depth": change(*PARAMETERS, "depth", to=20),
    "another depth": change(*PARAMETERS, "depth", to=2),
    "depth of no integer": change(*PARAMETERS, "depth", to=3.0),
    "depth true": change(*PARAMETERS, "depth", to=True),
    "depth beyond float": change(*PARAMETERS, "depth", to=10**400),
    "a huge capacity": change(*PARAMETERS, "max_rows", to=10**30),
    "capacity beyond float": change(*PARAMETERS, "max_rows", to=10**400),
    "another metric": change(*PARAMETERS, "metric", to="cosine"),
    "a huge box": change(*BOX, to={"domain": "Box", "low": 0.0, "high": 1.0, "dim": 1 << 24}),
    "a box of scalars": change(*BOX, to={"domain": "Box", "low": 0.0, "high": 1.0, "dim": 2}),
    "a box beyond float": change(*BOX, "high", to=[10**400, 1.0]),
    "a box upside down": change(*BOX, "high", to=[-5.0, 1.0]),
    "a box of text": change(*BOX, "high", to=["1", 1.0]),
    "a box of other dim": change(*BOX, "dim", to=3),
    "a ball": change(*BOX, to={"domain": "Ball", "radius": 1.0, "dim": 2, "center": [0.0, 0.0]}),
    "an unknown domain": change(*BOX, to={"domain": "Path", "low": "/etc"}),
    "a domain of no name": change(*BOX, "domain", to=["Box"]),
    "a domain in a domain": change(*BOX, "low", to={"domain": "Box", "low": 0, "high": 1, "dim": 1}),
    "receipt no object": change(*RECEIPT, to=[]),
    "receipt of another": change(*RECEIPT, "structure", to="KernelDensity"),
    "receipt field missing": lambda label, tensors: label["receipt"].pop("uid"),
    "receipt field more": change(*RECEIPT, "extra", to=1),
    "uid no text": change(*RECEIPT, "uid", to=7),
    "a very long label": change(*RECEIPT, "label", to="x" * 100_000),
    "epsilon beyond float": change(*RECEIPT, "epsilon", to=10**400),
    "epsilon negative": change(*RECEIPT, "epsilon", to=-1.0),
    "epsilon true": change(*RECEIPT, "epsilon", to=True),
    "delta text": change(*RECEIPT, "delta", to="0"),
    "cost of no measure": change(*RECEIPT, "cost", "measure", to="zcdp"),
    "cost of a list": change(*RECEIPT, "cost", "measure", to=["gdp"]),
    "cost no integer": change(*RECEIPT, "cost", "units", to="1e9"),
    "cost negative": change(*RECEIPT, "cost", "units", to="-1"),
    "cost too long": change(*RECEIPT, "cost", "units", to="9" * 5000),
    "cost in other digits": change(*RECEIPT, "cost", "units", to="٣"),
    "unknown relation": change(*RECEIPT, "neighbors", to="friends"),
    "relation of text": change(*RECEIPT, "neighbors", to={"rows-within": "1.0"}),
    "another relation": change(*RECEIPT, "neighbors", to="substitute"),
    "a unit that is not bounded": change(*RECEIPT, "unit", to="user"),
    "no events": change(*RECEIPT, "events", to=[]),
    "event no object": change(*RECEIPT, "events", to=[3]),
    "unknown noise": change(*RECEIPT, "events", 0, "kind", to="none"),
    "sensitivity zero": change(*RECEIPT, "events", 0, "sensitivity", to="0/1"),
    "sensitivity too long": change(*RECEIPT, "events", 0, "sensitivity", to="9" * 5000 + "/1"),
    "scale zero": event(0, scales=["0x0.0p+0"]),
    "scale negative": event(0, scales=["-0x1.0000000000000p+3"]),
    "scale infinite": event(0, scales=["inf"]),
    "scale beyond any plan": event(0, scales=["0x1.0000000000000p+600"]),
    "scale below any plan": event(0, scales=["0x1.0000000000000p-600"]),
    "scale decimal": event(0, scales=["1.5"]),
    "too many scales": event(0, scales=["0x1.8000000000000p+0"] * 5),
    "no shape": event(0, shape=[]),
    "another shape": event(0, shape=[1]),
    "a huge shape": event(0, shape=[2, 1 << 60]),
    "shape of no integers": event(0, shape=[2.0]),
    "shape beyond int64": event(0, shape=[10**400]),
    "a line twice": event(1, name="A"),
    "a line of another name": event(2, name="level9"),
    "a tensor more": tensor(extra=np.zeros(1, np.int64)),
    "a line and tensor more": extra_line,
    "a tensor of another shape": tensor(A=np.zeros(3, np.int64)),
    "a tensor and line of another shape": other_shape,
    "a tensor of no axis": tensor(A=np.zeros((), np.int64)),
    "a tensor of floats": tensor(A=np.zeros(2)),
    "a tensor of int32": tensor(A=np.zeros(2, np.int32)),
    "a count that is not public": tensor(n=np.array(40)),
    "no A": drop("A"),
    "no B": drop("B"),
    "no level": drop("level2"),
}


@pytest.mark.parametrize("what", LABELS)
def test_labels_that_lie_under_a_right_hash(tmp_path, what):
    label, tensors = parts()
    LABELS[what](label, tensors)
    refused(tmp_path, sealed(label, tensors))


def good_text():
    label, tensors = parts()
    return blueprint.canonical(label).decode(), tensors


TEXTS = {
    "not JSON": lambda text: text[:-1],
    "no object": lambda text: "[]",
    "a number": lambda text: "1",
    "NaN": lambda text: text.replace('"delta":1e-06', '"delta":NaN'),
    "Infinity": lambda text: text.replace('"epsilon":2.0', '"epsilon":Infinity'),
    "beyond float": lambda text: text.replace('"epsilon":2.0', '"epsilon":1e999'),
    "a key twice": lambda text: text.replace('"format":1', '"format":1,"format":1'),
    "a label twice": lambda text: text.replace('"label":', '"label":"harmless","label":'),
    "spaces": lambda text: text.replace(":", ": ", 1),
    "another order": lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")),
    "an integer of many digits": lambda text: text.replace('"epsilon":2.0', '"epsilon":' + "9" * 10_000),
    "deep lists": lambda text: text.replace('"depth":3', '"depth":' + "[" * 50_000 + "]" * 50_000),
    "rather deep lists": lambda text: text.replace('"depth":3', '"depth":' + "[" * 400 + "]" * 400),
    "deep objects": lambda text: text.replace('"depth":3', '"depth":' + '{"domain":' * 50_000 + "1" + "}" * 50_000),
    "a lone surrogate": lambda text: text.replace("forty rows", "\\ud800"),
}


@pytest.mark.parametrize("rehash", [False, True])
@pytest.mark.parametrize("what", TEXTS)
def test_labels_that_are_no_canonical_json(tmp_path, what, rehash):
    text, tensors = good_text()
    spoiled = TEXTS[what](text)
    assert spoiled != text
    if rehash:
        try:
            label = json.loads(spoiled)
            label.pop("sha256")
            spoiled = spoiled.replace(json.loads(text)["sha256"], files._hash(label, tensors))
        except (ValueError, RecursionError, AttributeError, TypeError):
            return  # nothing can be hashed as the library hashes it
        if what == "a lone surrogate":
            return  # legal JSON text, and what it decodes to is only ever shown
    refused(tmp_path, sealed(None, tensors, text=spoiled))


def load_refuses(tmp_path, label, tensors, match):
    path = tmp_path / "a.dps"
    path.write_bytes(sealed(label, tensors))
    with pytest.raises(dps.FileFormatError, match=match):
        dps.load(path)


def verify_refuses(tmp_path, label, tensors, match):
    path = tmp_path / "a.dps"
    path.write_bytes(sealed(label, tensors))
    dps.load(path)
    with pytest.raises(dps.FileFormatError, match=match):
        files.verify(path)


def test_verify_notices_noise_that_was_too_small(tmp_path):
    label, tensors = parts()
    line = label["receipt"]["events"][0]["lines"][2]
    line["scales"] = [(float.fromhex(scale) / 2).hex() for scale in line["scales"]]
    load_refuses(tmp_path, label, tensors, "too small for the cost")


def test_verify_notices_a_sensitivity_that_was_understated(tmp_path):
    """A tenth of the sensitivity makes the price of the same scales look right at a tenth of the cost."""
    label, tensors = parts()
    receipt = label["receipt"]
    receipt["events"][0]["sensitivity"] = "1/10"
    event = Event.decode(receipt["events"][0])
    cheap = {"measure": "gdp", "units": str(event.price())}
    receipt["cost"] = receipt["charged"] = cheap
    verify_refuses(tmp_path, label, tensors, "sensitivities or scales")


def test_verify_notices_weights_that_were_changed(tmp_path):
    label, tensors = parts()
    events = RELEASE.receipt.events[0]
    lines = tuple(
        Line(name, shape, tuple(w / 4 for w in weights) if name == "A" else weights, scales)
        for name, shape, weights, scales in events.lines
    )
    label["receipt"]["events"] = [Event(events.kind, Fraction(1), lines).encode()]
    verify_refuses(tmp_path, label, tensors, "sensitivities or scales")


@pytest.mark.parametrize("field", ["charged", "cost"])
def test_verify_notices_a_price_that_was_changed(tmp_path, field):
    label, tensors = parts()
    label["receipt"][field]["units"] = str(RELEASE.receipt.cost.units - 1)
    verify_refuses(tmp_path, label, tensors, "too small for the cost|another amount")


def test_verify_notices_a_charge_over_the_total(tmp_path):
    label, tensors = parts()
    label["receipt"]["charged"]["units"] = str(RELEASE.receipt.total.units + 1)
    load_refuses(tmp_path, label, tensors, "more than the total")


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda r: r.update(epsilon=0.001), "total is not that of its epsilon"),
        (lambda r: r.update(delta=5.0), "no valid budget"),
        (lambda r: r.update(delta=0.0), "total is not that of its epsilon"),
        (lambda r: r["total"].update(measure="pure-dp"), "total is not that of its epsilon"),
        (lambda r: r["total"].update(units="0"), "total is not that of its epsilon"),
        (lambda r: r["total"].update(units="9" * 60), "no valid cost"),
        (lambda r: r["charged"].update(units="0"), "charged nothing"),
        (lambda r: r["charged"].update(measure="pure-dp"), "charged nothing"),
        (lambda r: r["cost"].update(units="0"), "cost of nothing"),
    ],
)
def test_a_receipt_that_no_budget_could_give_is_refused(tmp_path, spoil, match):
    label, tensors = parts()
    spoil(label["receipt"])
    load_refuses(tmp_path, label, tensors, match)


def test_verify_holds_for_every_kind_of_release(tmp_path):
    for k, (delta, neighbors) in enumerate((d, n) for d in (0.0, 1e-6) for n in RELATIONS):
        path = tmp_path / f"{k}.dps"
        released(delta=delta, neighbors=neighbors).save(path)
        assert len(files.verify(path)) == 3


def test_verify_holds_for_laplace_noise_paid_in_gdp(tmp_path):
    budget = dps.Budget(epsilon=2.0, delta=1e-6, neighbors="add-remove")
    budget.release(TREE.summarize([[0.5, 0.5]]), cost=dps.PureDP(0.1)).save(tmp_path / "a.dps")
    assert len(files.verify(tmp_path / "a.dps")) == 3


def test_nothing_that_a_file_names_is_imported(tmp_path):
    """A fresh process that loads a file naming an importable module does not import it."""
    label, tensors = parts()
    label["structure"]["name"] = "wsgiref.simple_server"
    path = tmp_path / "a.dps"
    path.write_bytes(sealed(label, tensors))
    program = (
        "import sys, dpstruct\n"
        "try:\n    dpstruct.load(sys.argv[1])\n"
        "except dpstruct.FileFormatError as error:\n    print(error)\n"
        "assert 'wsgiref' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "no imported blueprint" in result.stdout
