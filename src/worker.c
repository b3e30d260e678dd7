/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  Background processes that call lifecycle_tick.
 *
 * If the library is in shared_preload_libraries, a launcher is started with
 * the server.  It is connected to no database, reads pg_database, and once an
 * interval starts a worker in each database, a few at a time.  The worker
 * lets time pass for each model of its database and exits; it exits at once
 * if the extension is not installed.  No process stays connected to a
 * database between two rounds, nothing has to be told of CREATE and DROP
 * EXTENSION, and what a worker has allocated is gone with it.
 *
 * A worker does what a session of the model's owner would do that calls
 * lifecycle_tick, and nothing else: without preloading, any scheduler can do
 * it.
 *
 * Transactions are short: one tick of BATCH contacts of one model.  Before
 * each, the worker looks whether somebody holds the database's own lock, as
 * DROP DATABASE does while it waits for others to leave, and then exits.
 *
 * Rights.  A worker's session is the bootstrap superuser's.  Whatever the
 * model's owner can put into a tick (triggers, rules, views in place of
 * tables) runs as that owner, in a span that outlasts the commit: deferred
 * triggers run there, before PostgreSQL 18 with the rights of whoever
 * commits.  What code of one owner can leave behind in the session is
 * discarded before another owner's turn.
 *
 * Memory: the launcher's lists are in TopMemoryContext and freed one by one;
 * a worker's are in TopMemoryContext and end with it.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/extension.h"
#include "commands/prepare.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "worker.h"

/* Contacts of one transaction. */
#define BATCH 1000

/*
 * How long a worker waits for a lock: not for ever, as its other models wait
 * meanwhile, but longer than an ordinary transaction takes.
 */
#define LOCK_WAIT "3s"

/* Seconds after which a launcher that ended is started again. */
#define RESTART_SECONDS 5

/* Milliseconds after which a worker that found no slot is tried again. */
#define RETRY_WAIT 1000

/* Settings; they live as long as the process. */
static bool worker_enabled = true;
static int	tick_interval = 60;
static int	max_workers = 2;
static char *worker_databases = NULL;

/* A database, in the launcher. */
typedef struct Database
{
	Oid			oid;
	NameData	name;
	BackgroundWorkerHandle *handle; /* of the worker in it, if there is one */
} Database;

/* A model, in a worker. */
typedef struct Job
{
	char	   *model;
	bool		done;			/* for this round */
	int64		due;			/* contacts left to look at; -1: not counted */
	int			limit;			/* contacts of the next batch */
} Job;

PGDLLEXPORT void lifecycle_launcher(Datum main_arg);
PGDLLEXPORT void lifecycle_tick_worker(Datum main_arg);

/*
 * Check hook of lifecycle.databases.
 */
static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names;
	bool		valid = SplitIdentifierString(copy, ',', &names);

	list_free(names);
	pfree(copy);
	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	return valid;
}

/*
 * worker_init: define the settings, and in the postmaster have the launcher
 * started.  Called by _PG_init.
 */
void
worker_init(void)
{
	BackgroundWorker launcher = {0};

	DefineCustomBoolVariable("lifecycle.worker",
							 "Lets background workers call lifecycle_tick.",
							 "Has an effect only if lifecycle is in shared_preload_libraries.",
							 &worker_enabled,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("lifecycle.tick_interval",
							"Time between two ticks of the background workers.",
							NULL,
							&tick_interval,
							60, 1, 86400,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("lifecycle.max_workers",
							"Number of databases in which background workers work at a time.",
							"Each takes one of max_worker_processes, and the launcher another one.",
							&max_workers,
							2, 1, 64,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);
	DefineCustomStringVariable("lifecycle.databases",
							   "Databases in which background workers call lifecycle_tick.",
							   "Empty stands for all that allow connections and are no templates.",
							   &worker_databases,
							   "",
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   check_databases, NULL, NULL);

	/* pg_upgrade's servers must not write of their own accord. */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = RESTART_SECONDS;
	strlcpy(launcher.bgw_name, "lifecycle launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_type, "lifecycle launcher", BGW_MAXLEN);
	strlcpy(launcher.bgw_library_name, "lifecycle", BGW_MAXLEN);
	strlcpy(launcher.bgw_function_name, "lifecycle_launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&launcher);
}

/*
 * Read the configuration again if the postmaster was told to.
 */
static void
reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

/*
 * Is the database one that workers may be started in?
 */
static bool
is_wanted(Form_pg_database database, List *names)
{
	ListCell   *cell;

	/* A limit below -1 marks a database whose DROP was interrupted. */
	if (!database->datallowconn || database->datistemplate ||
		database->datconnlimit < -1)
		return false;
	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), NameStr(database->datname)) == 0)
			return true;
	}
	return names == NIL;
}

