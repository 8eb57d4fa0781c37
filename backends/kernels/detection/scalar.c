/* TFLite_Detection_PostProcess, portable C (tensorflow/lite/kernels/detection_postprocess.cc). Equal scores keep the
 * order of their boxes. Scores are read again and again from memory that may be changing: every index comes from
 * scratch, and a count is bounded before it is used. */
#include "../abi.h"
#include "../params.h"

#include <math.h>
#include <string.h>

typedef struct work {
    const edged_detection_params *p;
    const float *scores; /* [boxes][columns], at the first real class */
    float *boxes;        /* [boxes][4] */
    float *score;        /* [boxes]: the one being suppressed by */
    int32_t *order;      /* [boxes] */
    int32_t *alive;      /* [boxes] */
    float *best_score;   /* [max_detections], regular only: best of all classes so far */
    int32_t *best_box, *best_class;
} work;

static void decode(const edged_detection_params *p, const float *in, const float *anchors, float *boxes) {
    for (int32_t i = 0; i < p->boxes; i++, in += p->pitch, anchors += 4, boxes += 4) {
        const float y = (float)((double)in[0] / p->y_scale * anchors[2] + anchors[0]);
        const float x = (float)((double)in[1] / p->x_scale * anchors[3] + anchors[1]);
        const float h = (float)(0.5 * exp((double)in[2] / p->h_scale) * anchors[2]);
        const float w = (float)(0.5 * exp((double)in[3] / p->w_scale) * anchors[3]);
        boxes[0] = y - h, boxes[1] = x - w, boxes[2] = y + h, boxes[3] = x + w;
    }
}

static float least(float a, float b) { return a < b ? a : b; }

static float greatest(float a, float b) { return a > b ? a : b; }

static float overlap(const float *a, const float *b) {
    const float first = (a[2] - a[0]) * (a[3] - a[1]), second = (b[2] - b[0]) * (b[3] - b[1]);
    if (first <= 0.0f || second <= 0.0f) {
        return 0.0f;
    }
    const float h = greatest(least(a[2], b[2]) - greatest(a[0], b[0]), 0.0f), w = greatest(least(a[3], b[3]) - greatest(a[1], b[1]), 0.0f);
    return h * w / (first + second - h * w);
}

/* Does box a come after box b: a lesser score, or the same and a greater index? */
static int after(const work *k, int32_t a, int32_t b) {
    return k->score[a] < k->score[b] || (k->score[a] == k->score[b] && a > b);
}

static void sift(const work *k, int32_t root, int32_t n) {
    for (int32_t child = 2 * root + 1; child < n; root = child, child = 2 * root + 1) {
        child += child + 1 < n && after(k, k->order[child + 1], k->order[child]);
        if (!after(k, k->order[child], k->order[root])) {
            return;
        }
        const int32_t swap = k->order[child];
        k->order[child] = k->order[root];
        k->order[root] = swap;
    }
}

/* Heap sort: greatest score first. */
static void sort(const work *k, int32_t n) {
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift(k, i, n);
    for (int32_t i = n - 1; i > 0; i--) {
        const int32_t swap = k->order[0];
        k->order[0] = k->order[i];
        k->order[i] = swap;
        sift(k, 0, i);
    }
}

/* Puts at most `most` boxes that survive, best first, at the front of k->order, and returns how many. */
static int32_t suppress(const work *k, int32_t most) {
    int32_t n = 0, chosen = 0;
    for (int32_t i = 0; i < k->p->boxes; i++) {
        if (k->score[i] >= k->p->score_threshold) k->order[n++] = i;
    }
    sort(k, n);
    for (int32_t i = 0; i < n; i++) k->alive[i] = 1;
    for (int32_t i = 0; i < n && chosen < most; i++) {
        if (!k->alive[i]) continue;
        const int32_t box = k->order[i];
        for (int32_t j = i + 1; j < n; j++) {
            if (k->alive[j] && overlap(k->boxes + 4 * k->order[j], k->boxes + 4 * box) > k->p->iou_threshold) k->alive[j] = 0;
        }
        k->order[chosen++] = box;
    }
    return chosen;
}

