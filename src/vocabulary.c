/*-------------------------------------------------------------------------
 *
 * vocabulary.c
 *	  The functions of the predicate language: names, arguments, spelling.
 *
 * A call such as did('Signed Up', times => 3) is never resolved as a
 * PostgreSQL function.  Its arguments are matched here against a table of
 * words, and those that must be constants are read from the raw parse tree,
 * so that every error can point at the argument.
 *
 * All results are allocated in the current memory context.  Nothing here
 * takes a lock.  Bad calls raise 22023.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/numeric.h"
#include "utils/varlena.h"

#include "compat.h"
#include "points.h"
#include "vocabulary.h"

/* An interval longer than this can take a clock out of range. */
#define MAX_WINDOW_YEARS 1000

/* Each period of regularly is counted for itself. */
#define MAX_PERIODS 1000

#define E_EVENT		ARGUMENT_EVENT
#define E_VALUE		ARGUMENT_VALUE
#define E_FILTER	ARGUMENT_FILTER
#define E_TIMES		ARGUMENT_TIMES
#define E_WITHIN	ARGUMENT_WITHIN

static const VocabularyWord vocabulary[] = {
	{"did", WORD_ATOM, ATOM_DID, 1, {E_EVENT, E_FILTER, E_TIMES, E_WITHIN},
	"did(event [, filter] [, times => n] [, within => interval])"},
	{"event_count", WORD_ATOM, ATOM_COUNT, 1, {E_EVENT, E_FILTER, E_WITHIN},
	"event_count(event [, filter] [, within => interval])"},
	{"event_sum", WORD_ATOM, ATOM_SUM, 2,
		{E_EVENT, E_VALUE, E_FILTER, E_WITHIN},
	"event_sum(event, value [, filter] [, within => interval])"},
	{"event_min", WORD_ATOM, ATOM_MIN, 2,
		{E_EVENT, E_VALUE, E_FILTER, E_WITHIN},
	"event_min(event, value [, filter] [, within => interval])"},
	{"event_max", WORD_ATOM, ATOM_MAX, 2,
		{E_EVENT, E_VALUE, E_FILTER, E_WITHIN},
	"event_max(event, value [, filter] [, within => interval])"},
	{"event_avg", WORD_ATOM, ATOM_AVG, 2,
		{E_EVENT, E_VALUE, E_FILTER, E_WITHIN},
	"event_avg(event, value [, filter] [, within => interval])"},
	{"event_distinct", WORD_ATOM, ATOM_DISTINCT, 2,
		{E_EVENT, E_VALUE, E_FILTER, E_WITHIN},
	"event_distinct(event, value [, filter] [, within => interval])"},
	{"event_first", WORD_ATOM, ATOM_FIRST, 1, {E_EVENT, E_FILTER},
	"event_first(event [, filter])"},
	{"event_last", WORD_ATOM, ATOM_LAST, 1, {E_EVENT, E_FILTER},
	"event_last(event [, filter])"},
	{"event_latest", WORD_ATOM, ATOM_LATEST, 2, {E_EVENT, E_VALUE, E_FILTER},
	"event_latest(event, value [, filter])"},
	{"visited", WORD_VISITED, ATOM_DID, 1,
		{ARGUMENT_PATTERN, E_TIMES, E_WITHIN},
	"visited(pattern [, times => n] [, within => interval])"},
	{"at_least", WORD_AT_LEAST, ATOM_DID, 1, {ARGUMENT_NONE},
	"at_least(k, condition, condition, ...)"},
	{"in_segment", WORD_ATOM, ATOM_IN_SEGMENT, 1, {ARGUMENT_NAME},
	"in_segment(name)"},
	{"did_first", WORD_ATOM, ATOM_DID_FIRST, 2, {E_EVENT, E_WITHIN, E_FILTER},
	"did_first(event, within [, filter])"},
	{"stopped", WORD_ATOM, ATOM_STOPPED, 3,
		{E_EVENT, ARGUMENT_ACTIVE, ARGUMENT_QUIET, E_FILTER},
	"stopped(event, active, quiet [, filter])"},
	{"restarted", WORD_ATOM, ATOM_RESTARTED, 3,
		{E_EVENT, ARGUMENT_ACTIVE, ARGUMENT_QUIET, E_FILTER},
	"restarted(event, active, quiet [, filter])"},
	{"regularly", WORD_ATOM, ATOM_REGULARLY, 5,
		{E_EVENT, E_TIMES, ARGUMENT_PER, ARGUMENT_PERIODS, ARGUMENT_AT_LEAST,
	E_FILTER},
	"regularly(event, times, per, periods, at_least [, filter])"},
	{"did_then", WORD_ATOM, ATOM_DID_THEN, 3,
		{ARGUMENT_FIRST, ARGUMENT_SECOND, E_WITHIN, ARGUMENT_FIRST_FILTER,
	ARGUMENT_SECOND_FILTER},
	"did_then(first, second, within [, first_filter] [, second_filter])"},
	{"in_last", WORD_ATOM, ATOM_IN_LAST, 2, {ARGUMENT_COLUMN, E_WITHIN},
	"in_last(column, interval)"},
	{"time_in_stage", WORD_COMPARED, ATOM_TIME_IN_STAGE, 0, {ARGUMENT_NONE},
	"time_in_stage() >= interval"},
	{"open_deals", WORD_ATOM, ATOM_OPEN_DEALS, 0, {E_FILTER},
	"open_deals([filter])"},
	{"event_times", WORD_ATOM, ATOM_TIMES, 1,
		{E_EVENT, E_FILTER, E_TIMES, E_WITHIN},
	"event_times(event [, filter] [, times => n] [, within => interval])"},
	{"score", WORD_ATOM, ATOM_SCORE, 1, {ARGUMENT_NAME}, "score(name)"},
};

