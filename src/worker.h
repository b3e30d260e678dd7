/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  Background processes that call lifecycle_tick.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_WORKER_H
#define LIFECYCLE_WORKER_H

extern void worker_init(void);

#endif							/* LIFECYCLE_WORKER_H */
