/* text.c: numbers from text, numbers without overflow, and names that were meant. */
#include "support/support.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool parse_i64(const char *s, int64_t *out) {
    const char *digits = s + (*s == '-' || *s == '+');
    size_t n = 0;
    while (is_digit(digits[n]))
        n++;
    if (n == 0 || digits[n])
        return false;
    errno = 0;
    long long x = strtoll(s, NULL, 10);
    if (errno)
        return false;
    *out = x;
    return true;
}

/* Everything that strtod reads, inf and nan among it, but no space in front. A number too small
 * becomes zero or a denormal; one too large is an error. */
bool parse_f64(const char *s, double *out) {
    char *end;
    if (!*s || strchr(" \t\n\v\f\r", *s))
        return false;
    errno = 0;
    double x = strtod(s, &end);
    if (end == s || *end || (errno == ERANGE && fabs(x) == HUGE_VAL))
        return false;
    *out = x;
    return true;
}

bool parse_amount(const char *s, double *out) {
    static const char letters[] = "kMG";
    char number[64];
    size_t n = strcspn(s, "kKMG");
    const char *unit = s + n, *letter = *unit ? strchr(letters, *unit == 'K' ? 'k' : *unit) : NULL;
    bool binary = letter && unit[1] == 'i', known = letter && !unit[1 + binary];
    double x;
    if (n >= sizeof number || (*unit && !known))
        return false;
    memcpy(number, s, n);
    number[n] = 0;
    if (!parse_f64(number, &x))
        return false;
    for (int i = 0; letter && i <= letter - letters; i++)
        x *= binary ? 1024 : 1000;
    *out = x;
    return true;
}

bool checked_mul(int64_t a, int64_t b, int64_t *out) {
    if (a < 0 || b < 0 || (b > 0 && a > INT64_MAX / b))
        return false;
    *out = a * b;
    return true;
}

bool checked_add(int64_t a, int64_t b, int64_t *out) {
    if (a < 0 || b < 0 || a > INT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

/* ---- nearest names -------------------------------------------------------------------------- */

enum { MAX_NAME = 63 }; /* longer ones aren't compared */

static size_t min3(size_t a, size_t b, size_t c) {
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* The number of insertions, deletions, replacements and swaps of neighbours from a to b, which
 * have at most MAX_NAME bytes ("optimal string alignment"). */
static size_t edit_distance(const char *a, const char *b) {
    size_t rows[3][MAX_NAME + 1];
    size_t na = strlen(a), nb = strlen(b);
    size_t *before = rows[0], *prev = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *spare = before;
        before = prev;
        prev = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            row[j] = min3(prev[j] + 1, row[j - 1] + 1, prev[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min3(row[j], row[j], before[j - 2] + 1);
        }
    }
    return row[nb];
}

/* A name counts as meant where about two thirds of it are right. */
const char *nearest_name(const char *name, const char *const *known, size_t n) {
    const char *best = NULL;
    size_t len = strlen(name), limit = len / 3 + 2;
    if (len > MAX_NAME)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (strlen(known[i]) > MAX_NAME)
            continue;
        size_t distance = edit_distance(name, known[i]);
        if (distance < limit && distance < len) {
            limit = distance;
            best = known[i];
        }
    }
    return best;
}
