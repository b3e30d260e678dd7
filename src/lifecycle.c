/*-------------------------------------------------------------------------
 *
 * lifecycle.c
 *	  Entry of the module: magic block and settings.
 *
 * The parts, from the top down (calls go downward only):
 *
 *	  ingest.c, object.c, deal.c, deal_contact.c	triggers on the application tables
 *	  worker.c						background processes that call tick.c
 *	  tick.c, api.c, score_api.c, verify.c	what SQL calls
 *	  explain.c, why.c, clause.c, witness.c, preview.c	questions about a text
 *	  import.c						events that are taken in later
 *	  identify.c, merge.c, unmerge.c, forget.c	one person's becomes another's, or is erased
 *	  identity.c, survivor.c		whose events they are
 *	  truncate.c					what TRUNCATE took away
 *	  step.c						contacts that are due, instant by instant
 *	  refresh.c, enter.c			segments of all contacts at once
 *	  scan.c						the values of atoms for all contacts
 *	  run.c							one run of the engine: rounds of work
 *	  rule.c, args.c				which rules fire, and what they want
 *	  action.c, company.c, owner.c, task.c	what they want, written
 *	  prepare.c, decide.c			whom a round is about; their new state
 *	  evaluate.c, record.c			which segments they are in; all written down
 *	  network.c, event.c, compile.c	who depends on what, compiled at first use
 *	  equality.c					what filters compare, by which events find them
 *	  atom.c, state.c, stripe.c		values of atoms; the packed row; its locks
 *	  score.c, score_write.c, points.c	scores, their columns, their arithmetic
 *	  meaning.c, window.c			what functions mean, as SQL; windows
 *	  model.c, registry.c, stage.c	the registry's cache
 *	  predicate.c, analysis.c, syntax.c, comparison.c, vocabulary.c	text to expression
 *	  counter.c						what was done, counted
 *	  transition.c, query.c, problem.c, security.c	triggers, SPI, errors, roles
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "import.h"
#include "model.h"
#include "run.h"
#include "worker.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

/*
 * _PG_init: define the settings and the callbacks of this backend.
 *
 * Takes no lock, raises nothing of its own.
 */
void
_PG_init(void)
{
	worker_init();
	import_init();
	MarkGUCPrefixReserved("lifecycle");

	model_init();
	run_init();
}