/* Indexed by WordArgument. */
static const char *const argument_names[WORD_ARGUMENTS] = {
	"", "event", "name", "pattern", "value", "filter", "times", "within",
	"active", "quiet", "per", "periods", "at_least", "first", "second",
	"first_filter", "second_filter", "column"
};

static void match_arguments(ParseState *pstate, const VocabularyWord *word,
							FuncCall *call, Node **given);
static WordArgument argument_by_name(ParseState *pstate,
									 const VocabularyWord *word,
									 NamedArgExpr *argument);
static int	argument_count(const VocabularyWord *word);
static char *read_text(ParseState *pstate, const VocabularyWord *word,
					   WordArgument argument, Node *node);
static int64 read_count(ParseState *pstate, const VocabularyWord *word,
						WordArgument argument, Node *node);
static Interval *read_interval(ParseState *pstate, const VocabularyWord *word,
							   WordArgument argument, Node *node);
static ColumnRef *read_column(ParseState *pstate, const VocabularyWord *word,
							  Node *node);
static double interval_years(const Interval *interval);
static void check_quiet(ParseState *pstate, const VocabularyCall *call,
						Node *node);
static void check_periods(ParseState *pstate, const VocabularyCall *call,
						  Node **given);
static char *string_constant(Node *node);

/*
 * The word of that name, or NULL.
 */
const VocabularyWord *
vocabulary_find(const char *name)
{
	for (int i = 0; i < (int) lengthof(vocabulary); i++)
	{
		if (strcmp(vocabulary[i].name, name) == 0)
			return &vocabulary[i];
	}
	return NULL;
}

/*
 * The names of the words that can be used, for hints.
 */
List *
vocabulary_names(void)
{
	List	   *names = NIL;

	for (int i = 0; i < (int) lengthof(vocabulary); i++)
		names = lappend(names, unconstify(char *, vocabulary[i].name));
	return names;
}

/*
 * Match a call's arguments and read those that must be constants.
 */
