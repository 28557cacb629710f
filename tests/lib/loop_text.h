/* loop_text.h: for tests: modules from texts, and texts that must be refused. */
#ifndef EFFNETC_TESTS_LOOP_TEXT_H
#define EFFNETC_TESTS_LOOP_TEXT_H

#include "ir/loop.h"

/* The module of a text that must parse; NULL with the errors on stderr where it doesn't. */
Module *module_of(const char *text);

/* The text of m, to be freed by the caller. */
char *module_text(const Module *m);

/* Whether parsing fails with one error, whose place and message are "test" + want, as in
 * `:3:7: expected ...`; else says on stderr what happened instead. */
bool module_parse_fails(const char *text, const char *want);

/* Whether the text parses and module_verify then reports exactly one fault, `want`, for the
 * instruction `inst` (NULL: for none); else says on stderr what happened instead. */
bool module_verify_fails(const char *text, const char *want, const char *inst);

/* Whether d holds exactly one error, `want`, with the note `note` (NULL: no note). */
bool only_error_is(const Diag *d, const char *want, const char *note);

#endif
