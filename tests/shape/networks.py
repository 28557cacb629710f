"""Networks whose generated code is examined: one layer each, and whole models.

A layer is graph IR text with its weights written out, made from a row of LAYERS. A model is a file
of the project, or of the shared folder (EFFNETC_MODELS, or ../shared/models beside the source
tree). How fast code is depends on sizes alone, so weights are any numbers that aren't equal.
"""

import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("EFFNETC_MODELS", SOURCE.parent / "shared" / "models"))


STEP = "layer"  # the generated function of a layer's node; those of its inputs and outputs are apart


class Missing(Exception):
    """A tool or a file that isn't here; the message says what to do."""


def constant(name, dims):
    count = 1
    for dim in dims:
        count *= dim
    values = ", ".join(f"{(i * 7919 % 1009 - 504) / 4096:.6f}" for i in range(count))
    return f"  const @{name} : f32[{','.join(map(str, dims))}] = [{values}]\n"


def graph(x, y, constants, node, layout=""):
    """The text of a graph of one node; x and y are dims, constants pairs of name and dims."""
    def type_of(dims):
        return f"f32[{','.join(map(str, dims))}]"

    inputs = f"%x: {type_of(x)}" + (f", %r: {type_of(y)}" if "%r" in node else "")
    return (f"graph @g({inputs}) -> {type_of(y)}{layout} {{\n"
            + "".join(constant(*c) for c in constants)
            + f'  %y = {node} : {type_of(y)}{layout}  # "{STEP}"\n  return %y "y"\n}}\n')


def conv(c, h, m, kernel=1, stride=1, act="none", gate=False, residual=False, depthwise=False):
    """A convolution of [1,c,h,h], padded so that stride 1 keeps the size."""
    out, pad = (h + stride - 1) // stride, kernel // 2
    operands = "%x, @w, @b" + (", scale=@s" if gate else "") + (", residual=%r" if residual else "")
    attributes = [f"kernel={kernel}x{kernel}", f"stride={stride}x{stride}",
                  f"pad={pad}x{pad}x{pad}x{pad}", f"act={act}"]
    if act == "none":
        attributes.pop()
    constants = [("w", (m, 1 if depthwise else c, kernel, kernel)), ("b", (m,))]
    if gate:
        constants.append(("s", (1, c, 1, 1)))
    op = "dwconv2d" if depthwise else "conv2d"
    return graph((1, c, h, h), (1, m, out, out), constants,
                 f"{op} {operands} {{{', '.join(attributes)}}}")


def expand_depthwise(c, h, m, kernel, stride=1, act="silu"):
    """A 1x1 convolution and the depthwise one behind it, which are fused where that is faster."""
    out, pad = (h + stride - 1) // stride, kernel // 2
    inner = f"conv2d %x, @e, @f {{act={act}}} : f32[1,{m},{h},{h}]  # \"{STEP}\"\n"
    outer = (f"dwconv2d %m, @w, @b {{kernel={kernel}x{kernel}, stride={stride}x{stride}, "
             f"pad={pad}x{pad}x{pad}x{pad}, act={act}}}")
    text = graph((1, c, h, h), (1, m, out, out),
                 [("e", (m, c, 1, 1)), ("f", (m,)), ("w", (m, 1, kernel, kernel)), ("b", (m,))], outer)
    return text.replace("  %y =", f"  %m = {inner}  %y =", 1)


def depthwise(c, h, kernel, stride=1, act="none"):
    return conv(c, h, c, kernel, stride, act, depthwise=True)


def dense(k, m, act="none", batch=1):
    attributes = "" if act == "none" else f" {{act={act}}}"
    return graph((batch, k), (batch, m), [("w", (m, k)), ("b", (m,))],
                 f"dense %x, @w, @b{attributes}")


def se(c, squeezed, h):
    return graph((1, c, h, h), (1, c, 1, 1),
                 [("rw", (squeezed, c, 1, 1)), ("rb", (squeezed,)),
                  ("xw", (c, squeezed, 1, 1)), ("xb", (c,))], "se %x, @rw, @rb, @xw, @xb")


def pool(c, h):
    return graph((1, c, h, h), (1, c, 1, 1), [], "global_avg_pool %x")


def transpose(c, h):
    return graph((1, h, h, c), (1, c, h, h), [], "transpose %x {perm=[0, 3, 1, 2]}")


def reorder(c, h):
    """From the caller's layout into blocks of channels, as wide as a vector of AVX2."""
    return graph((1, c, h, h), (1, c, h, h), [], "reorder %x", "{nchw8c}")


def act(op, c, h):
    return graph((1, c, h, h), (1, c, h, h), [], f"{op} %x")


