import time
import types

import jax
import pytest

from lvmmed_jax.train import throughput


def test_rates_are_of_the_time_since_the_last_reading():
    meter = throughput.Meter(flops=3e9)
    for number in range(2):
        with meter.waiting():
            time.sleep(0.1)
        time.sleep(0.1)
        with meter.pause():
            time.sleep(0.5)
        meter.step(20)
        found = meter.rates()
        assert 20 < found["images_per_second"] <= 100, number
        assert 0.2 < found["data_wait_share"] < 0.8
        assert found["teraflops_per_second"] == pytest.approx(
            found["images_per_second"] / 20 * 3e9 / 1e12, rel=1e-3
        )
        assert found["host_memory_gb"] > 0.05
        assert "flops_utilisation" not in found  # a CPU's peak is not known


def test_share_of_the_peak_and_memory_of_an_accelerator(monkeypatch):
    device = types.SimpleNamespace(
        device_kind="NVIDIA H100 80GB HBM3",
        memory_stats=lambda: {"peak_bytes_in_use": 5_000_000_000},
    )
    monkeypatch.setattr(jax, "devices", lambda: [device] * 2)
    monkeypatch.setattr(jax, "local_devices", lambda: [device] * 2)
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    meter = throughput.Meter(flops=989e12 * 0.1)
    meter.step(1)
    time.sleep(0.1)
    found = meter.rates()
    assert 0.3 < found["flops_utilisation"] <= 0.5  # a tenth of a second's work of two
    assert found["device_memory_gb"] == 5.0


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v4", 275),
        ("cpu", None),
    ],
)
def test_peaks(kind, peak):
    assert throughput.peak_teraflops(kind) == peak
