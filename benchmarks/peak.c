/* peak.c: as many multiply-accumulates a second as a core can do: registers alone. Built for each
 * target with -DLANES=N, its -march and -ffp-contract=fast: where there is FMA, a line below is
 * one, else a multiplication and an addition. */
#include <stddef.h>
#include <string.h>

#if LANES == 1
typedef float vec;
#else
typedef float vec __attribute__((vector_size(LANES * 4)));
#endif

/* At least latency * units; with two more values they fit in 16 registers. */
enum { CHAINS = 12, ROUNDS = 100000 };

#define EACH(f)    f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#define UNKNOWN(x) __asm__ volatile("" : "+x"(x)) /* the compiler can't tell two of them equal */
#define START(i)                                                                                   \
    vec x##i = one;                                                                                \
    UNKNOWN(x##i);
#define STEP(i)   x##i = x##i * half + one; /* tends to 2: no denormals, no infinities */
#define FINISH(i) sum += x##i;

/* A body for rt_pool_for: the i-th row of LANES floats at `arg` gets what keeps the work alive. */
void peak_body(void *arg, size_t i);
double peak_macs(void); /* of one call of it */

void peak_body(void *arg, size_t i) {
    vec half = {0}, one = {0}, sum = {0};
    half += 0.5f;
    one += 1.0f;
    EACH(START)
    for (int round = 0; round < ROUNDS; round++) {
        UNKNOWN(half);
        EACH(STEP)
    }
    EACH(FINISH)
    memcpy((float *)arg + i * LANES, &sum, sizeof sum);
}

double peak_macs(void) {
    return (double)CHAINS * ROUNDS * LANES;
}