VocabularyCall *
vocabulary_read(ParseState *pstate, const VocabularyWord *word,
				FuncCall *call)
{
	VocabularyCall *result = palloc0(sizeof(VocabularyCall));
	Node	   *given[WORD_ARGUMENTS] = {NULL};

	match_arguments(pstate, word, call, given);

	result->word = word;
	result->times = word->kind == ATOM_TIMES ? 0 : 1;
	result->pstate = pstate;
	result->location = call->location;
	result->value = given[ARGUMENT_VALUE];
	result->filter = given[ARGUMENT_FILTER];
	result->second_filter = given[ARGUMENT_SECOND_FILTER];
	if (given[ARGUMENT_FIRST_FILTER])
		result->filter = given[ARGUMENT_FIRST_FILTER];

#define READ(function, field, argument) \
	if (given[argument]) \
		result->field = function(pstate, word, argument, given[argument])

	READ(read_text, event, ARGUMENT_EVENT);
	READ(read_text, event, ARGUMENT_FIRST);
	READ(read_text, second_event, ARGUMENT_SECOND);
	READ(read_text, segment, ARGUMENT_NAME);
	READ(read_text, pattern, ARGUMENT_PATTERN);
	READ(read_count, times, ARGUMENT_TIMES);
	READ(read_count, periods, ARGUMENT_PERIODS);
	READ(read_count, at_least, ARGUMENT_AT_LEAST);
	READ(read_interval, within, ARGUMENT_WITHIN);
	READ(read_interval, within, ARGUMENT_ACTIVE);
	READ(read_interval, within, ARGUMENT_PER);
	READ(read_interval, quiet, ARGUMENT_QUIET);
#undef READ
	if (given[ARGUMENT_COLUMN])
		result->column = read_column(pstate, word, given[ARGUMENT_COLUMN]);
	if (result->quiet)
		check_quiet(pstate, result, given[ARGUMENT_QUIET]);
	if (result->periods)
		check_periods(pstate, result, given);

	return result;
}

/*
 * Put each argument where it belongs: positional ones in order, then named
 * ones.
 */
static void
match_arguments(ParseState *pstate, const VocabularyWord *word,
				FuncCall *call, Node **given)
{
	int			positional = 0;
	bool		named = false;
	ListCell   *lc;

	foreach(lc, call->args)
	{
		Node	   *node = (Node *) lfirst(lc);
		WordArgument argument;

		if (IsA(node, NamedArgExpr))
		{
			argument = argument_by_name(pstate, word, (NamedArgExpr *) node);
			named = true;
		}
		else if (named)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument without a name after one with a name"),
					 errhint("Write %s.", word->usage),
					 parser_errposition(pstate, exprLocation(node))));
		else if (positional >= argument_count(word))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("too many arguments for %s", word->name),
					 errhint("Write %s.", word->usage),
					 parser_errposition(pstate, exprLocation(node))));
		else
			argument = word->arguments[positional++];

		if (given[argument])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" of %s is given more than once",
							argument_names[argument], word->name),
					 parser_errposition(pstate, exprLocation(node))));
		given[argument] = node;
		if (IsA(node, NamedArgExpr))
			given[argument] = (Node *) ((NamedArgExpr *) node)->arg;
	}

	for (int i = 0; i < word->required; i++)
	{
		if (given[word->arguments[i]] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" of %s is missing",
							argument_names[word->arguments[i]], word->name),
					 errhint("Write %s.", word->usage),
					 parser_errposition(pstate, call->location)));
	}
}

static WordArgument
argument_by_name(ParseState *pstate, const VocabularyWord *word,
				 NamedArgExpr *argument)
{
	List	   *names = NIL;
	const char *nearest;

	for (int i = 0; i < argument_count(word); i++)
	{
		const char *name = argument_names[word->arguments[i]];

		if (strcmp(name, argument->name) == 0)
			return word->arguments[i];
		names = lappend(names, unconstify(char *, name));
	}

	nearest = nearest_name(argument->name, names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s has no argument \"%s\"", word->name, argument->name),
			 errdetail("The form is %s.", word->usage),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) : 0,
			 parser_errposition(pstate, argument->location)));
	return ARGUMENT_NONE;		/* keep compiler quiet */
}

static int
argument_count(const VocabularyWord *word)
{
	int			count = 0;

	while (count < (int) lengthof(word->arguments) &&
		   word->arguments[count] != ARGUMENT_NONE)
		count++;
	return count;
}

