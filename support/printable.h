/* printable.h: text of files, as names and labels, for terminals. */
#ifndef EFFNETC_SUPPORT_PRINTABLE_H
#define EFFNETC_SUPPORT_PRINTABLE_H

#include "support/support.h"

/* Appends s with each byte of a control character that a terminal could obey as \xNN: of ASCII's,
 * and of UTF-8's U+0080 to U+009F. With indent >= 0 a newline starts a line that is indented so
 * far. */
void buf_put_printable(Buf *b, const char *s, int indent);
/* s with those bytes as \xNN, newlines too: itself where it has none. */
const char *printable(Arena *a, const char *s);

#endif
