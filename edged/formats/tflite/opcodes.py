"""Builtin operator codes of the TFLite schema (version 3) and their names here: the schema's, in lower case.

A name's place in the list is its code. Both are those of `enum BuiltinOperator` in LiteRT's schema.fbs.
"""

from __future__ import annotations

from edged.errors import ModelError

CUSTOM = 32
"""The code of an operator that is named by a string instead."""
PLACEHOLDER = 127
"""What the old one-byte field holds when the code does not fit in it."""

_NAMES = """
add average_pool_2d concatenation conv_2d depthwise_conv_2d depth_to_space dequantize embedding_lookup floor
fully_connected hashtable_lookup l2_normalization l2_pool_2d local_response_normalization logistic
lsh_projection lstm max_pool_2d mul relu relu_n1_to_1 relu6 reshape resize_bilinear rnn softmax space_to_depth
svdf tanh concat_embeddings skip_gram call custom embedding_lookup_sparse pad unidirectional_sequence_rnn
gather batch_to_space_nd space_to_batch_nd transpose mean sub div squeeze unidirectional_sequence_lstm
strided_slice bidirectional_sequence_rnn exp topk_v2 split log_softmax delegate bidirectional_sequence_lstm
cast prelu maximum arg_max minimum less neg padv2 greater greater_equal less_equal select slice sin
transpose_conv sparse_to_dense tile expand_dims equal not_equal log sum sqrt rsqrt shape pow arg_min
fake_quant reduce_prod reduce_max pack logical_or one_hot logical_and logical_not unpack reduce_min floor_div
reduce_any square zeros_like fill floor_mod range resize_nearest_neighbor leaky_relu squared_difference
mirror_pad abs split_v unique ceil reverse_v2 add_n gather_nd cos where rank elu reverse_sequence matrix_diag
quantize matrix_set_diag round hard_swish if while non_max_suppression_v4 non_max_suppression_v5 scatter_nd
select_v2 densify segment_sum batch_matmul placeholder_for_greater_op_codes cumsum call_once broadcast_to
rfft2d conv_3d imag real complex_abs hashtable hashtable_find hashtable_import hashtable_size reduce_all
conv_3d_transpose var_handle read_variable assign_variable broadcast_args random_standard_normal bucketize
random_uniform multinomial gelu dynamic_update_slice relu_0_to_1 unsorted_segment_prod unsorted_segment_max
unsorted_segment_sum atan2 unsorted_segment_min sign bitcast bitwise_xor right_shift stablehlo_logistic
stablehlo_add stablehlo_divide stablehlo_multiply stablehlo_maximum stablehlo_reshape stablehlo_clamp
stablehlo_concatenate stablehlo_broadcast_in_dim stablehlo_convolution stablehlo_slice stablehlo_custom_call
stablehlo_reduce stablehlo_abs stablehlo_and stablehlo_cosine stablehlo_exponential stablehlo_floor
stablehlo_log stablehlo_minimum stablehlo_negate stablehlo_or stablehlo_power stablehlo_remainder
stablehlo_rsqrt stablehlo_select stablehlo_subtract stablehlo_tanh stablehlo_scatter stablehlo_compare
stablehlo_convert stablehlo_dynamic_slice stablehlo_dynamic_update_slice stablehlo_pad stablehlo_iota
stablehlo_dot_general stablehlo_reduce_window stablehlo_sort stablehlo_while stablehlo_gather
stablehlo_transpose dilate stablehlo_rng_bit_generator reduce_window stablehlo_composite stablehlo_shift_left
stablehlo_cbrt stablehlo_case
"""

NAMES: tuple[str, ...] = tuple(_NAMES.split())
CODES: dict[str, int] = {name: code for code, name in enumerate(NAMES)}
_UNKNOWN = "unknown_"


def name(code: int) -> str:
    """The op name of a builtin code; `unknown_<code>` for one that is newer than this table."""
    return NAMES[code] if code < len(NAMES) else f"{_UNKNOWN}{code}"


def code(op: str) -> int:
    """The builtin code of an op name (the reverse of `name`). ModelError for one that no .tflite can hold."""
    found = CODES.get(op)
    if found is None and op.startswith(_UNKNOWN) and op[len(_UNKNOWN) :].isdecimal():
        found = int(op[len(_UNKNOWN) :])
    if found is None:
        raise ModelError(f"op {op!r} has no code in the .tflite schema")
    return found