static char *
read_text(ParseState *pstate, const VocabularyWord *word,
		  WordArgument argument, Node *node)
{
	char	   *result = string_constant(node);

	/* 'x'::text is what a constant looks like once it has been deparsed */
	if (result == NULL && IsA(node, TypeCast))
	{
		TypeCast   *cast = (TypeCast *) node;
		Oid			type;
		int32		typmod;

		typenameTypeIdAndMod(pstate, cast->typeName, &type, &typmod);
		if (type == TEXTOID)
			result = string_constant(cast->arg);
	}

	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be a text constant",
						argument_names[argument], word->name),
				 IsA(node, ColumnRef) ?
				 errhint("Write it in single quotes.") : 0,
				 parser_errposition(pstate, exprLocation(node))));
	return result;
}

static int64
read_count(ParseState *pstate, const VocabularyWord *word,
		   WordArgument argument, Node *node)
{
	int64		result;

	if (!constant_integer(node, &result) || result < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be a positive integer constant",
						argument_names[argument], word->name),
				 parser_errposition(pstate, exprLocation(node))));
	return result;
}

/*
 * A bare column; which columns there are is left to the analysis.
 */
static ColumnRef *
read_column(ParseState *pstate, const VocabularyWord *word, Node *node)
{
	if (!IsA(node, ColumnRef))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be a column",
						argument_names[ARGUMENT_COLUMN], word->name),
				 parser_errposition(pstate, exprLocation(node))));
	return (ColumnRef *) node;
}

/*
 * How long an interval is, about.
 */
static double
interval_years(const Interval *interval)
{
	return interval->month / 12.0 + interval->day / 365.25 +
		interval->time / (365.25 * USECS_PER_DAY);
}

/*
 * stopped and restarted look at what lies between the two.
 */
static void
check_quiet(ParseState *pstate, const VocabularyCall *call, Node *node)
{
	if (DatumGetBool(DirectFunctionCall2(interval_ge,
										 IntervalPGetDatum(call->quiet),
										 IntervalPGetDatum(call->within))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be shorter than \"%s\"",
						argument_names[ARGUMENT_QUIET], call->word->name,
						argument_names[ARGUMENT_ACTIVE]),
				 parser_errposition(pstate, exprLocation(node))));
}

static void
check_periods(ParseState *pstate, const VocabularyCall *call, Node **given)
{
	const char *name = call->word->name;

	if (call->periods > MAX_PERIODS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be at most %d",
						argument_names[ARGUMENT_PERIODS], name, MAX_PERIODS),
				 parser_errposition(pstate,
									exprLocation(given[ARGUMENT_PERIODS]))));
	if (call->at_least > call->periods)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of %s must be at most its number of periods, " INT64_FORMAT,
						argument_names[ARGUMENT_AT_LEAST], name,
						call->periods),
				 parser_errposition(pstate,
									exprLocation(given[ARGUMENT_AT_LEAST]))));
	if (interval_years(call->within) * call->periods > MAX_WINDOW_YEARS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("all periods of %s together must be at most %d years",
						name, MAX_WINDOW_YEARS),
				 parser_errposition(pstate,
									exprLocation(given[ARGUMENT_PER]))));
}

static Interval *
read_interval(ParseState *pstate, const VocabularyWord *word,
			  WordArgument argument, Node *node)
{
	return vocabulary_interval(pstate, word, argument_names[argument], node);
}

/*
 * A window's length: '7 days', '7 days'::interval, interval '7 days' or
 * interval '7' day.  The argument is NULL for what a word is compared with.
 */
