/* Detection post-processing stays inside its operands, whatever the scores (NaN among them). */
#include <math.h>
#include <stdio.h>

#include "check.h"

int check_detection(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 60 * ctx->repeats; i++) {
        check_case c = {.op = "detection_f32", .units = 1};
        const edged_detection_params p = {
            .boxes = check_range(ctx, 1, 70), .pitch = check_range(ctx, 4, 6), .columns = check_range(ctx, 5, 20), .num_classes = check_range(ctx, 1, 5),
            .max_detections = check_range(ctx, 1, 12), .max_classes = check_range(ctx, 1, 3), .per_class = check_range(ctx, 1, 20),
            .regular = check_range(ctx, 0, 1), .score_threshold = 0.3f, .iou_threshold = 0.5f, .y_scale = 10, .x_scale = 10, .h_scale = 5,
            .w_scale = 5};
        const size_t n = (size_t)p.boxes, count = (size_t)(p.max_detections * p.max_classes), scores = n * (size_t)p.columns;
        c.params = &p;
        c.scratch = 28 * n + 12 * (size_t)p.max_detections;
        snprintf(c.text, sizeof c.text, "%d boxes, %d of %d classes", p.boxes, p.num_classes, p.columns);
        check_operand_add(&c, 0, CHECK_EXACT, count * 16, 4);
        check_operand_add(&c, 1, CHECK_EXACT, count * 4, 4);
        check_operand_add(&c, 2, CHECK_EXACT, count * 4, 4);
        check_operand_add(&c, 3, CHECK_EXACT, 4, 4);
        check_fill_floats(ctx, check_operand_add(&c, 4, CHECK_INPUT, n * (size_t)p.pitch * 4, 4), n * (size_t)p.pitch, -9, 9);
        float *score = check_operand_add(&c, 5, CHECK_INPUT, scores * 4, 4);
        check_fill_floats(ctx, score, scores, 0, 1);
        for (size_t k = 0; i % 2 && k < scores; k += 7) score[k] = k % 2 ? NAN : INFINITY;
        check_fill_floats(ctx, check_operand_add(&c, 6, CHECK_INPUT, n * 16, 4), n * 4, 0.1f, 1);
        bad |= check_run(ctx, &c);
    }
    return bad;
}
