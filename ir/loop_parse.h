/* loop_parse.h: what loop_scan.c and loop_parse.c share. Private to ir/. */
#ifndef EFFNETC_IR_LOOP_PARSE_H
#define EFFNETC_IR_LOOP_PARSE_H

#include "ir/loop.h"
#include "ir/loop_internal.h"

typedef struct Parser {
    const char *text, *p, *end; /* all of it, the cursor, the end */
    const char *where, *constant_dir;
    Diag *d;
    Module *m;
    Kernel *k; /* being read */
    Builder b; /* of k */
    bool has_run;
    VEC(Arg) args; /* of the call being read */
    Arena scratch;
} Parser;

/* A stretch of the text. */
typedef struct Text {
    const char *s;
    size_t n;
} Text;

/* ---- loop_scan.c: the words of the text ----------------------------------------------------- */

/* Functions that return bool take something and move the cursor behind it. Where it isn't there,
 * scan_accept and scan_next_* say so by false alone; all others have reported an error. White space
 * and comments in front are skipped. */

/* Report an error at `at`, or "expected WHAT, found ..." at the cursor. Always false. */
bool scan_fault(Parser *ps, const char *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool scan_expected(Parser *ps, const char *what);

void scan_space(Parser *ps);
bool scan_accept(Parser *ps, const char *s); /* a word only as a whole */
bool scan_expect(Parser *ps, const char *s);
bool scan_next_is(Parser *ps, char c);
bool scan_next_is_word(Parser *ps);
bool scan_next_is_number(Parser *ps); /* or its minus sign */

bool scan_word(Parser *ps, const char *what, Text *out);   /* [A-Za-z_][A-Za-z0-9_]* */
bool scan_option(Parser *ps, const char *what, Text *out); /* - among the letters */
bool scan_magnitude(Parser *ps, uint64_t *out); /* digits alone: of "0..k" it takes the 0 */
bool scan_integer(Parser *ps, int64_t *out);
bool scan_float(Parser *ps, double *out);
bool scan_hash(Parser *ps, uint64_t *out);
bool scan_string(Parser *ps, const char **out);                  /* in the module's arena */
bool scan_name(Parser *ps, const char *sigil, const char **out); /* @name, %"any name" */
/* # "string" on the rest of the line; NULL where there is no comment, or another one. */
const char *scan_origin(Parser *ps);

bool scan_dtype(Parser *ps, DType *out);
bool scan_lanes_suffix(Parser *ps, int *out);  /* .v16 or nothing (1), right at the cursor */
bool scan_type_suffix(Parser *ps, LType *out); /* .f32 or .v16.f32 */

bool text_is(Text t, const char *s);
/* -x or x as an int64_t; false, and no error, where it does not fit. */
bool with_sign(uint64_t x, bool negative, int64_t *out);

#endif
