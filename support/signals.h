/* signals.h: what interrupts the process waits while something is half done. Apart from support.h,
 * because <signal.h> takes names. */
#ifndef EFFNETC_SUPPORT_SIGNALS_H
#define EFFNETC_SUPPORT_SIGNALS_H

#include <signal.h>

/* SIGHUP, SIGINT and SIGTERM wait until signals_release gets the result: the signals that this
 * thread had held back before. */
sigset_t signals_hold(void);
void signals_release(const sigset_t *before);

#endif
