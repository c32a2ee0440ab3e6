"""What a reconstructor costs between the last line of a frame and its image: `pytest --benchmark-only`."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from harness.measure.exact_statistics import samples_needed, summarise
from harness.realtime.sliding import slide
from harness.testing.benchmark_table import enter
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Header, Readout, Stream
from recon.cascade.checkpoint import Checkpoint, load
from recon.cascade.data_consistency import enforce_image
from recon.cascade.engines import CALIBRATION, accelerated, can_quantise
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import Cascade, CascadeConfig, named_config
from recon.cascade.reconstructor import OnlineCascade
from recon.classical.zero_filled import ViewSharing
from recon.fourier import to_kspace

pytestmark = pytest.mark.benchmark(group="reconstructors")

HEADER = Header((128, 128), (0.4, 0.4), 2_200_000, 1_100_000, 0.35, 3.0, 1, 32, 4.0, "bench", "random")
ENOUGH = samples_needed(0.99)


def record(benchmark, what: str, deadline_ns: int, size: str = "128 x 128, 1") -> None:
    """Add p50, p99 (null where the rounds do not carry it) and the share over the deadline."""
    enter(benchmark, "reconstructors", what, size=size, deadline_ns=deadline_ns)
    nanoseconds = (np.array(benchmark.stats.stats.data) * 1e9).astype(np.int64)
    summary = summarise(nanoseconds)
    benchmark.extra_info |= {
        "p50_ms": summary.p50 and summary.p50 / 1e6,
        "p99_ms": summary.p99 and summary.p99 / 1e6,
        "p99_carried": summary.p99 is not None,
        "deadline_ms": deadline_ns / 1e6,
        "share_over_deadline": float(np.mean(nanoseconds > deadline_ns)),
        "torch_threads": torch.get_num_threads(),
    }


def lines(frame: int) -> list[Readout]:
    rng = np.random.default_rng([5, frame])
    rows = rng.permutation(128)[:32] - 64
    first = frame * 32
    inside = rng.normal(size=(32, 1, 128)) + 1j * rng.normal(size=(32, 1, 128))
    inside[..., :32] = inside[..., 96:] = 0  # air, without which all of it would be taken for noise
    samples = to_kspace(inside.astype(np.complex64), (-1,))
    return [
        Readout(first + i, frame, int(k), HEADER.echo_ns(first + i), samples[i]) for i, k in enumerate(rows)
    ]


def push_to_image(benchmark, what: str, reconstructor, rounds: int) -> None:
    """Time the push of a frame's last line, from call to image, with everything before it done."""
    images: list = []
    reconstructor.open(HEADER, images.append)
    count = iter(range(rounds + 100))

    def before():
        *head, last = lines(next(count))
        for readout in head:
            reconstructor.push(readout)
        images.clear()
        return (last,), {}

    benchmark.pedantic(reconstructor.push, setup=before, rounds=rounds, warmup_rounds=8)
    assert len(images) == 1
    assert np.isfinite(images[0].pixels).all()
    record(benchmark, what, HEADER.frame_ns)
    reconstructor.close()  # gives torch back its threads, which those that come after count on


def test_push_to_image_view_sharing(benchmark):
    push_to_image(benchmark, "view sharing", ViewSharing(), ENOUGH)


@pytest.mark.parametrize("weights", ["quasar-4x", "patient1-5x"])
def test_push_to_image_of_lines_that_blocks_must_mend(benchmark, weights):
    """What differs in every pixel and line is no patient's anatomy: no subspace explains it."""
    push_to_image(benchmark, f"cascade {weights}, blocks in every frame", OnlineCascade(weights), ENOUGH)


def test_push_to_image_seed_cascade(benchmark):
    """The seed's 5 x 10 x 64; half a second each on a CPU, so its rounds do not carry a p99."""
    network = OnlineCascade(Checkpoint(seeds_network(), 1.0, {"matrix": [128, 128]}))
    push_to_image(benchmark, "the 2019 network, 5 x 10 x 64, eager", network, 12)


@pytest.fixture(scope="module")
def patient() -> Stream:
    """Return a scan of the patient whose weights are shipped, from another seed: lines that they explain."""
    return scan_of_patient(1)