/*
 * The databases to work in, in the current memory context.
 */
static List *
list_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *setting = pstrdup(worker_databases);
	List	   *names;
	List	   *result = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	(void) SplitIdentifierString(setting, ',', &names);
	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;
		Database   *database;

		if (!is_wanted(form, names))
			continue;
		old = MemoryContextSwitchTo(context);
		database = palloc0(sizeof(Database));
		database->oid = form->oid;
		database->name = form->datname;
		result = lappend(result, database);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	list_free(names);
	pfree(setting);
	return result;
}

/*
 * Start a worker; false if there is no slot for it.
 */
static bool
start_worker(Database *database)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database->oid);
	worker.bgw_notify_pid = MyProcPid;
	snprintf(worker.bgw_name, BGW_MAXLEN, "lifecycle tick in %s",
			 NameStr(database->name));
	strlcpy(worker.bgw_type, "lifecycle tick", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "lifecycle", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "lifecycle_tick_worker", BGW_MAXLEN);
	return RegisterDynamicBackgroundWorker(&worker, &database->handle);
}

/*
 * Drop those databases from the list whose worker has ended.
 */
static List *
forget_stopped(List *running)
{
	ListCell   *cell;

	foreach(cell, running)
	{
		Database   *database = lfirst(cell);
		pid_t		pid;

		if (GetBackgroundWorkerPid(database->handle, &pid) != BGWH_STOPPED)
			continue;
		running = foreach_delete_current(running, cell);
		pfree(database->handle);
		pfree(database);
	}
	return running;
}

static bool
is_running(List *running, Oid oid)
{
	ListCell   *cell;

	foreach(cell, running)
	{
		if (((Database *) lfirst(cell))->oid == oid)
			return true;
	}
	return false;
}

/*
 * Start workers in databases that wait for one, as many as may run at a
 * time; false if the server has no slot left.
 */
static bool
start_workers(List **waiting, List **running)
{
	while (*waiting != NIL && list_length(*running) < max_workers)
	{
		Database   *database = linitial(*waiting);

		if (is_running(*running, database->oid))
			pfree(database);	/* still busy with the last round */
		else if (start_worker(database))
			*running = lappend(*running, database);
		else
			return false;
		*waiting = list_delete_first(*waiting);
	}
	return true;
}

/*
 * lifecycle_launcher: main function of the launcher.
 *
 * Ends with status 1, so that the postmaster starts it again if somebody has
 * terminated it.
 */
void
lifecycle_launcher(Datum main_arg)
{
	List	   *waiting = NIL;	/* databases that a worker is due in */
	List	   *running = NIL;	/* databases with a worker */
	TimestampTz next = 0;		/* when the next round begins */
	bool		no_slot = false;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, SIG_IGN);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	MemoryContextSwitchTo(TopMemoryContext);

	for (;;)
	{
		TimestampTz now;
		TimestampTz latest;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ShutdownRequestPending)
			proc_exit(1);
		reload_settings();

		now = GetCurrentTimestamp();
		latest = TimestampTzPlusMilliseconds(now,
											 (int64) tick_interval * 1000);
		running = forget_stopped(running);
		if (!worker_enabled)
		{
			list_free_deep(waiting);
			waiting = NIL;
			next = now;
		}
		else if (waiting == NIL && (now >= next || next > latest))
		{
			waiting = list_databases();
			next = latest;
		}

		if (start_workers(&waiting, &running))
			no_slot = false;
		else if (!no_slot)
		{
			no_slot = true;
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no slot is left for a background worker of lifecycle"),
					 errhint("Increase max_worker_processes.")));
		}

		/* The end of a worker and a reload set the latch. */
		if (!worker_enabled || (waiting != NIL && !no_slot))
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1,
							 PG_WAIT_EXTENSION);
		else
			(void) WaitLatch(MyLatch,
							 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 no_slot ? RETRY_WAIT :
							 TimestampDifferenceMilliseconds(now, next),
							 PG_WAIT_EXTENSION);
	}
}

