"""What a step of GPT-2 124M must take at least, by the data sheet:
`python katas/33_gpt_capstone/roofline.py`.

Matrix products run at the peak in bfloat16; what stands between them reads and writes
memory at its full bandwidth; neither waits for the other, nor hides it. Real kernels
reach less of both: this is a bound, not a forecast.
"""

from dataclasses import dataclass

from grader import devices

LAYERS, C, T, V = 12, 768, 1024, 50_304  # GPT-2 124M
TOKENS = 2**19  # per step
# parameters that take part in products, biases and norms
N = V * C + LAYERS * (12 * C * C + 13 * C) + 2 * C
BANDWIDTH = {"H100": 3.35e12, "H200": 4.8e12}  # bytes per second of its memory
LINK = 450e9  # bytes per second that a GPU sends over NVLink
# that pass between the products of a layer: 16 C forward, twice as many backward
NUMBERS = 48 * C
FLOPS = 6 * N + 12 * LAYERS * C * T  # per token, as kata 30 counts them and MFU does
DONE = FLOPS - 6 * LAYERS * C * T  # without the scores that causal attention leaves out
BYTES = 2 * (NUMBERS * LAYERS + 3 * V)  # per token: activations, and the logits thrice


@dataclass(frozen=True)
class Bound:
    """Seconds of a step: products, memory, AdamW, and gradients on their way."""

    products: float
    memory: float
    update: float
    exchange: float
    counted: float  # the products as MFU counts them

    @property
    def seconds(self) -> float:
        return self.products + self.memory + self.update + self.exchange

    @property
    def mfu(self) -> float:
        return self.counted / self.seconds


def bound(gpu: str, count: int) -> Bound:
    tokens, peak = TOKENS / count, devices.PEAKS[gpu]
    # reads a weight, a gradient and two moments, writes all but the gradient
    update = 28 * N / BANDWIDTH[gpu]
    # of bfloat16 gradients, around a ring
    exchange = 2 * (count - 1) / count * 2 * N / LINK
    return Bound(
        DONE * tokens / peak,
        BYTES * tokens / BANDWIDTH[gpu],
        update,
        exchange,
        FLOPS * tokens / peak,
    )


def table() -> str:
    lines = [
        (
            "| | products, ms | memory, ms | AdamW, ms | exchange, ms | step, ms | "
            "tokens per second | MFU |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for gpu in BANDWIDTH:
        for count in (1, 8):
            one = bound(gpu, count)
            parts = (one.products, one.memory, one.update, one.exchange, one.seconds)
            cells = " | ".join(f"{1000 * part:.1f}" for part in parts)
            speed = TOKENS / one.seconds / 1e6
            lines.append(
                f"| {count} × {gpu}, at best | {cells} | {speed:.2f} million | "
                f"{one.mfu:.0%} |"
            )
    speed = 10e9 / (45 * 60)
    step, mfu = 1000 * TOKENS / speed, speed * FLOPS / (8 * devices.PEAKS["H100"])
    lines.append(
        f"| 8 × H100, llm.c as published | | | | | {step:.1f} | {speed / 1e6:.2f} "
        f"million | {mfu:.0%} |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(
        f"{FLOPS / 1e6:.0f} million operations and {BYTES / 1e6:.2f} MB per token\n"
        f"{table()}"
    )
