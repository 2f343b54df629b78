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
#define _GNU_SOURCE
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Vectors as wide as the processor's registers, and no more of them at a time than it has: wider ones the compiler
 * would cut up and keep in memory, ten times as slow. */
#if defined(__AVX512F__)
#define LANES 16
#define TILE BATCH /* rows that two filters meet in registers */
#define COLUMNS 5                                                  /* groups of a filter updated in registers */
#else
#if defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define TILE (BATCH < 5 ? BATCH : 5)
#define COLUMNS 1
#endif
#define GROUP 16                                                   /* floats that everything is filled up to */
#define VECTORS (GROUP / LANES)
#define UNITS 4                                                    /* units that one turn of a loop works on */
#define WIDTH ((FEATURES + GROUP - 1) / GROUP * GROUP)             /* features, filled up */
#define MAX_THREADS 64
#define SPINS 4000                                                 /* looks at a barrier before going to sleep */

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
    float *hidden, *norms;                                         /* (n_units, GROUP), (n_units) */
    float *output;                                                 /* (threads, BATCH, WIDTH) */
    float error[MAX_THREADS], frobenius[MAX_THREADS][GROUP];
    atomic_int arrived, generation, sleeping, gate;
} shared;

static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec v) { *(vec *)p = v; }
static inline vec fill(float a) { return a - (vec){0}; }
static inline vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

/* 1 in the lanes whose number is below n, else 0. */
static inline vec lanes_below(int n) {
    ivec lane;
    for (int l = 0; l < LANES; l++) lane[l] = l;
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
        if (atomic_load(&common->sleeping)) syscall(SYS_futex, &common->generation, FUTEX_WAKE_PRIVATE, MAX_THREADS);
        return;
    }
    for (int spins = 0; spins < SPINS; spins++)
        if (atomic_load_explicit(&common->generation, memory_order_acquire) != generation) return;
    /* Another process has the core that the others wait for: to sleep, not to yield, is what gets them one soon. */
    atomic_fetch_add(&common->sleeping, 1);
    while (atomic_load(&common->generation) == generation)
        syscall(SYS_futex, &common->generation, FUTEX_WAIT_PRIVATE, generation, NULL);
    atomic_fetch_sub(&common->sleeping, 1);
}

/* out[u][i] = rows_i . filter_u for two filters and the rows from..from+count-1: 2 count sums kept in registers. */
static inline __attribute__((always_inline)) void multiply_two(const float *filter, const float *rows,
                                                               float out[2][GROUP], int from, const int count) {
    vec first[TILE], second[TILE];
    for (int i = 0; i < count; i++) first[i] = second[i] = fill(0);
    for (int j = 0; j < WIDTH; j += LANES) {
        const vec a = load(filter + j), b = load(filter + WIDTH + j);
#pragma GCC unroll 16
        for (int i = 0; i < count; i++) {
            const vec row = load(rows + (from + i) * WIDTH + j);
            first[i] += a * row;
            second[i] += b * row;
        }
    }
    for (int i = 0; i < count; i++) {
        out[0][from + i] = sum(first[i]);
        out[1][from + i] = sum(second[i]);
    }
}