/*
 * Does nobody wait for this database to be left?  DROP DATABASE, ALTER
 * DATABASE and CREATE DATABASE with this one as template lock it, and then
 * wait five seconds for others to go.
 */
static bool
database_is_free(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) ==
		LOCKACQUIRE_NOT_AVAIL)
		return false;
	LockRelease(&tag, RowExclusiveLock, false);
	return true;
}

/*
 * Begin a transaction of the worker, which must be wanted still.
 */
static void
begin(void)
{
	CHECK_FOR_INTERRUPTS();
	reload_settings();
	if (!worker_enabled)
		proc_exit(0);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (!database_is_free())
		proc_exit(0);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit(void)
{
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	debug_query_string = NULL;
	(void) pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * The registry's Oid if the extension is installed in this database, else
 * InvalidOid.  A table of that name that somebody else has made is not
 * ours to read with a superuser's rights.
 */
static Oid
find_registry(void)
{
	Oid			extension = get_extension_oid("lifecycle", true);
	Oid			registry;

	if (!OidIsValid(extension))
		return InvalidOid;
	registry = RangeVarGetRelid(makeRangeVar("lifecycle", "model", -1),
								AccessShareLock, true);
	if (!OidIsValid(registry) ||
		getExtensionOfObject(RelationRelationId, registry) != extension)
		return InvalidOid;
	return registry;
}

/*
 * A job for each model of the database, in the current memory context.
 */
static List *
list_jobs(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *jobs = NIL;

	begin();
	if (OidIsValid(find_registry()))
	{
		uint64		rows;
		MemoryContext old;

		rows = query_once("SELECT name FROM lifecycle.model ORDER BY name",
						  0, NULL, NULL, NULL);
		old = MemoryContextSwitchTo(context);
		for (uint64 i = 0; i < rows; i++)
		{
			Job		   *job = palloc0(sizeof(Job));

			job->model = query_text(i, 1);
			job->due = -1;
			job->limit = BATCH;
			jobs = lappend(jobs, job);
		}
		MemoryContextSwitchTo(old);
	}
	commit();
	MemoryContextSwitchTo(context);
	return jobs;
}

/*
 * Discard what one owner's code may have left in the session: the same as
 * DISCARD ALL, as far as it matters here.
 */
static void
discard_session(void)
{
	begin();
	PortalHashTableDeleteAll();
	ResetAllOptions();
	DropAllPreparedStatements();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetTempTableNamespace();
	commit();
}

/*
 * Work as the owner of the job's model, until the session's own user is set
 * again, which must be after the commit.  *api is the schema of
 * lifecycle_tick.  False if the model is gone.
 */
static bool
become_owner(Job *job, char **api)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(job->model)};
	Oid			user;
	int			context;
	bool		isnull;

	if (!OidIsValid(find_registry()) ||
		query_once("SELECT n.nspowner, a.nspname"
				   " FROM lifecycle.model AS m"
				   " JOIN pg_catalog.pg_namespace AS n"
				   " ON n.nspname OPERATOR(pg_catalog.=) m.name,"
				   " pg_catalog.pg_extension AS e"
				   " JOIN pg_catalog.pg_namespace AS a"
				   " ON a.oid OPERATOR(pg_catalog.=) e.extnamespace"
				   " WHERE m.name OPERATOR(pg_catalog.=) $1"
				   " AND e.extname OPERATOR(pg_catalog.=) 'lifecycle'",
				   1, types, values, NULL) == 0)
		return false;
	*api = query_text(0, 2);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(DatumGetObjectId(query_value(0, 1, &isnull)),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	return true;
}

static int64
query_number(const char *sql)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (query_once(sql, 0, NULL, NULL, NULL) > 0)
		value = query_value(0, 1, &isnull);
	return isnull ? 0 : DatumGetInt64(value);
}

