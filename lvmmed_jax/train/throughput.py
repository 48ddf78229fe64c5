"""How fast a run goes, what it waits for, and how much memory it takes."""

import contextlib
import resource
import sys
import time
from collections.abc import Iterator

import jax

# dense bfloat16 TFLOP/s a device, as its maker states them; the first name that fits
_PEAKS = {
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "H200": 989,
    "A100": 312,
    "TPU v4": 275,
    "TPU v5 lite": 197,
    "TPU v5e": 197,
    "TPU v5": 459,
    "TPU v6": 918,
}


class Meter:
    """Sums up steps between two readings of `rates`."""

    def __init__(self, flops: float):
        """Begins to count.

        Args:
          flops: floating-point operations of a step, on all devices together.
        """
        self._flops = flops
        self._begin()

    def _begin(self) -> None:
        self._steps = self._images = 0
        self._waited = 0.0
        self._since = time.monotonic()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done inside is waiting for data."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """What is done inside counts in no rate."""
        began = time.monotonic()
        yield
        self._since += time.monotonic() - began

    def step(self, num_images: int) -> None:
        """Counts a step."""
        self._steps += 1
        self._images += num_images

    def rates(self) -> dict[str, float]:
        """Since the last reading; begins anew.

        Returns:
          `images_per_second`; `data_wait_share`, of the time; `teraflops_per_second`,
          all devices together; `flops_utilisation`, its share of the devices' peak
          (bfloat16, dense), where that is known; `host_memory_gb`, the most that this
          process has had; `device_memory_gb`, the most on one device, where it is told.
        """
        elapsed = max(time.monotonic() - self._since, 1e-9)
        teraflops = self._flops * self._steps / elapsed / 1e12
        values = {
            "images_per_second": round(self._images / elapsed, 2),
            "data_wait_share": round(self._waited / elapsed, 4),
            "teraflops_per_second": float(f"{teraflops:.4g}"),
            "host_memory_gb": round(_host_peak() / 1e9, 3),
        }
        if peak := peak_teraflops(jax.devices()[0].device_kind):
            utilisation = teraflops / (peak * jax.device_count())
            values["flops_utilisation"] = round(utilisation, 4)
        stats = [device.memory_stats() or {} for device in jax.local_devices()]
        name = "peak_bytes_in_use"
        if peaks := [one[name] for one in stats if name in one]:
            values["device_memory_gb"] = round(max(peaks) / 1e9, 3)
        self._begin()
        return values


def peak_teraflops(device_kind: str) -> float | None:
    """What a device does at most, dense bfloat16 TFLOP/s; None where not known."""
    for name, peak in _PEAKS.items():
        if name.lower() in device_kind.lower():
            return peak
    return None


def _host_peak() -> int:
    """The largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
