"""Tables of the TFLite schema (version 3): element types, enums, and the option fields of every operator.

Only facts of LiteRT's schema.fbs stand here; reader and writer walk them. The texts are parsed on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from edged.graph.model import DType

VERSION = 3
IDENTIFIER = b"TFL3"

_DTYPES = """
float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource variant
uint32 uint16 int4 bfloat16 int2 uint4
"""

DTYPES: tuple[DType, ...] = tuple(map(DType, _DTYPES.split()))
"""TensorType's codes 0, 1, 2 ...; the float8 ones (21, 22) have no meaning here."""

_ENUMS = """
Padding:byte SAME VALID
ActivationFunctionType:byte NONE RELU RELU_N1_TO_1 RELU6 TANH SIGN_BIT
TensorType:byte FLOAT32 FLOAT16 INT32 UINT8 INT64 STRING BOOL INT16 COMPLEX64 INT8 FLOAT64 COMPLEX128 UINT64
    RESOURCE VARIANT UINT32 UINT16 INT4 BFLOAT16 INT2 UINT4 FLOAT8_E4M3FN FLOAT8_E5M2
LSHProjectionType:byte UNKNOWN SPARSE DENSE
FullyConnectedOptionsWeightsFormat:byte DEFAULT SHUFFLED4x16INT8
LSTMKernelType:byte FULL BASIC
CombinerType:byte SUM MEAN SQRTN
MirrorPadMode:byte REFLECT SYMMETRIC
StablehloPrecisionConfig:uint DEFAULT HIGH HIGHEST
StablehloComparisonDirection:uint STABLEHLO_COMPARISON_DIRECTION_EQ STABLEHLO_COMPARISON_DIRECTION_NE
    STABLEHLO_COMPARISON_DIRECTION_GE STABLEHLO_COMPARISON_DIRECTION_GT STABLEHLO_COMPARISON_DIRECTION_LE
    STABLEHLO_COMPARISON_DIRECTION_LT
StablehloComparisonType:uint STABLEHLO_COMPARISON_TYPE_NOTYPE STABLEHLO_COMPARISON_TYPE_FLOAT
    STABLEHLO_COMPARISON_TYPE_FLOAT_TOTAL_ORDER STABLEHLO_COMPARISON_TYPE_SIGNED
    STABLEHLO_COMPARISON_TYPE_UNSIGNED
RngAlgorithm:byte DEFAULT PHILOX THREEFRY
ReduceWindowFunction:int UNSUPPORTED ADD MUL MINIMUM MAXIMUM ALL ANY
CustomOptionsFormat:byte FLEXBUFFERS
"""