Interval *
vocabulary_interval(ParseState *pstate, const VocabularyWord *word,
					const char *argument, Node *node)
{
	const char *what = argument ?
		psprintf("argument \"%s\" of %s", argument, word->name) :
		psprintf("what %s() is compared with", word->name);
	char	   *text = string_constant(node);
	int32		typmod = -1;
	ParseCallbackState position;
	Interval   *result;

	if (text == NULL && IsA(node, TypeCast))
	{
		TypeCast   *cast = (TypeCast *) node;
		Oid			type;

		typenameTypeIdAndMod(pstate, cast->typeName, &type, &typmod);
		if (type == INTERVALOID)
			text = string_constant(cast->arg);
	}
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be an interval constant", what),
				 argument ?
				 errhint("Write for example %s => '7 days'.", argument) :
				 errhint("Write for example %s() >= '7 days'.", word->name),
				 parser_errposition(pstate, exprLocation(node))));

	setup_parser_errposition_callback(&position, pstate, exprLocation(node));
	result = DatumGetIntervalP(DirectFunctionCall3(interval_in,
												   CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(typmod)));
	cancel_parser_errposition_callback(&position);

	/*
	 * A window with parts of both signs, such as '1 month -29 days', would be
	 * empty in some months.
	 */
	if (INTERVAL_NOT_FINITE(result) ||
		result->month < 0 || result->day < 0 || result->time < 0 ||
		(result->month == 0 && result->day == 0 && result->time == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a positive interval", what),
				 result->month < 0 || result->day < 0 || result->time < 0 ?
				 errdetail("No part of it may be negative.") : 0,
				 parser_errposition(pstate, exprLocation(node))));
	if (interval_years(result) > MAX_WINDOW_YEARS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at most %d years", what,
						MAX_WINDOW_YEARS),
				 parser_errposition(pstate, exprLocation(node))));
	return result;
}

static char *
string_constant(Node *node)
{
	A_Const    *constant = (A_Const *) node;

	if (!IsA(node, A_Const) || constant->isnull ||
		!IsA(&constant->val, String))
		return NULL;
	return constant->val.sval.sval;
}

/*
 * Is the node a whole number that fits?  The scanner gives those beyond int4
 * as Float.
 */
bool
constant_integer(Node *node, int64 *result)
{
	A_Const    *constant = (A_Const *) node;
	const char *digits;
	char	   *end;

	if (node == NULL || !IsA(node, A_Const) || constant->isnull)
		return false;
	if (IsA(&constant->val, Integer))
	{
		*result = constant->val.ival.ival;
		return true;
	}
	if (!IsA(&constant->val, Float))
		return false;

	digits = constant->val.fval.fval;
	errno = 0;
	*result = strtoi64(digits, &end, 10);
	return errno == 0 && end != digits && *end == '\0';
}

/*
 * constant_points: is the node a number that has at most nine decimals and
 * fits?  Then it is given in billionths.
 */
bool
constant_points(Node *node, int64 *result)
{
	A_Const    *constant = (A_Const *) node;
	Datum		number;
	char	   *text;
	char	   *end;

	if (constant_integer(node, result))
		return !pg_mul_s64_overflow(*result, POINTS_ONE, result);
	if (node == NULL || !IsA(node, A_Const) || constant->isnull ||
		!IsA(&constant->val, Float))
		return false;
	number = DirectFunctionCall3(numeric_in,
								 CStringGetDatum(constant->val.fval.fval),
								 ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(-1));
	number = DirectFunctionCall2(numeric_mul, number,
								 NumericGetDatum(int64_to_numeric(POINTS_ONE)));
	number = DirectFunctionCall1(numeric_trim_scale, number);
	text = DatumGetCString(DirectFunctionCall1(numeric_out, number));
	errno = 0;
	*result = strtoi64(text, &end, 10);
	return errno == 0 && end != text && *end == '\0';
}

/*
 * vocabulary_row: whose columns a word's filter and value look at.
 */
const char *
vocabulary_row(const VocabularyWord *word)
{
	return word->kind == ATOM_OPEN_DEALS ? "deal" : "event";
}

static void
add_interval(StringInfo buf, const char *name, const Interval *interval)
{
	appendStringInfo(buf, "%s'%s'::interval", name,
					 DatumGetCString(DirectFunctionCall1(interval_out,
														 IntervalPGetDatum(interval))));
}

/*
 * The arguments of an atom's canonical text.
 */