# By group, then name: pixels, channels and what is fused are those of the family's members, with
# fewer pixels where that only adds rows. Between 1 and 60 million instructions each.
LAYERS = {
    "pointwise": {
        "pw_28x28_32_16": lambda: conv(32, 28, 16),
        "pw_28x28_16_96_silu": lambda: conv(16, 28, 96, act="silu"),
        "pw_28x28_96_24": lambda: conv(96, 28, 24),
        "pw_28x28_144_24_res": lambda: conv(144, 28, 24, residual=True),
        "pw_28x28_24_144_relu6": lambda: conv(24, 28, 144, act="relu6"),
        "pw_28x28_144_40_gate": lambda: conv(144, 28, 40, gate=True),
        "pw_28x28_40_240_hard_swish": lambda: conv(40, 28, 240, act="hard_swish"),
        "pw_14x14_240_80": lambda: conv(240, 14, 80),
        "pw_14x14_80_480_silu": lambda: conv(80, 14, 480, act="silu"),
        "pw_14x14_480_112_gate_res": lambda: conv(480, 14, 112, gate=True, residual=True),
        "pw_7x7_672_192_gate": lambda: conv(672, 7, 192, gate=True),
        "pw_7x7_192_1152_silu": lambda: conv(192, 7, 1152, act="silu"),
        "pw_7x7_1152_320": lambda: conv(1152, 7, 320),
        "pw_19x19_56_336_silu": lambda: conv(56, 19, 336, act="silu"),
        "pw_8x8_17_33": lambda: conv(17, 8, 33),
    },
    "depthwise": {
        "dw3_28x28_96_silu": lambda: depthwise(96, 28, 3, act="silu"),
        "dw3s2_56x56_96_silu": lambda: depthwise(96, 56, 3, 2, act="silu"),
        "dw3_14x14_240_relu6": lambda: depthwise(240, 14, 3, act="relu6"),
        "dw5_28x28_240_silu": lambda: depthwise(240, 28, 5, act="silu"),
        "dw5s2_28x28_144_silu": lambda: depthwise(144, 28, 5, 2, act="silu"),
        "dw5_14x14_480_hard_swish": lambda: depthwise(480, 14, 5, act="hard_swish"),
        "dw5s2_14x14_672_silu": lambda: depthwise(672, 14, 5, 2, act="silu"),
        "dw3_7x7_1152_silu": lambda: depthwise(1152, 7, 3, act="silu"),
        "dw5_7x7_1152_silu": lambda: depthwise(1152, 7, 5, act="silu"),
        "dw5_19x19_336_silu": lambda: depthwise(336, 19, 5, act="silu"),
        "dw7_14x14_96": lambda: depthwise(96, 14, 7),
    },
    "fused": {
        "expand_dw3s2_112x112_16_96_silu": lambda: expand_depthwise(16, 112, 96, 3, 2),
        "expand_dw3_56x56_24_144_silu": lambda: expand_depthwise(24, 56, 144, 3),
        "expand_dw5s2_56x56_24_144_silu": lambda: expand_depthwise(24, 56, 144, 5, 2),
    },
    "conv": {
        "stem_112x112_32_silu": lambda: conv(3, 112, 32, 3, 2, act="silu"),
        "stem_112x112_24_relu6": lambda: conv(3, 112, 24, 3, 2, act="relu6"),
        "conv3_28x28_24_24_silu_res": lambda: conv(24, 28, 24, 3, act="silu", residual=True),
        "conv3_28x28_48_192_silu": lambda: conv(48, 28, 192, 3, act="silu"),
        "conv3s2_28x28_48_192_silu": lambda: conv(48, 28, 192, 3, 2, act="silu"),
        "conv3_14x14_64_256_relu": lambda: conv(64, 14, 256, 3, act="relu"),
        "conv5_14x14_32_32": lambda: conv(32, 14, 32, 5),
    },
    "other": {
        "dense_1280_1000": lambda: dense(1280, 1000),
        "dense_1280_10": lambda: dense(1280, 10),
        "dense_8x1280_100": lambda: dense(1280, 100, batch=8),
        "se_28x28_144_6": lambda: se(144, 6, 28),
        "se_7x7_1152_48": lambda: se(1152, 48, 7),
        "pool_7x7_1280": lambda: pool(1280, 7),
        "nhwc_to_nchw_56x56_3": lambda: transpose(3, 56),
        "reorder_28x28_40": lambda: reorder(40, 28),
        "silu_28x28_40": lambda: act("silu", 40, 28),
        "hard_swish_28x28_40": lambda: act("hard_swish", 40, 28),
        "relu6_28x28_40": lambda: act("relu6", 40, 28),
    },
}

# The project's own, names of skeletons of the shared folder, and members as `effnetc new` makes them:
# small ones for what counts instructions, since that takes fifty times as long as running.
OWN_MODELS = {"lite0": SOURCE / "examples/models/efficientnet_lite0.onnx"}
SHARED_MODELS = ("tv_b0", "timm_es")
NEW_MODELS = {"edgetpu_s_96": ("edgetpu-s", "--resolution=96")}


def write_layer(group, name, folder):
    path = folder / f"{name}.ir"
    path.write_text(LAYERS[group][name](), encoding="utf-8")
    return path


def new_model(name, effnetc, folder):
    """The file of a member, in a folder."""
    path = folder / f"{name}.onnx"
    subprocess.run([effnetc, "new", *NEW_MODELS[name], "-o", path], check=True, stdout=subprocess.DEVNULL)
    return path


def model_file(name, fill_model, folder):
    """The file of a model; that of a skeleton is filled, into a folder."""
    if name in OWN_MODELS:
        return OWN_MODELS[name]
    skeleton = SHARED / "skeletons" / f"{name}.onnx"
    if not skeleton.exists():
        raise Missing(f"{skeleton} is missing: set EFFNETC_MODELS to the folder of test models")
    if not fill_model:
        raise Missing("a skeleton needs --fill-model, the built tests/fill_model")
    path = folder / f"{name}.onnx"
    subprocess.run([fill_model, skeleton, path], check=True)
    return path