/*
 * Does the model's time stand still until somebody moves it on?
 */
static bool
has_own_clock(const char *schema)
{
	return query_once(psprintf("SELECT FROM %s.setting"
							   " WHERE name OPERATOR(pg_catalog.=) 'clock'"
							   " AND value OPERATOR(pg_catalog.=) 'tick'",
							   schema), 0, NULL, NULL, NULL) > 0;
}

/*
 * One batch of a model, as its owner.
 *
 * A round looks at as many contacts as are due when it begins.  A tick passes
 * by contacts that somebody has locked: if these fill most of a batch, the
 * next one is larger, so that it reaches those behind them.
 */
static void
tick_batch(Job *job, const char *api)
{
	const char *schema = quote_identifier(job->model);
	char	   *sql;
	int64		contacts;

	if (has_own_clock(schema))
	{
		job->done = true;
		return;
	}
	if (job->due < 0)
		job->due = query_number(psprintf("SELECT (SELECT pg_catalog.count(*)"
										 " FROM %1$s.contact_state"
										 " WHERE due OPERATOR(pg_catalog.<=)"
										 " pg_catalog.now())"
										 " OPERATOR(pg_catalog.+)"
										 " (SELECT pg_catalog.count(*)"
										 " FROM %1$s.deferred)", schema));
	sql = psprintf("SELECT contacts FROM %s(%s::pg_catalog.text,"
				   " pg_catalog.now(), %d)",
				   quote_qualified_identifier(api, "lifecycle_tick"),
				   quote_literal_cstr(job->model), job->limit);
	/* what an error at the commit is logged with */
	debug_query_string = MemoryContextStrdup(TopTransactionContext, sql);
	pgstat_report_activity(STATE_RUNNING, sql);
	contacts = query_number(sql);

	job->done = job->limit >= job->due || contacts >= job->due;
	job->due -= contacts;
	if (contacts < job->limit / 2 && job->limit <= INT_MAX / 2)
		job->limit *= 2;
}

/*
 * One transaction of a model.
 */
static void
run_job(Job *job)
{
	char	   *api;
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	begin();
	if (become_owner(job, &api))
		tick_batch(job, api);
	else
		job->done = true;
	commit();
	SetUserIdAndSecContext(user, context);
}

/*
 * The same, but an error of the model's is logged, and ends only this
 * model's round.  What a failed transaction leaves behind, abort cleans up:
 * no subtransaction is needed, there is no work around it to be saved.
 */
static void
try_job(Job *job)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		run_job(job);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		debug_query_string = NULL;
		pgstat_report_activity(STATE_IDLE, NULL);
		job->done = true;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/*
 * lifecycle_tick_worker: main function of a worker.
 *
 * One round: all models in turn, a batch each, until none has a contact left
 * that was due when its turn came first.
 */
void
lifecycle_tick_worker(Datum main_arg)
{
	List	   *jobs;
	ListCell   *cell;
	bool		done = false;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(main_arg),
											  InvalidOid, 0);
	MemoryContextSwitchTo(TopMemoryContext);

	/* ResetAllOptions leaves these as they are. */
	SetConfigOption("application_name", "lifecycle tick", PGC_USERSET,
					PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed",
					PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", LOCK_WAIT, PGC_USERSET, PGC_S_OVERRIDE);

	jobs = list_jobs();
	while (!done)
	{
		done = true;
		foreach(cell, jobs)
		{
			Job		   *job = lfirst(cell);

			if (job->done)
				continue;
			try_job(job);
			discard_session();
			done &= job->done;
		}
	}
	proc_exit(0);
}
