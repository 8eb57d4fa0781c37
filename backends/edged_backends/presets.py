"""What is known of vendors' TFLite delegates: one table. `[[npu]] preset = "..."` takes a row of it; keys of
the configuration go over the row's.

A row names the library, options that the delegate cannot do without, what it takes (tried node by node
besides), the device nodes and the group that may open them, the custom ops of files compiled for it, and
where that is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Preset:
    """One vendor's delegate. Empty `dtypes`, `ops`: whatever a trial shows that it takes."""

    about: str
    libraries: tuple[str, ...]
    source: str
    options: dict[str, str] = field(default_factory=dict)
    dtypes: frozenset[str] = frozenset()
    ops: frozenset[str] | None = None
    claims: frozenset[str] = frozenset()
    nodes: tuple[str, ...] = ()
    usb: tuple[str, ...] = ()
    group: str = ""
    udev: str = ""
    install: str = ""
    macs_per_us: float = 20_000.0


_EIGHT_BIT = frozenset({"int8", "uint8"})
_QUANTISED = _EIGHT_BIT | {"int16"}

PRESETS: dict[str, Preset] = {
    "edgetpu": Preset(
        about="Coral Edge TPU, USB or PCIe",
        libraries=("libedgetpu.so.1",),
        source="https://coral.ai/docs/edgetpu/tflite-python/",
        ops=frozenset(),  # only what edgetpu_compiler has compiled
        claims=frozenset({"edgetpu-custom-op"}),
        nodes=("/dev/apex_*",),
        usb=("1a6e:089a", "18d1:9302"),
        group="plugdev",
        udev='SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e|18d1", GROUP="plugdev", MODE="0660"; '
        'SUBSYSTEM=="apex", GROUP="plugdev", MODE="0660"',
        install="install libedgetpu1-std",
        macs_per_us=2_000_000.0,
    ),
    "vx": Preset(
        about="VeriSilicon NPUs: NXP i.MX 8M Plus, Amlogic A311D, S905D3",
        libraries=("libvx_delegate.so",),
        source="https://github.com/VeriSilicon/tflite-vx-delegate",
        dtypes=_QUANTISED | {"float32"},
        nodes=("/dev/galcore",),
        group="video",
        udev='KERNEL=="galcore", GROUP="video", MODE="0660"',
        install="install the board's tim-vx and vx-delegate packages",
        macs_per_us=1_000_000.0,
    ),
    "ethosu": Preset(
        about="Arm Ethos-U behind a Cortex-M: NXP i.MX 93; files compiled by Vela",
        libraries=("libethosu_delegate.so",),
        source="https://github.com/nxp-imx/tflite-ethosu-delegate-imx",
        dtypes=_QUANTISED,
        claims=frozenset({"ethos-u"}),
        nodes=("/dev/ethosu0",),
        group="video",
        udev='KERNEL=="ethosu*", GROUP="video", MODE="0660"',
        install="install the board's ethos-u-driver-stack and tflite-ethosu-delegate packages",
        macs_per_us=250_000.0,
    ),
    "armnn": Preset(
        about="Arm NN: Mali GPUs and NEON",
        libraries=("libarmnnDelegate.so", "libarmnnDelegate.so.29"),
        source="https://arm-software.github.io/armnn/21.05/namespacetflite.xhtml",
        options={"backends": "GpuAcc,CpuAcc", "logging-severity": "warning"},
        nodes=("/dev/mali0",),
        group="video",
        udev='KERNEL=="mali0", GROUP="video", MODE="0660"',
        install="unpack an Arm NN release and put its folder into ld.so.conf.d",
    ),
    "qnn": Preset(
        about="Qualcomm AI Engine Direct: Hexagon HTP and Adreno",
        libraries=("libQnnTFLiteDelegate.so",),
        source="https://docs.qualcomm.com/bundle/publicresource/topics/80-70014-54/"
        "external-delegate-options-for-qnn-delegate.md",
        options={"backend_type": "htp"},
        nodes=("/dev/fastrpc-cdsp*", "/dev/adsprpc-smd*"),
        group="fastrpc",
        udev='KERNEL=="fastrpc-*", GROUP="fastrpc", MODE="0660"',
        install="install qnn or the Qualcomm AI Runtime SDK for the board",
        macs_per_us=1_000_000.0,
    ),
    "teflon": Preset(
        about="Mesa's open drivers: VeriSilicon (etnaviv), Rockchip (rocket)",
        libraries=("libteflon.so",),
        source="https://docs.mesa3d.org/teflon.html",
        dtypes=_EIGHT_BIT,
        nodes=("/dev/accel/accel*", "/dev/dri/renderD*"),
        group="render",
        udev='SUBSYSTEM=="accel", GROUP="render", MODE="0660"',
        install="install mesa-teflon-delegate",
        macs_per_us=500_000.0,
    ),
    "neuron": Preset(
        about="MediaTek APU (Genio); the library's name differs between releases: set `library`",
        libraries=(),
        source="https://mediatek.gitlab.io/genio/doc/iot-aihub/master/ai_hub/supported_os/yocto/litert.html",
        nodes=("/dev/apusys", "/dev/mdw*"),
        group="video",
        udev='KERNEL=="apusys", GROUP="video", MODE="0660"',
        install='name the delegate of the board\'s NeuroPilot release: library = "/usr/lib/..."',
        macs_per_us=1_000_000.0,
    ),
}
"""Rows by the name that the configuration uses."""

BARE = Preset(about="a delegate named by its library", libraries=(), source="")
"""What an [[npu]] without a preset starts from."""
