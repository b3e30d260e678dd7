# lifecycle: build, installation and tests.
#
#   make, make install      build and install, for the PostgreSQL of pg_config
#                           (another one: make PG_CONFIG=/path/to/pg_config)
#   make demo               the main job on real data, in a throw-away cluster
#   make test               every test, in throw-away clusters
#   make soak               100,000 random statements against the oracle
#                           (SEED=1 OPERATIONS=100000 SIZE=80 JOBS=2)
#   make mutants            break the engine in small ways: a test must find each
#                           (MUTANTS="name name" for some of them; test/mutants)
#   make bench              every figure about speed, into bench/results
#   make installcheck       regression and isolation tests, on your own server
#   make STRICT=1 objects   compile only, every warning an error
#
# demo, test, soak, mutants and bench need no PostgreSQL on the machine: they install the Debian
# packages that they miss.  So this file must be readable without pg_config.

EXTENSION = lifecycle
EXTVERSION = 0.1.0
MODULE_big = lifecycle
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
PGFILEDESC = "lifecycle - lifecycle stages, segments and deals"

# The install script, in the order in which its objects depend on each other.
SQL_PARTS = schema registry engine identity model attach template stage task \
	segment rule lead score views views_stage views_flow views_segment views_deal \
	views_timeline forecast breakdown access status counter verify replay outbox \
	draw chart vega report
SQL_FILES = $(SQL_PARTS:%=src/sql/%.sql)

DATA = $(wildcard lifecycle--*--*.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

# What make installcheck runs.
REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --encoding=UTF8 --no-locale
ISOLATION = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --load-extension=lifecycle \
	--encoding=UTF8 --no-locale

# The server's headers are not clean under -Wextra: -isystem keeps their own
# warnings out.  Callbacks and PG_FUNCTION_ARGS have parameters that a function
# need not use, and {0} initializes all of a struct.  clang does not know all of
# the flags that PostgreSQL was built with.
ifdef STRICT
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-missing-field-initializers
ifneq (,$(findstring clang,$(CC)))
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Qunused-arguments
endif
endif

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

all:

demo test:
	@PG_CONFIG='$(if $(filter-out undefined default file,$(origin PG_CONFIG)),$(PG_CONFIG))' \
		test/run $@

soak:
	@PG_CONFIG='$(if $(filter-out undefined default file,$(origin PG_CONFIG)),$(PG_CONFIG))' \
		SEED='$(SEED)' OPERATIONS='$(OPERATIONS)' SIZE='$(SIZE)' test/run soak

mutants:
	@PG_CONFIG='$(if $(filter-out undefined default file,$(origin PG_CONFIG)),$(PG_CONFIG))' \
		MUTANTS='$(MUTANTS)' test/run mutants

# The report comes by file descriptor 3.
bench:
	@report=$$(mktemp) && \
	PG_CONFIG='$(if $(filter-out undefined default file,$(origin PG_CONFIG)),$(PG_CONFIG))' \
	COMMIT="$$(git describe --always --dirty 2>/dev/null)" test/run bench 3>"$$report" && \
	mkdir -p bench/results && cat "$$report" >bench/results/$$(date -u +%F).md && \
	cat "$$report" && rm "$$report"

.PHONY: all demo test soak mutants bench objects

ifneq (,$(wildcard $(PGXS)))

include $(PGXS)

# The databases that test/run uses too: error messages name them.
CONTRIB_TESTDB = lifecycle_regress
ISOLATION_TESTDB = lifecycle_isolation

objects: $(OBJS)

$(OBJS): $(wildcard src/*.h)

$(DATA_built): $(SQL_FILES) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; \
	  for part in $(SQL_FILES); do echo; cat "$$part"; done; } > $@.new
	mv $@.new $@

else

all objects install installcheck uninstall clean:
	@echo "$(PG_CONFIG) finds no PostgreSQL to build against." >&2
	@echo "Install postgresql-server-dev-15 (or -16, -17, -18), or name one:" >&2
	@echo "  make PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config" >&2
	@exit 1

endif
