/* The part of TFLite's C ABI that an external delegate meets, declared from its documented layout (tensorflow/lite/core/c/common.h, builtin_op_data.h
 * of TFLite 2.13 and later, LiteRT 1 and 2): the wheels ship no headers. `layout.c` tests at run time that it fits the runtime that calls us.
 */
#ifndef NPU_SIM_TFLITE_ABI_H
#define NPU_SIM_TFLITE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { TFL_OK = 0, TFL_ERROR = 1 } tfl_status;
enum { TFL_FLOAT32 = 1, TFL_INT32 = 2, TFL_UINT8 = 3, TFL_INT64 = 4, TFL_BOOL = 6, TFL_INT16 = 7, TFL_INT8 = 9 };
enum { TFL_PADDING_SAME = 1, TFL_PADDING_VALID = 2 };
enum { TFL_ACT_NONE = 0, TFL_ACT_RELU = 1, TFL_ACT_RELU_N1_TO_1 = 2, TFL_ACT_RELU6 = 3 };
enum { TFL_OP_CONV_2D = 3, TFL_OP_DEPTHWISE_CONV_2D = 4, TFL_OP_FULLY_CONNECTED = 9, TFL_OP_RESHAPE = 22, TFL_OP_CUSTOM = 32 };
enum { TFL_AFFINE = 1, TFL_MMAP_RO = 1 };

typedef struct { int size; int data[]; } tfl_ints;
typedef struct { int size; float data[]; } tfl_floats;
typedef struct { tfl_floats *scale; tfl_ints *zero_point; int32_t quantized_dimension; } tfl_affine;
typedef struct tfl_delegate tfl_delegate;
typedef struct tfl_context tfl_context;

typedef struct {
    int type;
    void *data;
    tfl_ints *dims;
    struct { float scale; int32_t zero_point; } params;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    tfl_delegate *delegate;
    int buffer_handle;
    bool data_is_stale;
    bool is_variable;
    struct { int type; void *params; } quantization;
    void *sparsity;
    const tfl_ints *dims_signature;
} tfl_tensor;

typedef struct {
    tfl_ints *inputs, *outputs, *intermediates, *temporaries;
    void *user_data;
    void *builtin_data;
    const void *custom_initial_data;
    int custom_initial_data_size;
    tfl_delegate *delegate;
    bool might_have_side_effect;
} tfl_node;

typedef struct {
    void *(*init)(tfl_context *, const char *, size_t);
    void (*free)(tfl_context *, void *);
    tfl_status (*prepare)(tfl_context *, tfl_node *);
    tfl_status (*invoke)(tfl_context *, tfl_node *);
    const char *(*profiling_string)(const tfl_context *, const tfl_node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *registration_external;
    void *async_kernel;
    uint64_t inplace_operator;
} tfl_registration;

struct tfl_context { /* only the first fields: it is never made or copied here */
    size_t tensors_size;
    tfl_status (*get_execution_plan)(tfl_context *, tfl_ints **);
    tfl_tensor *tensors;
    void *impl;
    tfl_status (*resize_tensor)(tfl_context *, tfl_tensor *, tfl_ints *);
    void (*report_error)(tfl_context *, const char *, ...);
    tfl_status (*add_tensors)(tfl_context *, int, int *);
    tfl_status (*get_node)(tfl_context *, int, tfl_node **, tfl_registration **);
    tfl_status (*replace)(tfl_context *, tfl_registration, const tfl_ints *, tfl_delegate *);
};

struct tfl_delegate {
    void *data;
    tfl_status (*prepare)(tfl_context *, tfl_delegate *);
    void *copy_from_handle, *copy_to_handle, *free_handle;
    int64_t flags;
    void *opaque_builder;
};

typedef struct { tfl_delegate *delegate; tfl_ints *nodes_to_replace, *input_tensors, *output_tensors; } tfl_params;

typedef struct {
    int padding, stride_width, stride_height, activation, dilation_width, dilation_height;
} tfl_conv;
typedef struct {
    int padding, stride_width, stride_height, depth_multiplier, activation, dilation_width, dilation_height;
} tfl_depthwise;
typedef struct { int activation, weights_format; bool keep_num_dims, asymmetric; } tfl_dense;

/* "" when what the caller hands over reads like the layout above, else what does not. */
const char *tfl_layout_problem(tfl_context *context);

#endif
