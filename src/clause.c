/*-------------------------------------------------------------------------
 *
 * clause.c
 *	  The clauses that a predicate is put together of.
 *
 * lifecycle_why shows a predicate in the words of who wrote it, so clauses
 * are pieces of the text, not of the planned tree, where constants are
 * folded and NOT has been pushed down.  PostgreSQL's scanner finds the words;
 * only four of them are looked at: OR, AND, NOT and at_least(k, ...), outside
 * of all brackets and of CASE, and an AND that belongs to BETWEEN is none.
 * Every other text is one clause.  Whatever these four are the outermost of
 * is, by the grammar of SQL, a complete expression of its own, and each
 * clause is evaluated as such: nothing is concluded from the division.
 *
 * The scanner is told numbers of our own for the keywords, because those of
 * the grammar are not in an installed header of every version.
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "common/keywords.h"
#include "miscadmin.h"
#include "parser/scanner.h"
#include "parser/scansup.h"

#include "clause.h"

/* Beyond all tokens of the grammar. */
#define FIRST_KEYWORD 20000

typedef struct Token
{
	int			kind;			/* a character, or what the scanner says */
	const char *keyword;		/* or NULL */
	int			start;			/* offsets into the text */
	int			end;
} Token;

typedef struct Splitter
{
	const char *text;
	Token	   *tokens;
	int			count;
	List	   *clauses;		/* of Clause *, each before its parts */
} Splitter;

static void split(Splitter *splitter, int from, int to, int level);

/*
 * The words of the text.  A token ends before the white space that follows.
 */
static void
scan(Splitter *splitter)
{
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	uint16	   *numbers = palloc(ScanKeywords.num_keywords * sizeof(uint16));
	int			allocated = 16;

	for (int i = 0; i < ScanKeywords.num_keywords; i++)
		numbers[i] = FIRST_KEYWORD + i;
	scanner = scanner_init(splitter->text, &extra, &ScanKeywords, numbers);
	splitter->tokens = palloc(allocated * sizeof(Token));
	for (;;)
	{
		core_YYSTYPE value;
		YYLTYPE		location = 0;
		Token	   *token;

		if (splitter->count == allocated)
		{
			allocated *= 2;
			splitter->tokens = repalloc(splitter->tokens,
										allocated * sizeof(Token));
		}
		token = &splitter->tokens[splitter->count];
		token->kind = core_yylex(&value, &location, scanner);
		token->keyword = token->kind >= FIRST_KEYWORD ? value.keyword : NULL;
		token->start = token->kind == 0 ? (int) strlen(splitter->text) :
			location;
		if (splitter->count > 0)
		{
			int			end = token->start;

			while (end > 0 && scanner_isspace(splitter->text[end - 1]))
				end--;
			token[-1].end = end;
		}
		if (token->kind == 0)
			break;
		splitter->count++;
	}
	scanner_finish(scanner);
}

static bool
is_keyword(const Splitter *splitter, int token, const char *word)
{
	const char *keyword = splitter->tokens[token].keyword;

	return keyword != NULL && strcmp(keyword, word) == 0;
}

/*
 * How much deeper in brackets, or in a CASE, are we after this token?
 */
static int
depth_change(const Splitter *splitter, int token)
{
	int			kind = splitter->tokens[token].kind;

	if (kind == '(' || kind == '[' || is_keyword(splitter, token, "case"))
		return 1;
	if (kind == ')' || kind == ']' || is_keyword(splitter, token, "end"))
		return -1;
	return 0;
}

/*
 * The next token, from `at` on, that is this keyword, or this character if
 * `word` is NULL, outside of brackets; `to` if there is none.
 */
static int
find(const Splitter *splitter, int at, int to, const char *word, int kind)
{
	int			depth = 0;
	bool		between = false;

	for (; at < to; at++)
	{
		depth += depth_change(splitter, at);
		if (depth != 0)
			continue;
		if (is_keyword(splitter, at, "between"))
			between = true;
		else if (between && is_keyword(splitter, at, "and"))
			between = false;
		else if (word != NULL ? is_keyword(splitter, at, word) :
				 splitter->tokens[at].kind == kind)
			return at;
	}
	return to;
}

/*
 * Does the bracket at `from` close at the last token before `to`?
 */
static bool
is_bracketed(const Splitter *splitter, int from, int to)
{
	int			depth = 0;

	if (to - from < 2 || splitter->tokens[from].kind != '(')
		return false;
	for (int i = from; i < to; i++)
	{
		depth += depth_change(splitter, i);
		if (depth == 0)
			return i == to - 1;
	}
	return false;
}

static bool
is_at_least(const Splitter *splitter, int from, int to)
{
	static const char word[] = "at_least";
	const Token *token = &splitter->tokens[from];

	return token->end - token->start == sizeof(word) - 1 &&
		pg_strncasecmp(splitter->text + token->start, word,
					   sizeof(word) - 1) == 0 &&
		is_bracketed(splitter, from + 1, to);
}

/*
 * Split at each occurrence of a keyword or character.
 */
static void
split_at(Splitter *splitter, int from, int to, int level, const char *word,
		 int kind)
{
	while (from < to)
	{
		int			at = find(splitter, from, to, word, kind);

		split(splitter, from, at, level);
		from = at + 1;
	}
}

/*
 * Add the clause of these tokens, and those that it consists of.
 */
static void
split(Splitter *splitter, int from, int to, int level)
{
	Clause	   *clause = palloc0(sizeof(Clause));
	int			first;

	check_stack_depth();
	while (is_bracketed(splitter, from, to))
	{
		from++;
		to--;
	}
	if (from >= to)
		return;
	first = splitter->tokens[from].start;
	clause->level = level;
	clause->text = pnstrdup(splitter->text + first,
							splitter->tokens[to - 1].end - first);
	splitter->clauses = lappend(splitter->clauses, clause);

	if (find(splitter, from, to, "or", 0) < to)
		split_at(splitter, from, to, level + 1, "or", 0);
	else if (find(splitter, from, to, "and", 0) < to)
		split_at(splitter, from, to, level + 1, "and", 0);
	else if (is_keyword(splitter, from, "not"))
		split(splitter, from + 1, to, level + 1);
	else if (is_at_least(splitter, from, to))
		split_at(splitter,
				 find(splitter, from + 2, to - 1, NULL, ',') + 1, to - 1,
				 level + 1, NULL, ',');
	else
		clause->whole = true;
}

/*
 * clause_split: the clauses of a text that the predicate compiler accepts,
 * each before its parts; a list of Clause in the current context.
 *
 * Locks nothing.
 */
List *
clause_split(const char *text)
{
	Splitter	splitter = {.text = text};

	scan(&splitter);
	split(&splitter, 0, splitter.count, 0);
	return splitter.clauses;
}
