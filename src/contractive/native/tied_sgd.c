/* Plain gradient descent on the tied sigmoid auto-encoder with cross-entropy and contraction, for small minibatches.
 *
 * The same update as `training.update` with optax's SGD, which the tests hold it to. It is here because small
 * minibatches leave matrix-product libraries with operands too thin to be worth packing, and because each library
 * call walks over the whole weight again. Here every thread owns some hidden units and meets their filters twice a
 * minibatch, while they lie in its own cache:
 *
 *   pass 1, per unit i:   a_i = W_i x + b_i,  h_i = sigmoid(a_i),  z += h_i W_i
 *   between, per pixel:   d_z = sigmoid(z + c) - x,  c -= rate mean(d_z)
 *   pass 2, per unit i:   d_a_i = s_i (d_z W_i + 2 lambda s_i |W_i|^2 (1 - 2 h_i)),  s_i = h_i (1 - h_i)
 *                         W_i  <- (1 - 2 rate lambda mean(s_i^2)) W_i - rate mean(d_a_i x + h_i d_z),  b_i likewise
 *
 * |W_i|^2 comes out of the update of the minibatch before, in registers. Compiled for one shape at a time:
 *   FEATURES, BATCH (<= 16), ROW (uint8_t or float), JACOBIAN (0: neither penalty nor its norm is computed).
 */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define UNITS 4                                                    /* units that one turn of a loop works on */
#define WIDTH ((FEATURES + LANES - 1) / LANES * LANES)             /* features, filled up to whole vectors */
#define COLUMNS 5                                                  /* vectors of a filter updated in registers */
#define MAX_THREADS 64
#define SPINS 4000                                                 /* looks at a barrier before giving the core away */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4)));

typedef struct {
    float *weight, *hidden_bias, *visible_bias;                    /* (units, WIDTH), (units), (WIDTH) */
    const ROW *rows;                                               /* (n_rows, FEATURES) */
    const uint32_t *order;                                         /* (minibatches, BATCH) */
    float *costs;                                                  /* (minibatches, 2) */
    int64_t n_rows, start, stop;
    int32_t n_hidden, n_units, threads;                            /* n_units: n_hidden, filled up to whole UNITS */
    float contraction, rate, scale;
} job;

typedef struct {
    float x[BATCH * WIDTH], d_output[BATCH * WIDTH];
    float *hidden, *norms;                                         /* (n_units, LANES), (n_units) */
    float *output;                                                 /* (threads, BATCH, WIDTH) */
    float error[MAX_THREADS], frobenius[MAX_THREADS][LANES];
    atomic_int arrived, generation, gate;
} shared;

static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec v) { *(vec *)p = v; }
static inline vec fill(float a) { return a - (vec){0}; }
static inline vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

static inline vec lanes_below(int n) {
    const ivec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return choose(lane < n, fill(1), fill(0));
}

static inline float sum(vec v) {
    float s[LANES];
    memcpy(s, &v, sizeof s);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}

/* exp and log to about one unit in the last place: Cephes' expf and logf. */
static inline vec vexp(vec x) {
    const vec low = fill(-87.0f), high = fill(88.0f), round = fill(12582912.0f);
    x = choose(x < low, low, x);
    x = choose(x > high, high, x);
    vec n = (x * 1.44269504f + round) - round;
    x = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = fill(1.9875691500e-4f);
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * x * x + x + 1.0f;
    return p * (vec)((__builtin_convertvector(n, ivec) + 127) << 23);
}

static inline vec vlog_between_1_and_2(vec x) {
    const ivec large = x > fill(1.41421356f);
    const vec f = choose(large, x * 0.5f, x) - 1.0f, square = f * f;
    vec p = fill(7.0376836292e-2f);
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    return p * f * square - 0.5f * square + f + choose(large, fill(0.69314718056f), fill(0));
}

static void wait_for_all(shared *common, int threads) {
    const int generation = atomic_load_explicit(&common->generation, memory_order_acquire);
    if (atomic_fetch_add(&common->arrived, 1) == threads - 1) {
        atomic_store(&common->arrived, 0);
        atomic_fetch_add(&common->generation, 1);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&common->generation, memory_order_acquire) == generation; spins++)
        if (spins > SPINS) sched_yield(); /* another process wants the core */
}

/* out[u][i] = rows_i . filter_u for two filters: 2 BATCH sums kept in registers. */
static inline void multiply_two(const float *filter, const float *rows, float out[2][LANES]) {
    vec first[BATCH], second[BATCH];
    for (int i = 0; i < BATCH; i++) first[i] = second[i] = fill(0);
    for (int j = 0; j < WIDTH; j += LANES) {
        const vec a = load(filter + j), b = load(filter + WIDTH + j);
#pragma GCC unroll 16
        for (int i = 0; i < BATCH; i++) {
            const vec row = load(rows + i * WIDTH + j);
            first[i] += a * row;
            second[i] += b * row;
        }
    }
    for (int i = 0; i < BATCH; i++) {
        out[0][i] = sum(first[i]);
        out[1][i] = sum(second[i]);
    }
}

