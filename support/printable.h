/* printable.h: text of files, as names and labels, for terminals. */
#ifndef EFFNETC_SUPPORT_PRINTABLE_H
#define EFFNETC_SUPPORT_PRINTABLE_H

#include "support/support.h"

/* How many bytes at s are a control character that a terminal could obey: 1 of ASCII, 2 of UTF-8's
 * U+0080 to U+009F; 0: none is there. */
size_t control_length(const char *s);
/* s with each byte of those as \xNN: itself where it has none. */
const char *printable(Arena *a, const char *s);

#endif
