"""Pairs: a depthwise step and the 1x1 convolution that reads it, run as one step by blocks of rows, so that
the tensor between them is never whole in memory.

Which neighbours can be a pair, how their rows are cut, and whether it pays. ext/pair.h runs them; the
kernels know nothing of it, since both count their units in output rows (pixels, which are rows of the
block)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

from edged_backends.choices import Choice, Option, choose
from edged_backends.lower import conv_shape as cs
from edged_backends.lower.conv_shape import ConvShape
from edged_backends.operands import Ref, Space, Value
from edged_backends.program import KernelStep, PythonStep

FIRST = {"dw_s8": 1, "dw_f32": 4}
"""Ops whose unit is one output row of batch x out_h, with the bytes of their elements."""
SECOND = {"dw_s8": "conv_s8", "dw_f32": "conv_f32"}
"""The convolution that may follow, whose units are bands of pixels."""
PAIR, APART = "pair", "apart"
BLOCK_BYTES = 128 * 1024
"""What a block of rows takes at most, beside a quarter of L2: weights and inputs want to stay there, too."""
NEAR_BYTES_PER_NS, FAR_BYTES_PER_NS, BLOCK_NS = 60.0, 12.0, 150.0
"""Handing bytes over within L2, or through what lies behind it; beginning anew for a block of rows."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Steps `index` and `index + 1` of a program, cut into blocks: the two kernels' units of a block."""

    index: int
    first: KernelStep
    second: KernelStep

    @property
    def between(self) -> Value:
        ref = self.first.operands[0]
        assert ref is not None, "a depthwise step has an output"
        return ref.value

    @property
    def blocks(self) -> int:
        return -(-self.first.units // self.first.block)

    @property
    def block_bytes(self) -> int:
        return self.between.nbytes // self.first.units * self.first.block

    def key(self, threads: int) -> str:
        """All that its time depends on, but the machine."""
        p, q = self.first.params, self.second.params
        names = ("in_h", "in_w", "channels", "multiplier", "kernel_h", "kernel_w", "stride_h", "stride_w")
        geometry = " ".join(f"{name} {p[name]}" for name in (*names, "dilation_h", "dilation_w", "pad_top"))
        ops = f"{self.first.kernel.op}+{self.second.kernel.op}"
        return f"{ops} {geometry} rows {self.first.units} to {q['out_c']} threads {threads}"

    def joined(self, why: str) -> KernelStep:
        return replace(self.first, follower=self.second, why=why)


@dataclass(frozen=True, slots=True)
class Limits:
    """What decides on pairs: threads, bytes of a core's L2, measured and forced choices by key."""

    threads: int
    l2_bytes: int
    tuned: Mapping[str, Mapping[str, float]]
    forced: Mapping[str, str]


Steps = Sequence[KernelStep | PythonStep]


def find(steps: Steps, limits: Limits) -> list[Pair]:
    """All neighbours that can be a pair."""
    uses = Counter(value for step in steps for value in _values(step))
    found: list[Pair] = []
    for index, (first, second) in enumerate(pairwise(steps)):
        if isinstance(first, KernelStep) and isinstance(second, KernelStep) and _linked(first, second, uses):
            pair = _cut(index, first, second, limits)
            if pair is not None:
                found.append(pair)
    return found


def decide(pair: Pair, limits: Limits) -> Choice:
    """Whether it pays to run the two as one, for this layer alone."""
    nbytes = pair.between.nbytes
    far = nbytes > limits.l2_bytes // 2
    apart = 2 * nbytes / (FAR_BYTES_PER_NS if far else NEAR_BYTES_PER_NS)
    options = [
        Option(APART, apart, nbytes),
        Option(PAIR, 2 * nbytes / NEAR_BYTES_PER_NS + pair.blocks * BLOCK_NS, pair.block_bytes),
    ]
    key = pair.key(limits.threads)
    made = choose(
        pair.first.where, key, options, 0, limits.tuned.get(key, {}), limits.forced.get(key)
    )  # the arena's limit is looked after by whoever places all values
    size = f"{nbytes >> 10} KiB between {'leave' if far else 'stay in'} L2"
    return replace(made, why=f"{made.why} to hand over; {size}", also=pair.second.where)


def swapped(choice: Choice, arena_bytes: int, limit: int) -> Choice:
    """The other way, because of the arena's limit."""
    chosen = APART if choice.chosen == PAIR else PAIR
    why = f"{chosen}: the arena would take {arena_bytes} bytes, the limit is {limit}"
    return replace(choice, chosen=chosen, why=why)


def join(steps: Steps, pairs: Sequence[Pair], choices: Mapping[int, Choice]) -> list[KernelStep | PythonStep]:
    """The steps with every pair that was chosen as one, and with the reason at every pair.

    The tensor between a pair's kernels loses its place in the arena, or gets it back."""
    made = list(steps)
    for pair in reversed(pairs):
        choice, first = choices[pair.index], made[pair.index]
        assert isinstance(first, KernelStep), "found among kernel steps"
        own = "; ".join(filter(None, (pair.first.why, choice.why)))
        pair.between.space = Space.BLOCK if choice.chosen == PAIR else Space.ARENA
        if choice.chosen == PAIR:
            made[pair.index : pair.index + 2] = [pair.joined(f"{own}; {pair.first.block} rows at a time")]
        else:
            made[pair.index] = replace(first, why=own)
    return made


def _values(step: KernelStep | PythonStep) -> list[Value]:
    refs = step.operands if isinstance(step, KernelStep) else step.refs.values()
    parts = [ref for ref in refs if ref is not None]
    return [ref.value for ref in parts] + [ref.value.parent.value for ref in parts if ref.value.parent]


def _linked(first: KernelStep, second: KernelStep, uses: Mapping[Value, int]) -> bool:
    """One tensor goes from the first to the second, whole, and to nobody else; and no memory is both read by
    the first and written by the second."""
    if SECOND.get(first.kernel.op) != second.kernel.op:
        return False
    made, given = first.operands[0], second.operands[1]
    if made is None or given is None:
        return False
    own = made.value.space is Space.ARENA and made.value.parent is None and uses[made.value] == 2
    whole = made == given and made.offset == 0 and made.nbytes == made.value.nbytes
    return own and whole and not any(_keeps(ref) for ref in (first.operands[1], second.operands[0]))


def _keeps(ref: Ref | None) -> bool:
    return ref is not None and ref.value.space is Space.VARIABLE


def _cut(index: int, first: KernelStep, second: KernelStep, limits: Limits) -> Pair | None:
    """The pair with its blocks: some rows of the first are so many bands of the second, all channels each."""
    a, b = first.params, second.params
    ones = ("in_w", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w")
    channels, element = int(a["channels"] * a["multiplier"]), FIRST[first.kernel.op]
    flat = all(b[name] == 1 for name in ones) and b["pad_top"] == b["pad_left"] == b["in_first"] == 0
    width, rows = int(a["out_w"]), first.units
    if not flat or b["in_pitch"] != channels or b["in_c"] != channels or b["out_h"] != rows * width:
        return None
    row_bytes = element * width * channels
    share = -(-rows // (4 * limits.threads)) if limits.threads > 1 else rows
    band = max(1, min(cs.L1_BAND // row_bytes, share), min(rows, -(-4 * second.kernel.mr // width)))
    band -= band % 2 if band > 1 else 0  # depthwise kernels compute two or four rows in a pass
    most = max(1, min(BLOCK_BYTES, limits.l2_bytes // 4) // row_bytes)
    bands = max(1, min(most, share) // band)
    return Pair(index, replace(first, block=band * bands), _recut(second, band * width, bands))


def _recut(second: KernelStep, pixels: int, bands: int) -> KernelStep:
    """The convolution in bands of so many pixels, with the scratch that it then needs."""
    names = [field.name for field in fields(ConvShape) if field.name != "batch"]
    known = {name: int(second.params[name]) for name in names}
    shape = replace(ConvShape(batch=1, **known), band=pixels, columns=known["out_c"])
    scratch = cs.scratch_s8 if second.kernel.op == "conv_s8" else cs.scratch_f32
    params = {**second.params, "band": shape.band, "columns": shape.columns}
    room = scratch(shape, second.kernel)
    return replace(second, params=params, units=shape.units, scratch=room, block=bands)