@pytest.fixture(scope="module")
def patient_in_eight_coils() -> Stream:
    """Return the same in eight coils."""
    return scan_of_patient(8)


def scan_of_patient(coils: int) -> Stream:
    protocol = ScanProtocol(acceleration=5, coils=coils)
    return scan(load_phantom("patient1"), protocol, seed=8, frames=ENOUGH + 40, truth=False)


@pytest.mark.parametrize("what", ["whole", "band", "every line"])
def test_last_line_to_image_of_a_patient(benchmark, patient: Stream, what: str) -> None:
    """From the push of the last line to the first pixels: of the whole image, of 24 columns, at stride 1."""
    candidate = OnlineCascade("patient1-5x", columns=(20, 44) if what == "band" else None)
    shown = {"whole": "", "band": ", 24 columns first", "every line": ", an image for every line"}[what]
    told = f"cascade patient1-5x on its own patient{shown}"
    if what == "every line":
        last_line_to_image(benchmark, told, candidate, slide(patient, 1), 30 * ENOUGH // 20)
    else:
        last_line_to_image(benchmark, told, candidate, patient, len(patient.ky))


def test_last_line_to_image_of_a_patient_in_eight_coils(benchmark, patient_in_eight_coils: Stream) -> None:
    told, stream = "cascade patient1-5x-8coils on its own patient", patient_in_eight_coils
    last_line_to_image(benchmark, told, OnlineCascade("patient1-5x-8coils"), stream, len(stream.ky))


@pytest.mark.parametrize("engine", ["eager", "bfloat16"])
@pytest.mark.parametrize("columns", [None, (52, 76)], ids=["whole", "band"])
def test_last_line_to_image_where_blocks_run_in_every_frame(
    benchmark, patient_in_eight_coils: Stream, engine: str, columns: tuple[int, int] | None
) -> None:
    """The recurrent cascade in eight coils, beside 5 x 10 x 64 of one coil in single precision."""
    published, stream = seeds_network(), patient_in_eight_coils

    def published_s(rounds: int = 6) -> list[float]:
        taken = []
        with torch.inference_mode():
            for number in range(1 + rounds):
                given, begun = noise(number, 128), time.perf_counter()
                published(given)
                taken.append(time.perf_counter() - begun)
        return taken[1:]

    before = published_s()
    candidate = OnlineCascade("v2-5x-8coils-recurrent", engine, columns)
    told = f"recurrent cascade, {engine}{', 24 columns first' if columns else ''}"
    last_line_to_image(benchmark, told, candidate, stream, len(stream.ky), 13 * HEADER.tr_ns)
    ratio = float(np.median(benchmark.stats.stats.data) / np.median(before + published_s()))
    benchmark.extra_info |= {"over_the_2019_network": ratio}


def last_line_to_image(
    benchmark,
    told: str,
    candidate: OnlineCascade,
    stream: Stream,
    lines: int,
    deadline_ns: int = HEADER.tr_ns,
) -> None:
    came: list[int] = []
    candidate.open(stream.header, lambda image: came.append(time.perf_counter_ns()))
    per_frame, taken = stream.header.lines_per_frame, []
    for index in range(lines):
        readout = stream.readout(index)
        came.clear()
        begun = time.perf_counter_ns()
        candidate.push(readout)
        if (index + 1) % per_frame == 0:
            taken.append(came[0] - begun)
    candidate.close()
    spans = iter(np.array(taken[-ENOUGH:]) / 1e9)
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.stats.stats.data[:] = []
    for span in spans:
        benchmark.stats.stats.update(float(span))
    record(benchmark, told, deadline_ns, f"128 x 128, {stream.header.coils}")


def seeds_network() -> Cascade:
    """Build 5 x 10 x 64 with weights that keep the size of what goes through it."""
    torch.manual_seed(0)
    cascade = Cascade(named_config("dietz2019")).eval()
    for block in cascade.blocks:
        for layer in block.convolutions:
            torch.nn.init.kaiming_normal_(layer.weight)
        block.convolutions[-1].weight.data *= 0.1
    return cascade


def noise(seed: int, columns: int) -> CascadeInputs:
    generator = torch.Generator().manual_seed(seed)
    lines = torch.randn(1, 128, columns, dtype=torch.complex64, generator=generator)
    mask = torch.rand(1, 128, generator=generator) < 0.2
    return CascadeInputs(mask, torch.rand(1, 128, generator=generator), lines, lines)


@pytest.mark.skipif(not can_quantise(), reason="torch has no 8-bit convolutions here")
@pytest.mark.parametrize("columns", [128, 48])
def test_the_seeds_network_in_8_bits_beside_eager(benchmark, columns: int) -> None:
    """In turns: 5 x 10 x 64 over all columns, and over a band of 48."""
    eager = seeds_network()
    fast = accelerated(eager, "int8")

    taken: dict[str, list[float]] = {"eager": [], "int8": []}
    apart = []
    with torch.inference_mode():
        for number in range(CALIBRATION + 13):
            shown = {}
            for name, cascade in (("eager", eager), ("int8", fast)):
                given, start = noise(number, columns), time.perf_counter()
                shown[name] = cascade(given)
                taken[name].append(time.perf_counter() - start)
            error = (shown["eager"] - shown["int8"]).abs().square().sum()
            apart.append(float(error / shown["eager"].abs().square().sum()))
        given = noise(0, columns)
        # The band alone for as long as a p99 takes; the whole for twelve images.
        benchmark.pedantic(fast, args=(given,), rounds=ENOUGH if columns < 128 else 12, warmup_rounds=1)
    pairs = np.array([taken["eager"][CALIBRATION + 1 :], taken["int8"][CALIBRATION + 1 :]])
    ratio = float(np.median(pairs[1] / pairs[0]))
    benchmark.extra_info |= {
        "eager_ms": float(np.median(pairs[0])) * 1e3,
        "int8_ms": float(np.median(pairs[1])) * 1e3,
        "int8_max_ms": float(pairs[1].max()) * 1e3,
        "ratio": ratio,
        "nmse": max(apart),
        "torch_threads": torch.get_num_threads(),
    }
    size = f"128 x {columns}, 1"
    record(benchmark, "the 2019 network in 8 bits", 26 * HEADER.tr_ns, size)  # the cadence of 5x
    assert ratio < 0.5
    assert max(apart) < 1e-4


WAYS = [("eager", 128), ("bfloat16", 128), ("int8", 128), ("eager", 32), ("bfloat16", 32), ("int8", 32)]


@pytest.fixture(scope="module")
def taken_by_way() -> dict[tuple[str, int], list[float]]:
    """Take the trained network's time for an image in each engine, whole and as a band, all in turns."""
    trained = load("quasar-4x-dietz").cascade
    ways = {way: accelerated(trained, way[0]) for way in WAYS}
    taken: dict[tuple[str, int], list[float]] = {way: [] for way in WAYS}
    with torch.inference_mode():
        for number in range(CALIBRATION + 1 + ENOUGH):
            for way, cascade in ways.items():
                given, begun = noise(number, way[1]), time.perf_counter()
                cascade(given)
                taken[way].append(time.perf_counter() - begun)
    return {way: seconds[CALIBRATION + 1 :] for way, seconds in taken.items()}


@pytest.mark.slow
@pytest.mark.skipif(not can_quantise(), reason="torch has no 8-bit convolutions here")
@pytest.mark.parametrize(("engine", "columns"), WAYS)
def test_the_2019_network_by_engine(benchmark, taken_by_way, engine: str, columns: int) -> None:
    """5 x 10 x 64 as trained. The floor is the time of as many operations in large matrix products."""
    seconds = taken_by_way[engine, columns]
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.stats.stats.data[:] = []
    for span in seconds:
        benchmark.stats.stats.update(span)
    operations = columns / 128 * operations_of(named_config("dietz2019"))
    floor_s = operations / rate_of(engine)
    benchmark.extra_info |= {
        "floor_ms": floor_s * 1e3,
        "over_floor": float(np.median(seconds)) / floor_s,
        "over_eager": float(np.median(np.array(seconds) / taken_by_way["eager", columns])),
    }
    record(benchmark, f"the 2019 network, {engine}", 26 * HEADER.tr_ns, f"128 x {columns}, 1")


def operations_of(config: CascadeConfig) -> float:
    """Return the operations of a cascade's convolutions on a whole image of 128 x 128, two a product."""
    layers = [layer for block in Cascade(config).blocks for layer in block.convolutions]
    return float(sum(2 * layer.weight.numel() * 128 * 128 for layer in layers))


def rate_of(engine: str, side: int = 1024) -> float:
    """Return the operations a second of a large matrix product in an engine's precision."""
    if engine == "int8":
        matrix = torch.randint(-100, 100, (side, side), dtype=torch.int8)
    else:
        matrix = torch.randn(side, side).to(torch.bfloat16 if engine == "bfloat16" else torch.float32)
    multiply = torch._int_mm if engine == "int8" else torch.mm
    taken = []
    for _ in range(10):
        begun = time.perf_counter()
        multiply(matrix, matrix)
        taken.append(time.perf_counter() - begun)
    return 2 * side**3 / float(np.median(taken[1:]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_seeds_network_on_a_gpu(benchmark) -> None:
    """From host memory to host memory, as one graph, in turns with its kernels asked for one by one."""
    eager = seeds_network().cuda()
    fast = accelerated(seeds_network(), "cuda")
    taken: list[tuple[float, float]] = []
    with torch.inference_mode():
        for number in range(40):
            given, start = noise(number, 128), time.perf_counter()
            expected = eager(given.map(torch.Tensor.cuda)).cpu()
            between = time.perf_counter()
            shown = fast(given)
            taken.append((between - start, time.perf_counter() - between))
            error = float((expected - shown).abs().square().sum() / expected.abs().square().sum())
            assert error < 1e-4
        benchmark.pedantic(fast, args=(noise(0, 128),), rounds=ENOUGH, warmup_rounds=8)
        floor_s = floor_of(seeds_network())
    seconds = np.array(taken[8:])
    benchmark.extra_info |= {
        "device": torch.cuda.get_device_name(),
        "eager_ms": float(np.median(seconds[:, 0])) * 1e3,
        "ratio": float(np.median(seconds[:, 1] / seconds[:, 0])),
        "floor_ms": floor_s * 1e3,
        "over_floor": float(np.median(benchmark.stats.stats.data)) / floor_s,
    }
    record(benchmark, f"the 2019 network on {torch.cuda.get_device_name()}", HEADER.tr_ns)
    assert benchmark.extra_info["ratio"] < 0.2


def floor_of(cascade: Cascade) -> float:
    """Return the seconds that a GPU needs for the convolutions: operations or bytes over its rates."""
    layers = [layer for block in cascade.blocks for layer in block.convolutions]
    operations = operations_of(cascade.config)
    # Two bytes a value, in half precision.
    moved = sum(2 * (layer.in_channels + layer.out_channels) * 128 * 128 for layer in layers)
    square = torch.randn(8192, 8192, dtype=torch.float16, device="cuda")
    row = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    rate = 2 * 8192**3 / on_gpu_s(lambda: square @ square)
    bandwidth = 2 * row.numel() / on_gpu_s(lambda: row.clone())
    return max(operations / rate, moved / bandwidth)


def on_gpu_s(run: Callable[[], object], rounds: int = 20) -> float:
    run()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(rounds):
        run()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / rounds


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_data_consistency_layer(benchmark, weight):
    rng = np.random.default_rng(0)
    image, acquired = (
        torch.from_numpy(
            (rng.normal(size=(128, 128)) + 1j * rng.normal(size=(128, 128))).astype(np.complex64)
        )
        for _ in range(2)
    )
    mask = torch.from_numpy(rng.random(128) < 0.25)
    with torch.inference_mode():
        benchmark.pedantic(
            enforce_image, args=(image, acquired, mask, weight), rounds=ENOUGH, iterations=1, warmup_rounds=20
        )
    record(benchmark, f"data consistency, weight {weight:g}", HEADER.tr_ns)
