/*-------------------------------------------------------------------------
 *
 * vocabulary.h
 *	  The functions of the predicate language: names, arguments, spelling.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIFECYCLE_VOCABULARY_H
#define LIFECYCLE_VOCABULARY_H

#include "nodes/parsenodes.h"
#include "parser/parse_node.h"
#include "predicate.h"

typedef enum WordForm
{
	WORD_ATOM,					/* becomes an atom */
	WORD_VISITED,				/* becomes an ATOM_DID */
	WORD_COMPARED,				/* becomes an atom with what it is compared
								 * with */
	WORD_AT_LEAST				/* becomes plain SQL */
} WordForm;

typedef enum WordArgument
{
	ARGUMENT_NONE,
	ARGUMENT_EVENT,
	ARGUMENT_NAME,
	ARGUMENT_PATTERN,
	ARGUMENT_VALUE,
	ARGUMENT_FILTER,
	ARGUMENT_TIMES,
	ARGUMENT_WITHIN,
	ARGUMENT_ACTIVE,
	ARGUMENT_QUIET,
	ARGUMENT_PER,
	ARGUMENT_PERIODS,
	ARGUMENT_AT_LEAST,
	ARGUMENT_FIRST,
	ARGUMENT_SECOND,
	ARGUMENT_FIRST_FILTER,
	ARGUMENT_SECOND_FILTER,
	ARGUMENT_COLUMN
} WordArgument;

#define WORD_ARGUMENTS	(ARGUMENT_COLUMN + 1)

typedef struct VocabularyWord
{
	const char *name;
	WordForm	form;
	AtomKind	kind;			/* of words that become an atom */
	int			required;		/* that many arguments must be given */
	WordArgument arguments[7];	/* in order, up to ARGUMENT_NONE */
	const char *usage;			/* how to write a call */
} VocabularyWord;

/* A call whose constants have been read; filter and value are raw nodes. */
typedef struct VocabularyCall
{
	const VocabularyWord *word;
	char	   *event;			/* for did_then the first */
	char	   *second_event;
	char	   *segment;		/* or score */
	char	   *pattern;
	ColumnRef  *column;
	Node	   *value;
	Node	   *filter;			/* for did_then of the first */
	Node	   *second_filter;
	int64		times;			/* 1 if not given */
	int64		periods;
	int64		at_least;
	Interval   *within;			/* NULL if not given; see AtomSpec */
	Interval   *quiet;
	bool		beyond;
	ParseState *pstate;			/* of the text that the call stands in */
	int			location;		/* in that text */

	/* Filled in when filter and value are analysed. */
	char	   *value_text;		/* canonical texts */
	char	   *filter_text;
	char	   *second_filter_text;
	char	   *column_text;
	AtomSpec   *spec;			/* with the word's own kind, and times 1 */
} VocabularyCall;

extern const VocabularyWord *vocabulary_find(const char *name);
extern List *vocabulary_names(void);
extern VocabularyCall *vocabulary_read(ParseState *pstate,
									   const VocabularyWord *word,
									   FuncCall *call);
extern Interval *vocabulary_interval(ParseState *pstate,
									 const VocabularyWord *word,
									 const char *argument, Node *node);
extern const char *vocabulary_row(const VocabularyWord *word);
extern char *vocabulary_definition(const VocabularyCall *call, AtomKind kind,
								   int64 times);
extern bool constant_integer(Node *node, int64 *result);
extern bool constant_points(Node *node, int64 *result);

#endif							/* LIFECYCLE_VOCABULARY_H */