static void emit(const work *k, void *const *operands, int32_t place, int32_t box, int32_t class, float score) {
    memcpy((float *)operands[0] + 4 * place, k->boxes + 4 * box, 16);
    ((float *)operands[1])[place] = (float)class;
    ((float *)operands[2])[place] = score;
}

/* Eight maxima side by side, which compilers vectorise. */
static float greatest_of(const float *scores, int32_t n) {
    float best = scores[0], part[8];
    int32_t i = 0;
    for (int32_t j = 0; j < 8; j++) part[j] = best;
    for (; i + 8 <= n; i += 8) {
        for (int32_t j = 0; j < 8; j++) part[j] = scores[i + j] > part[j] ? scores[i + j] : part[j];
    }
    for (; i < n; i++) best = greatest(scores[i], best);
    for (int32_t j = 0; j < 8; j++) best = greatest(part[j], best);
    return best;
}

/* Suppression over each box's best score; then the best classes of each box that is left. */
static int32_t fast(const work *k, void *const *operands) {
    const edged_detection_params *p = k->p;
    const int32_t ranks = p->max_classes < p->num_classes ? p->max_classes : p->num_classes;
    for (int32_t i = 0; i < p->boxes; i++) {
        k->score[i] = greatest_of(k->scores + (ptrdiff_t)i * p->columns, p->num_classes);
    }
    const int32_t kept = suppress(k, p->max_detections);
    for (int32_t i = 0; i < kept; i++) {
        const float *scores = k->scores + (ptrdiff_t)k->order[i] * p->columns;
        int32_t last = -1;
        float bound = 0.0f;
        for (int32_t rank = 0; rank < ranks; rank++) {
            int32_t best = -1;
            for (int32_t c = 0; c < p->num_classes; c++) {
                const int open = last < 0 || scores[c] < bound || (scores[c] == bound && c > last);
                if (open && (best < 0 || scores[c] > scores[best])) best = c;
            }
            if (best < 0) break;
            last = best, bound = scores[best];
            emit(k, operands, i * p->max_classes + rank, k->order[i], best, bound);
        }
    }
    return kept;
}

/* Suppression per class; the best over all classes are kept in order, earlier ones first among equals. */
static int32_t regular(const work *k, void *const *operands) {
    const edged_detection_params *p = k->p;
    int32_t held = 0;
    for (int32_t c = 0; c < p->num_classes; c++) {
        for (int32_t i = 0; i < p->boxes; i++) k->score[i] = k->scores[(ptrdiff_t)i * p->columns + c];
        const int32_t kept = suppress(k, p->per_class);
        for (int32_t i = 0; i < kept; i++) {
            const float score = k->score[k->order[i]];
            int32_t at = held;
            for (; at > 0 && k->best_score[at - 1] < score; at--) {
                if (at < p->max_detections) {
                    k->best_score[at] = k->best_score[at - 1], k->best_box[at] = k->best_box[at - 1], k->best_class[at] = k->best_class[at - 1];
                }
            }
            if (at < p->max_detections) k->best_score[at] = score, k->best_box[at] = k->order[i], k->best_class[at] = c;
            held += held < p->max_detections;
        }
    }
    for (int32_t i = 0; i < held; i++) emit(k, operands, i, k->best_box[i], k->best_class[i], k->best_score[i]);
    return held;
}

void detection_f32_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_detection_params *p = params;
    const size_t n = (size_t)p->boxes, most = (size_t)p->max_detections, count = most * (size_t)p->max_classes;
    float *scratch = task->scratch;
    work k = {.p = p, .scores = (const float *)operands[5] + (p->columns - p->num_classes), .boxes = scratch, .score = scratch + 4 * n};
    k.order = (int32_t *)(scratch + 5 * n);
    k.alive = (int32_t *)(scratch + 6 * n);
    k.best_score = scratch + 7 * n;
    k.best_box = (int32_t *)(scratch + 7 * n + most);
    k.best_class = (int32_t *)(scratch + 7 * n + 2 * most);
    memset(operands[0], 0, count * 16);
    memset(operands[1], 0, count * 4);
    memset(operands[2], 0, count * 4);
    decode(p, operands[4], operands[6], k.boxes);
    *(float *)operands[3] = (float)(p->regular ? regular(&k, operands) : fast(&k, operands));
}
