/* graph_text.h: for tests: graphs from texts, and graphs that carry their expected results. */
#ifndef EFFNETC_TESTS_GRAPH_TEXT_H
#define EFFNETC_TESTS_GRAPH_TEXT_H

#include "ir/graph.h"

/* The graph of a text that must be right; NULL with the errors on stderr where it isn't. */
Graph *graph_of(const char *text);

/* Whether parsing fails and its first error is at `where` (":3:7" behind the text's name, or NULL
 * for anywhere) with `message` in it; else says on stderr what happened instead. */
bool parse_fails(const char *text, const char *where, const char *message);

/* Evaluates a graph without inputs whose outputs come in pairs, computed and expected:
 *
 *     const @want : f32[2] = [0, 6]
 *     ...
 *     return %y, @want
 *
 * Whether each pair has one type and elements at most `tolerance` apart, relative to the expected
 * one; 0 asks for equal bits, but that NaNs are equal. Says on stderr where it isn't so. */
bool graph_values_match(const char *text, double tolerance);

/* Whether evaluation (of a graph without inputs) fails with `message` in the error. */
bool graph_eval_fails(const char *text, const char *message);

#endif