static inline void multiply_units(const float *filter, const float *rows, float out[UNITS][LANES]) {
    for (int unit = 0; unit < UNITS; unit += 2) multiply_two(filter + unit * WIDTH, rows, out + unit);
}

static inline float norm_sq(const float *filter) {
    vec total = fill(0);
    for (int j = 0; j < WIDTH; j += LANES) total += load(filter + j) * load(filter + j);
    return sum(total);
}

static void gather(const job *task, shared *common, int64_t minibatch, int from, int to) {
    const int last = to < FEATURES ? to : FEATURES;
    for (int i = 0; i < BATCH; i++) {
        const ROW *row = task->rows + (size_t)task->order[minibatch * BATCH + i] * FEATURES;
        for (int j = from; j < last; j++) common->x[i * WIDTH + j] = (float)row[j] / task->scale;
    }
}

/* Pass 1: the codes of this thread's units, and what they add to the output. */
static void encode(const job *task, shared *common, int thread, int from, int to, vec present) {
    float *output = common->output + (size_t)thread * BATCH * WIDTH;
    memset(output, 0, sizeof(float) * BATCH * WIDTH);
    vec frobenius = fill(0);
    for (int unit = from; unit < to; unit += UNITS) {
        const float *filter = task->weight + (size_t)unit * WIDTH;
        float *hidden = common->hidden + unit * LANES, a[UNITS][LANES] = {{0}};
        multiply_units(filter, common->x, a);
        for (int u = 0; u < UNITS; u++) {
            vec h = 1.0f / (1.0f + vexp(-(load(a[u]) + task->hidden_bias[unit + u])));
            if (unit + u >= task->n_hidden) h = fill(0); /* a unit that only fills up stays without effect */
            store(hidden + u * LANES, h);
            if (JACOBIAN) frobenius += h * (1.0f - h) * h * (1.0f - h) * common->norms[unit + u];
        }
        for (int j = 0; j < WIDTH; j += LANES) {
            vec w[UNITS];
            for (int u = 0; u < UNITS; u++) w[u] = load(filter + u * WIDTH + j);
#pragma GCC unroll 16
            for (int i = 0; i < BATCH; i++) {
                vec z = load(output + i * WIDTH + j);
                for (int u = 0; u < UNITS; u++) z += w[u] * hidden[u * LANES + i];
                store(output + i * WIDTH + j, z);
            }
        }
    }
    store(common->frobenius[thread], frobenius * present);
}

/* Between: the derivative at the output of these features, and their part of the cross-entropy. */
static void compare(const job *task, shared *common, int thread, int from, int to, int size) {
    vec error = fill(0);
    for (int j = from; j < to; j += LANES) {
        const vec bias = load(task->visible_bias + j), real = lanes_below(FEATURES - j);
        vec gradient = fill(0);
        for (int i = 0; i < BATCH; i++) {
            vec z = bias;
            for (int t = 0; t < task->threads; t++) z += load(common->output + (size_t)(t * BATCH + i) * WIDTH + j);
            const vec x = load(common->x + i * WIDTH + j), tail = vexp(-choose(z < fill(0), -z, z));
            const vec inverse = 1.0f / (1.0f + tail);
            const vec counts = i < size ? real : fill(0);
            const vec d = (choose(z < fill(0), tail * inverse, inverse) - x) * counts;
            store(common->d_output + i * WIDTH + j, d);
            gradient += d;
            error += (choose(z > fill(0), z, fill(0)) + vlog_between_1_and_2(1.0f + tail) - x * z) * counts;
        }
        store(task->visible_bias + j, bias - (task->rate / size) * gradient);
    }
    common->error[thread] = sum(error);
}

/* W_u <- keep_u W_u + sum_m step_mu [x; d_z]_m over some columns, in registers. */
#define UPDATE_COLUMNS(COUNT)                                                                                  \
    {                                                                                                          \
        vec new[UNITS][COUNT];                                                                                 \
        for (int u = 0; u < UNITS; u++)                                                                        \
            for (int q = 0; q < COUNT; q++) new[u][q] = keep[u] * load(filter + u * WIDTH + j + q * LANES);    \
        for (int m = 0; m < 2 * BATCH; m++) {                                                                  \
            const float *row = (m < BATCH ? common->x + m * WIDTH : common->d_output + (m - BATCH) * WIDTH) + j; \
            vec v[COUNT];                                                                                      \
            for (int q = 0; q < COUNT; q++) v[q] = load(row + q * LANES);                                      \
            for (int u = 0; u < UNITS; u++)                                                                    \
                for (int q = 0; q < COUNT; q++) new[u][q] += step[m][u] * v[q];                                \
        }                                                                                                      \
        for (int u = 0; u < UNITS; u++)                                                                        \
            for (int q = 0; q < COUNT; q++) {                                                                  \
                store(filter + u * WIDTH + j + q * LANES, new[u][q]);                                          \
                if (JACOBIAN) total[u] += new[u][q] * new[u][q];                                               \
            }                                                                                                  \
        j += COUNT * LANES;                                                                                    \
    }