_OPTIONS = """
1 conv_2d: padding:Padding stride_w:int stride_h:int fused_activation_function:ActivationFunctionType
    dilation_w_factor:int=1 dilation_h_factor:int=1 quantized_bias_type:TensorType
2 depthwise_conv_2d: padding:Padding stride_w:int stride_h:int depth_multiplier:int
    fused_activation_function:ActivationFunctionType dilation_w_factor:int=1 dilation_h_factor:int=1
3 concat_embeddings: num_channels:int num_columns_per_channel:[int] embedding_dim_per_channel:[int]
4 lsh_projection: type:LSHProjectionType
5 average_pool_2d l2_pool_2d max_pool_2d: padding:Padding stride_w:int stride_h:int filter_width:int
    filter_height:int fused_activation_function:ActivationFunctionType
6 svdf: rank:int fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
7 rnn: fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
8 fully_connected: fused_activation_function:ActivationFunctionType
    weights_format:FullyConnectedOptionsWeightsFormat keep_num_dims:bool asymmetric_quantize_inputs:bool
    quantized_bias_type:TensorType
9 softmax: beta:float
10 concatenation: axis:int fused_activation_function:ActivationFunctionType
11 add: fused_activation_function:ActivationFunctionType pot_scale_int16:bool=true
12 l2_normalization: fused_activation_function:ActivationFunctionType
13 local_response_normalization: radius:int bias:float alpha:float beta:float
14 lstm: fused_activation_function:ActivationFunctionType cell_clip:float proj_clip:float
    kernel_type:LSTMKernelType asymmetric_quantize_inputs:bool
15 resize_bilinear: - - align_corners:bool half_pixel_centers:bool
16 call: subgraph:uint
17 reshape: new_shape:[int]
18 skip_gram: ngram_size:int max_skip_size:int include_all_ngrams:bool
19 space_to_depth: block_size:int
20 embedding_lookup_sparse: combiner:CombinerType
21 mul: fused_activation_function:ActivationFunctionType
22 pad:
23 gather: axis:int batch_dims:int
24 batch_to_space_nd:
25 space_to_batch_nd:
26 transpose:
27 mean sum reduce_prod reduce_max reduce_min reduce_any reduce_all: keep_dims:bool
28 sub: fused_activation_function:ActivationFunctionType pot_scale_int16:bool=true
29 div: fused_activation_function:ActivationFunctionType
30 squeeze: squeeze_dims:[int]
31 unidirectional_sequence_rnn: time_major:bool fused_activation_function:ActivationFunctionType
    asymmetric_quantize_inputs:bool
32 strided_slice: begin_mask:int end_mask:int ellipsis_mask:int new_axis_mask:int shrink_axis_mask:int
    offset:bool
33 exp:
34 topk_v2:
35 split: num_splits:int
36 log_softmax:
37 cast: in_data_type:TensorType out_data_type:TensorType
38 dequantize:
39 maximum minimum:
40 arg_max: output_type:TensorType
41 less:
42 neg:
43 padv2:
44 greater:
45 greater_equal:
46 less_equal:
47 select:
48 slice:
49 transpose_conv: padding:Padding stride_w:int stride_h:int
    fused_activation_function:ActivationFunctionType quantized_bias_type:TensorType
50 sparse_to_dense: validate_indices:bool
51 tile:
52 expand_dims:
53 equal:
54 not_equal:
55 shape: out_type:TensorType
56 pow:
57 arg_min: output_type:TensorType
58 fake_quant: min:float max:float num_bits:int narrow_range:bool
59 pack: values_count:int axis:int
60 logical_or:
61 one_hot: axis:int
62 logical_and:
63 logical_not:
64 unpack: num:int axis:int
65 floor_div:
66 square:
67 zeros_like:
68 fill:
69 bidirectional_sequence_lstm: fused_activation_function:ActivationFunctionType cell_clip:float
    proj_clip:float merge_outputs:bool time_major:bool=true asymmetric_quantize_inputs:bool
70 bidirectional_sequence_rnn: time_major:bool fused_activation_function:ActivationFunctionType
    merge_outputs:bool asymmetric_quantize_inputs:bool
71 unidirectional_sequence_lstm: fused_activation_function:ActivationFunctionType cell_clip:float
    proj_clip:float time_major:bool asymmetric_quantize_inputs:bool diagonal_recurrent_tensors:bool
72 floor_mod:
73 range:
74 resize_nearest_neighbor: align_corners:bool half_pixel_centers:bool
75 leaky_relu: alpha:float
76 squared_difference:
77 mirror_pad: mode:MirrorPadMode
78 abs:
79 split_v: num_splits:int
80 unique: idx_out_type:TensorType=INT32
81 reverse_v2:
82 add_n:
83 gather_nd:
84 cos:
85 where:
86 rank:
87 reverse_sequence: seq_dim:int batch_dim:int
88 matrix_diag:
89 quantize:
90 matrix_set_diag:
91 hard_swish:
92 if: then_subgraph_index:int else_subgraph_index:int
93 while: cond_subgraph_index:int body_subgraph_index:int
94 depth_to_space: block_size:int
95 non_max_suppression_v4:
96 non_max_suppression_v5:
97 scatter_nd:
98 select_v2:
99 densify:
100 segment_sum:
101 batch_matmul: adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool
102 cumsum: exclusive:bool reverse:bool
103 call_once: init_subgraph_index:int
104 broadcast_to:
105 rfft2d:
106 conv_3d conv_3d_transpose: padding:Padding stride_d:int stride_w:int stride_h:int
    fused_activation_function:ActivationFunctionType dilation_d_factor:int=1 dilation_w_factor:int=1
    dilation_h_factor:int=1
107 hashtable: table_id:int key_dtype:TensorType value_dtype:TensorType
108 hashtable_find:
109 hashtable_import:
110 hashtable_size:
111 var_handle: container:string shared_name:string
112 read_variable:
113 assign_variable:
114 random_standard_normal random_uniform multinomial: seed:long seed2:long
115 bucketize: boundaries:[float]
116 gelu: approximate:bool
117 dynamic_update_slice:
118 unsorted_segment_prod:
119 unsorted_segment_max:
120 unsorted_segment_min:
121 unsorted_segment_sum:
122 atan2:
123 sign:
124 bitcast:
125 bitwise_xor:
126 right_shift:
"""