static inline void multiply_units(const float *filter, const float *rows, float out[UNITS][GROUP]) {
    for (int unit = 0; unit < UNITS; unit += 2) {
        int i = 0;
        for (; i + TILE <= BATCH; i += TILE) multiply_two(filter + unit * WIDTH, rows, out + unit, i, TILE);
        if (BATCH % TILE) multiply_two(filter + unit * WIDTH, rows, out + unit, i, BATCH % TILE);
    }
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
static void encode(const job *task, shared *common, int thread, int from, int to, int size) {
    float *output = common->output + (size_t)thread * BATCH * WIDTH, *frobenius = common->frobenius[thread];
    memset(output, 0, sizeof(float) * BATCH * WIDTH);
    memset(frobenius, 0, sizeof(float) * GROUP);
    for (int unit = from; unit < to; unit += UNITS) {
        const float *filter = task->weight + (size_t)unit * WIDTH;
        float *hidden = common->hidden + unit * GROUP, a[UNITS][GROUP] = {{0}};
        multiply_units(filter, common->x, a);
        for (int u = 0; u < UNITS; u++)
            for (int i = 0; i < GROUP; i += LANES) {
                vec h = 1.0f / (1.0f + vexp(-(load(a[u] + i) + task->hidden_bias[unit + u])));
                if (unit + u >= task->n_hidden) h = fill(0); /* a unit that only fills up stays without effect */
                store(hidden + u * GROUP + i, h);
                const vec slope = h * (1.0f - h) * lanes_below(size - i);
                if (JACOBIAN) store(frobenius + i, load(frobenius + i) + slope * slope * common->norms[unit + u]);
            }
        for (int j = 0; j < WIDTH; j += GROUP) {
            vec w[UNITS][VECTORS];
            for (int u = 0; u < UNITS; u++)
                for (int q = 0; q < VECTORS; q++) w[u][q] = load(filter + u * WIDTH + j + q * LANES);
#pragma GCC unroll 16
            for (int i = 0; i < BATCH; i++) {
                vec z[VECTORS];
                for (int q = 0; q < VECTORS; q++) z[q] = load(output + i * WIDTH + j + q * LANES);
                for (int u = 0; u < UNITS; u++)
                    for (int q = 0; q < VECTORS; q++) z[q] += w[u][q] * hidden[u * GROUP + i];
                for (int q = 0; q < VECTORS; q++) store(output + i * WIDTH + j + q * LANES, z[q]);
            }
        }
    }
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

/* W_u <- keep_u W_u + sum_m step_mu [x; d_z]_m over `count` vectors from column j on, in registers. */
static inline __attribute__((always_inline)) void update_columns(const shared *common, float *filter, int j,
                                                                 const int count, const float *keep,
                                                                 const float step[2 * BATCH][UNITS], vec *total) {
    vec new[UNITS][COLUMNS * VECTORS];
    for (int u = 0; u < UNITS; u++)
#pragma GCC unroll 16
        for (int q = 0; q < count; q++) new[u][q] = keep[u] * load(filter + u * WIDTH + j + q * LANES);
    for (int m = 0; m < 2 * BATCH; m++) {
        const float *row = (m < BATCH ? common->x + m * WIDTH : common->d_output + (m - BATCH) * WIDTH) + j;
        vec v[COLUMNS * VECTORS];
#pragma GCC unroll 16
        for (int q = 0; q < count; q++) v[q] = load(row + q * LANES);
        for (int u = 0; u < UNITS; u++)
#pragma GCC unroll 16
            for (int q = 0; q < count; q++) new[u][q] += step[m][u] * v[q];
    }
    for (int u = 0; u < UNITS; u++)
#pragma GCC unroll 16
        for (int q = 0; q < count; q++) {
            store(filter + u * WIDTH + j + q * LANES, new[u][q]);
            if (JACOBIAN) total[u] += new[u][q] * new[u][q];
        }
}

/* Pass 2: the derivative at this thread's units, and their update. */
static void learn(const job *task, shared *common, int from, int to, int size) {
    const float rate = task->rate / size, twice = 2 * task->contraction;
    for (int unit = from; unit < to; unit += UNITS) {
        float *filter = task->weight + (size_t)unit * WIDTH;
        float d[UNITS][GROUP] = {{0}}, step[2 * BATCH][UNITS], keep[UNITS];
        multiply_units(filter, common->d_output, d);
        for (int u = 0; u < UNITS; u++) {
            const float *hidden = common->hidden + (unit + u) * GROUP;
            vec slopes = fill(0), d_bias = fill(0);
            for (int i = 0; i < GROUP; i += LANES) {
                const vec h = load(hidden + i), slope = h * (1.0f - h) * lanes_below(size - i);
                vec d_a = load(d[u] + i);
                if (JACOBIAN) d_a += twice * common->norms[unit + u] * slope * (1.0f - 2.0f * h);
                d_a *= slope;
                store(d[u] + i, d_a);
                d_bias += d_a;
                slopes += slope * slope;
            }
            for (int i = 0; i < BATCH; i++) step[i][u] = -rate * d[u][i], step[BATCH + i][u] = -rate * hidden[i];
            keep[u] = JACOBIAN ? 1.0f - rate * twice * sum(slopes) : 1.0f;
            task->hidden_bias[unit + u] -= rate * sum(d_bias);
        }
        vec total[UNITS] = {fill(0), fill(0), fill(0), fill(0)};
        int j = 0;
        for (; j + COLUMNS * GROUP <= WIDTH; j += COLUMNS * GROUP)
            update_columns(common, filter, j, COLUMNS * VECTORS, keep, step, total);
        for (; j < WIDTH; j += GROUP) update_columns(common, filter, j, VECTORS, keep, step, total);
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
    const int turns = task->n_units / UNITS, groups = WIDTH / GROUP, threads = task->threads;
    const int unit_from = turns * thread / threads * UNITS, unit_to = turns * (thread + 1) / threads * UNITS;
    const int column_from = groups * thread / threads * GROUP, column_to = groups * (thread + 1) / threads * GROUP;
    for (int unit = unit_from; unit < unit_to; unit++)
        common->norms[unit] = JACOBIAN ? norm_sq(task->weight + (size_t)unit * WIDTH) : 0;
    for (int64_t minibatch = task->start; minibatch < task->stop; minibatch++) {
        const int64_t left = task->n_rows - minibatch * BATCH;
        const int size = left < BATCH ? (int)left : BATCH; /* the last minibatch may be short */
        gather(task, common, minibatch, column_from, column_to);
        wait_for_all(common, threads);
        encode(task, common, thread, unit_from, unit_to, size);
        wait_for_all(common, threads);
        compare(task, common, thread, column_from, column_to, size);
        wait_for_all(common, threads);
        if (thread == 0) report(task, common, minibatch, size);
        learn(task, common, unit_from, unit_to, size);
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
    const size_t for_units = (size_t)task.n_units * 2 * GROUP, for_output = (size_t)task.threads * BATCH * WIDTH;
    float *room = aligned_alloc(64, sizeof(float) * (for_units + for_output));
    if (!common || !room) {
        free(common);
        free(room);
        return 1;
    }
    memset(common, 0, sizeof(shared));
    common->hidden = room;
    common->norms = room + (size_t)task.n_units * GROUP;
    common->output = room + for_units;
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