static void
add_arguments(StringInfo buf, const VocabularyCall *call, AtomKind kind,
			  int64 times)
{
	bool		then = kind == ATOM_DID_THEN;
	bool		pause = kind == ATOM_STOPPED || kind == ATOM_RESTARTED;
	bool		periods = kind == ATOM_REGULARLY;
	bool		named = kind == ATOM_IN_SEGMENT || kind == ATOM_SCORE ||
		kind == ATOM_SCORE_REACHES;

	if (call->column_text)
		appendStringInfoString(buf, call->column_text);
	else if (kind != ATOM_OPEN_DEALS)
		appendStringInfoString(buf,
							   quote_literal_cstr(named ? call->segment :
												  call->event));
	if (then)
		appendStringInfo(buf, ", %s", quote_literal_cstr(call->second_event));
	if (call->value_text)
		appendStringInfo(buf, ", %s", call->value_text);
	if (call->filter_text)
		appendStringInfo(buf, "%s%sfilter => %s",
						 kind == ATOM_OPEN_DEALS ? "" : ", ",
						 then ? "first_" : "", call->filter_text);
	if (call->second_filter_text)
		appendStringInfo(buf, ", second_filter => %s",
						 call->second_filter_text);
	if (periods || (kind == ATOM_DID && times != 1) ||
		(kind == ATOM_TIMES && times != 0))
		appendStringInfo(buf, ", times => " INT64_FORMAT, times);
	if (call->within)
		add_interval(buf, pause ? ", active => " : periods ? ", per => " :
					 ", within => ", call->within);
	if (call->quiet)
		add_interval(buf, ", quiet => ", call->quiet);
	if (periods)
		appendStringInfo(buf, ", periods => " INT64_FORMAT
						 ", at_least => " INT64_FORMAT, call->periods,
						 call->at_least);
}

/*
 * What a score is compared with: billionths of a point.  The next billionth
 * after a round number is what is beyond that number.
 */
static void
add_bound(StringInfo buf, int64 bound)
{
	bool		beyond = bound % 1000 == 1 || bound % 1000 == -999;
	Numeric		number = int64_div_fast_to_numeric(bound - (beyond ? 1 : 0),
												   POINTS_DIGITS);
	Datum		shortest = DirectFunctionCall1(numeric_trim_scale,
											   NumericGetDatum(number));

	appendStringInfo(buf, " %s %s", beyond ? ">" : ">=",
					 DatumGetCString(DirectFunctionCall1(numeric_out,
														 shortest)));
}

/*
 * Canonical text of the atom that a call stands for.  The settings that the
 * compiler pins decide how intervals are written.
 */
char *
vocabulary_definition(const VocabularyCall *call, AtomKind kind, int64 times)
{
	StringInfoData buf;
	const char *name = NULL;
	AtomKind	word = kind == ATOM_SCORE_REACHES ? ATOM_SCORE : kind;

	for (int i = 0; i < (int) lengthof(vocabulary) && name == NULL; i++)
	{
		if ((vocabulary[i].form == WORD_ATOM ||
			 vocabulary[i].form == WORD_COMPARED) &&
			vocabulary[i].kind == word)
			name = vocabulary[i].name;
	}

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s(", name);
	if (kind == ATOM_TIME_IN_STAGE)
		add_interval(&buf, call->beyond ? ") > " : ") >= ", call->within);
	else
	{
		add_arguments(&buf, call, kind, times);
		appendStringInfoChar(&buf, ')');
	}
	if (kind == ATOM_SCORE_REACHES)
		add_bound(&buf, times);
	return buf.data;
}

/*
 * Nearest of the given names (C strings) to a misspelt one, or NULL if none
 * is near.  Upper and lower case count as equal; names over 255 bytes are
 * not compared.
 */
const char *
nearest_name(const char *wrong, List *names)
{
	char	   *source = str_tolower(wrong, strlen(wrong),
									 DEFAULT_COLLATION_OID);
	int			length = strlen(source);
	int			best = Min(3, pg_mbstrlen(wrong) / 2);
	const char *result = NULL;
	ListCell   *lc;

	foreach(lc, names)
	{
		const char *name = (const char *) lfirst(lc);
		char	   *target = str_tolower(name, strlen(name),
										 DEFAULT_COLLATION_OID);
		int			distance;

		if (strcmp(source, target) == 0)
			return name;
		if (length > 255 || strlen(target) > 255)
			continue;
		distance = varstr_levenshtein_less_equal(source, length,
												 target, strlen(target),
												 1, 1, 1, best, true);
		if (distance < best || (distance == best && result == NULL))
		{
			best = distance;
			result = name;
		}
	}
	return result;
}