_OPTIONS_2 = """
1 stablehlo_concatenate: dimension:long
2 stablehlo_broadcast_in_dim: broadcast_dimensions:[long]
3 stablehlo_slice: start_indices:[long] limit_indices:[long] strides:[long]
4 stablehlo_convolution: window_strides:[long] padding:[long] lhs_dilation:[long] rhs_dilation:[long]
    window_reversal:[bool] input_batch_dimension:long input_feature_dimension:long
    input_spatial_dimensions:[long] kernel_input_feature_dimension:long kernel_output_feature_dimension:long
    kernel_spatial_dimensions:[long] output_batch_dimension:long output_feature_dimension:long
    output_spatial_dimensions:[long] feature_group_count:long batch_group_count:long
    precision_config:[StablehloPrecisionConfig]
5 stablehlo_custom_call: call_target_name:string has_side_effect:bool backend_config:string api_version:int
    called_computations:[int] custom_attributes:[ubyte]
6 stablehlo_reduce: dimensions:[long] body_subgraph_index:int
7 stablehlo_scatter: indices_are_sorted:bool update_window_dims:[long] inserted_window_dims:[long]
    scatter_dims_to_operand_dims:[long] index_vector_dim:long unique_indices:bool
    update_computation_subgraph_index:int
8 stablehlo_compare: comparison_direction:StablehloComparisonDirection compare_type:StablehloComparisonType
9 stablehlo_dynamic_slice: slice_sizes:[long]
10 stablehlo_pad: edge_padding_low:[long] edge_padding_high:[long] interior_padding:[long]
11 stablehlo_iota: iota_dimension:long
12 stablehlo_dot_general: lhs_batching_dimensions:[long] rhs_batching_dimensions:[long]
    lhs_contracting_dimensions:[long] rhs_contracting_dimensions:[long]
    precision_config:[StablehloPrecisionConfig]
13 stablehlo_reduce_window: window_dimensions:[long] window_strides:[long] base_dilations:[long]
    window_dilations:[long] padding:[long] body_subgraph_index:int
14 stablehlo_sort: dimension:long is_stable:bool comparator_subgraph_index:int
15 stablehlo_while: cond_subgraph_index:int body_subgraph_index:int
16 stablehlo_gather: offset_dims:[long] collapsed_slice_dims:[long] start_index_map:[long]
    index_vector_dim:long slice_sizes:[long] indices_are_sorted:bool
17 stablehlo_transpose: permutation:[long]
18 dilate:
19 stablehlo_rng_bit_generator: algorithm:RngAlgorithm
20 reduce_window: reduce_function:ReduceWindowFunction
21 stablehlo_composite: name:string decomposition_subgraph_index:int composite_attributes:[ubyte]
    composite_attributes_format:CustomOptionsFormat version:int
22 stablehlo_shift_left:
23 stablehlo_case: branch_subgraph_indices:[int]
"""

_SCALARS = {"bool": "?", "byte": "b", "ubyte": "B", "int": "i", "uint": "I", "long": "q", "float": "f"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an options table. `code` is its struct letter, "s" for a string; `enum` its names."""

    name: str
    slot: int
    code: str
    vector: bool
    default: Any
    enum: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Options:
    """The options table of an op: its number in the union BuiltinOptions (`union` 1) or BuiltinOptions2."""

    union: int
    number: int
    fields: tuple[Field, ...]
    defaults: dict[str, Any]


@cache
def options() -> dict[str, Options]:
    """Op name -> its options table. An op that is not here has none."""
    enums = dict(_rows(_ENUMS))
    table: dict[str, Options] = {}
    for union, text in ((1, _OPTIONS), (2, _OPTIONS_2)):
        for head, members in _rows(text):
            number, *ops = head.split()
            fields = tuple(_field(slot, text, enums) for slot, text in enumerate(members) if text != "-")
            row = Options(union, int(number), fields, {f.name: f.default for f in fields})
            table.update(dict.fromkeys(ops, row))
    return table


def _rows(text: str) -> list[tuple[str, list[str]]]:
    """Lines `head: member member ...`; an indented line continues the one before."""
    lines = text.replace("\n    ", " ").strip().splitlines()
    return [(head, rest.split()) for head, rest in (line.split(":", 1) for line in lines)]


def _field(slot: int, text: str, enums: dict[str, list[str]]) -> Field:
    name, kind = text.split(":")
    kind, _, default = kind.partition("=")
    vector = kind.startswith("[")
    kind = kind.strip("[]")
    names = tuple(enums[kind][1:]) if kind in enums else None
    code = "s" if kind == "string" else _SCALARS[enums[kind][0] if kind in enums else kind]
    return Field(name, slot, code, vector, _default(code, vector, default, names), names)


def _default(code: str, vector: bool, text: str, names: tuple[str, ...] | None) -> Any:
    if vector:
        return b"" if code == "B" else ()
    if names is not None:
        return text or names[0]
    if code == "?":
        return text == "true"
    return {"s": "", "f": 0.0}[code] if code in "sf" else int(text or 0)