/* Pass 2: the derivative at this thread's units, and their update. */
static void learn(const job *task, shared *common, int from, int to, vec present, int size) {
    const float rate = task->rate / size, twice = 2 * task->contraction;
    for (int unit = from; unit < to; unit += UNITS) {
        float *filter = task->weight + (size_t)unit * WIDTH, d[UNITS][LANES] = {{0}}, step[2 * BATCH][UNITS], keep[UNITS];
        multiply_units(filter, common->d_output, d);
        for (int u = 0; u < UNITS; u++) {
            const vec h = load(common->hidden + (unit + u) * LANES), slope = h * (1.0f - h);
            vec d_a = load(d[u]);
            if (JACOBIAN) d_a += twice * common->norms[unit + u] * slope * (1.0f - 2.0f * h);
            d_a *= slope * present;
            for (int i = 0; i < BATCH; i++) step[i][u] = -rate * d_a[i], step[BATCH + i][u] = -rate * h[i];
            keep[u] = JACOBIAN ? 1.0f - rate * twice * sum(slope * slope * present) : 1.0f;
            task->hidden_bias[unit + u] -= rate * sum(d_a);
        }
        vec total[UNITS] = {fill(0), fill(0), fill(0), fill(0)};
        int j = 0;
        while (j + COLUMNS * LANES <= WIDTH) UPDATE_COLUMNS(COLUMNS)
        while (j < WIDTH) UPDATE_COLUMNS(1)
        if (JACOBIAN)
            for (int u = 0; u < UNITS; u++) common->norms[unit + u] = sum(total[u]);
    }
}

static void report(const job *task, const shared *common, int64_t minibatch, int size) {
    float error = 0, norm = 0;
    for (int t = 0; t < task->threads; t++) error += common->error[t];
    for (int i = 0; i < size; i++) {
        float square = 0;
        for (int t = 0; t < task->threads; t++) square += common->frobenius[t][i];
        norm += sqrtf(square);
    }
    task->costs[2 * minibatch] = error / size;
    task->costs[2 * minibatch + 1] = norm / size;
}

static void work(const job *task, shared *common, int thread) {
    const int turns = task->n_units / UNITS, vectors = WIDTH / LANES, threads = task->threads;
    const int unit_from = turns * thread / threads * UNITS, unit_to = turns * (thread + 1) / threads * UNITS;
    const int column_from = vectors * thread / threads * LANES, column_to = vectors * (thread + 1) / threads * LANES;
    for (int unit = unit_from; unit < unit_to; unit++)
        common->norms[unit] = JACOBIAN ? norm_sq(task->weight + (size_t)unit * WIDTH) : 0;
    for (int64_t minibatch = task->start; minibatch < task->stop; minibatch++) {
        const int64_t left = task->n_rows - minibatch * BATCH;
        const int size = left < BATCH ? (int)left : BATCH; /* the last minibatch may be short */
        const vec present = lanes_below(size);
        gather(task, common, minibatch, column_from, column_to);
        wait_for_all(common, threads);
        encode(task, common, thread, unit_from, unit_to, present);
        wait_for_all(common, threads);
        compare(task, common, thread, column_from, column_to, size);
        wait_for_all(common, threads);
        if (thread == 0) report(task, common, minibatch, size);
        learn(task, common, unit_from, unit_to, present, size);
        wait_for_all(common, threads);
    }
}

typedef struct {
    const job *task;
    shared *common;
    int thread;
} share;

static void *enter(void *argument) {
    const share *mine = argument;
    while (!atomic_load(&mine->common->gate)) sched_yield();
    if (atomic_load(&mine->common->gate) > 0) work(mine->task, mine->common, mine->thread);
    return NULL;
}

/* Train on minibatches start..stop-1; 0 when done, 1 when memory or a thread cannot be had (nothing is changed). */
int tied_sgd(const job *given) {
    job task = *given;
    pthread_t handles[MAX_THREADS];
    share shares[MAX_THREADS];
    shared *common = aligned_alloc(64, (sizeof(shared) + 63) / 64 * 64);
    float *room = aligned_alloc(64, sizeof(float) * ((size_t)task.threads * BATCH * WIDTH + (size_t)task.n_units * 32));
    if (!common || !room) {
        free(common);
        free(room);
        return 1;
    }
    memset(common, 0, sizeof(shared));
    common->hidden = room;
    common->norms = room + (size_t)task.n_units * LANES;
    common->output = room + (size_t)task.n_units * 32;
    int started = 1;
    for (; started < task.threads; started++) {
        shares[started] = (share){&task, common, started};
        if (pthread_create(&handles[started], NULL, enter, &shares[started])) break;
    }
    const int complete = started == task.threads; /* nobody begins before everybody is there */
    atomic_store(&common->gate, complete ? 1 : -1);
    if (complete) work(&task, common, 0);
    for (int thread = 1; thread < started; thread++) pthread_join(handles[thread], NULL);
    free(common);
    free(room);
    return !complete;
}
