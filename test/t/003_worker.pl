# Time passes by itself: by the background workers if the library is preloaded,
# by pg_cron otherwise.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Session;

# -- pg_cron, in a cluster of its own without preloaded lifecycle; it starts jobs
# at full minutes, so the result is looked at in the end

my $cron = PostgreSQL::Test::Cluster->new('cron');
$cron->init;
$cron->start;
my $has_cron = $cron->safe_psql('postgres',
    "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'") eq '1';
$cron->append_conf('postgresql.conf', <<'CONF') if $has_cron;
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
CONF
$cron->restart if $has_cron;

my $crm = <<'SQL';
SET ROLE seller;
SELECT lifecycle_create('crm');
SELECT lifecycle_add_segment('crm', 'Active', $$ did('Login', within => '1 second') $$);
INSERT INTO crm.contacts (email) VALUES ('aino@example.com');
INSERT INTO crm.events (contact_id, name) VALUES (1, 'Login');
SQL
my $left = "SELECT string_agg(change || ' by ' || cause, ', ' ORDER BY id) FROM crm.segment_history";

$cron->safe_psql('postgres', <<SQL);
CREATE EXTENSION lifecycle;
CREATE ROLE seller LOGIN;
GRANT CREATE ON DATABASE postgres TO seller;
$crm
SQL
is($cron->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'lifecycle%'"),
    '0', 'without preloading nothing runs');
$cron->safe_psql('postgres', <<'SQL') if $has_cron;
CREATE EXTENSION pg_cron;
GRANT USAGE ON SCHEMA cron TO seller;
SET ROLE seller;
SELECT cron.schedule('lifecycle crm', '* * * * *', $$ SELECT lifecycle_tick('crm') $$);
SQL

# -- the background workers

my $node = PostgreSQL::Test::Cluster->new('worker');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
shared_preload_libraries = 'lifecycle'
lifecycle.tick_interval = '1s'
max_worker_processes = 12
CONF
$node->start;

sub poll
{
    my ($query, $what, $expected, $database) = @_;
    ok($node->poll_query_until($database // 'shop', $query, $expected // 't'), $what);
    return;
}

# Sets settings and has them read; the last line of a name counts.
sub configure
{
    my (%settings) = @_;
    $node->append_conf('postgresql.conf', "$_ = $settings{$_}\n") foreach keys %settings;
    $node->reload;
    return;
}

# Several rounds later, by the clock.
sub ticks_on
{
    my ($model, $what) = @_;
    my $now = $node->safe_psql('shop', 'SELECT clock_timestamp()');
    poll("SELECT coalesce(last_tick > timestamptz '$now' + interval '1 second', false) FROM $model.clock", $what);
    return;
}

sub stands_still
{
    my ($what) = @_;
    poll("SELECT clock_timestamp() - last_tick > interval '4 seconds' FROM crm.clock", $what);
    return;
}

poll("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'lifecycle launcher' AND datid IS NULL",
    'a launcher runs, and is connected to no database', '1', 'postgres');

$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE shop;
CREATE DATABASE empty;
CREATE ROLE seller;
CREATE ROLE keeper;
GRANT CREATE ON DATABASE shop TO seller, keeper;
SQL
$node->safe_psql('shop', "CREATE EXTENSION lifecycle;\n$crm");
poll($left, 'a membership ends by itself', 'entered by event, left by tick');

# What a tick sets off runs as the owner of the model, deferred or not, and what
# it does to the session does not reach another owner's model.
my $witness = <<'SQL';
SET ROLE %2$s;
SELECT lifecycle_create('%1$s');
SELECT lifecycle_add_segment('%1$s', 'Active', $$ did('Login', within => '1 second') $$);
SELECT lifecycle_add_rule('%1$s', 'Quiet', 'segment left', 'set field',
    '{"column": "first_name", "value": "''quiet''"}', of => 'Active');
CREATE TABLE %1$s.witness (moment text, who name, role text, session text, found text);
CREATE FUNCTION %1$s.bear_witness() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    role text := 'changed';
    session text := 'changed';
BEGIN
    IF new.first_name IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        SET ROLE NONE;
    EXCEPTION WHEN insufficient_privilege THEN
        role := 'refused';
    END;
    BEGIN
        EXECUTE format('SET SESSION AUTHORIZATION %%I', session_user);
    EXCEPTION WHEN insufficient_privilege THEN
        session := 'refused';
    END;
    INSERT INTO %1$s.witness VALUES (tg_argv[0], current_user, role, session, current_setting('witness.%3$s', true));
    PERFORM set_config('witness.%2$s', 'left behind', false);
    RETURN NULL;
END
$$;
CREATE TRIGGER at_once AFTER UPDATE ON %1$s.contacts
    FOR EACH ROW EXECUTE FUNCTION %1$s.bear_witness('at once');
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON %1$s.contacts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION %1$s.bear_witness('deferred');
INSERT INTO %1$s.contacts (email) VALUES ('aino@example.com');
RESET ROLE;
SQL
$node->safe_psql('shop', sprintf($witness, 'sales', 'seller', 'keeper') . sprintf($witness, 'zoo', 'keeper', 'seller'));
$node->safe_psql('shop', <<'SQL');
BEGIN;
INSERT INTO sales.events (contact_id, name) VALUES (1, 'Login');
INSERT INTO zoo.events (contact_id, name) VALUES (1, 'Login');
COMMIT;
SQL
my @models = ([ 'sales', 'seller' ], [ 'zoo', 'keeper' ]);
foreach (@models)
{
    my ($model, $owner) = @$_;
    poll("SELECT string_agg(concat_ws(' ', moment, who, role, session, nullif(found, '')), ', ' ORDER BY moment) FROM $model.witness",
        "triggers of $model run as $owner and stay it",
        "at once $owner refused refused, deferred $owner refused refused");
}

# -- seen at work: held up by a lock, which does not hold up other models

my $log = -s $node->logfile;
my $holder = Session->new($node, 'shop');
$holder->run('BEGIN; LOCK TABLE sales.contacts, sales.events;');
poll(<<'SQL', 'pg_stat_activity shows a worker, with its query');
SELECT count(*) > 0 FROM pg_stat_activity
WHERE backend_type = 'lifecycle tick' AND application_name = 'lifecycle tick'
    AND datname = 'shop' AND state = 'active'
    AND query LIKE 'SELECT contacts FROM public.lifecycle_tick(''sales''%'
SQL
ticks_on('zoo', 'the model after one that is locked is ticked');
ok($node->log_contains('canceling statement due to lock timeout', $log), 'the lock is not waited for for ever');
$holder->run('ROLLBACK;');
$holder->quit;
ticks_on('sales', 'and when it is free it is ticked again');

# -- an error in one model

$log = -s $node->logfile;
$node->safe_psql('shop', "SELECT lifecycle_create('broken')");
ticks_on('broken', 'a new model is found');
$node->safe_psql('shop', 'ALTER TABLE broken.contact_state RENAME TO elsewhere');
$node->wait_for_log(qr/ERROR: .*broken\.contact_state.* does not exist/, $log);
ticks_on('sales', 'an error in one model does not stop the next');
ticks_on('crm', 'nor the worker');
$node->safe_psql('shop', 'ALTER TABLE broken.elsewhere RENAME TO contact_state');
ticks_on('broken', 'the model goes on when it is mended');

# an error at the commit
$node->safe_psql('shop', <<'SQL');
CREATE FUNCTION broken.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no commit'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON broken.clock DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION broken.refuse();
SQL
$node->wait_for_log(qr/ERROR: .*no commit.*STATEMENT: .*lifecycle_tick\('broken'/s, $log);
ticks_on('crm', 'an error at the commit does not stop the others either');
$node->safe_psql('shop', "SELECT lifecycle_drop('broken', true)");

# -- a model whose time somebody else moves on

$node->safe_psql('shop', <<'SQL');
SELECT lifecycle_create('replay');
SELECT lifecycle_set('replay', 'clock', 'tick');
SELECT lifecycle_tick('replay', '2020-01-01');
SQL
ticks_on('zoo', 'rounds go by');
is($node->safe_psql('shop', "SELECT last_tick = '2020-01-01' FROM replay.clock"),
    't', 'a model with a clock of its own is left alone');

# -- switched off and on; meanwhile more contacts than a batch have become due,
# and those that are due the longest are locked by somebody else

configure('lifecycle.worker' => 'off');
stands_still('switched off, nothing is ticked');
$node->safe_psql('shop', <<'SQL');
INSERT INTO crm.contacts (email) SELECT n || '@example.com' FROM generate_series(2, 5000) n;
INSERT INTO crm.events (contact_id, name, occurred_at)
SELECT n, 'Login', now() - interval '100 ms' * (n <= 3000)::int FROM generate_series(1, 5000) n;
SQL
$holder = Session->new($node, 'shop');
$holder->run('BEGIN; SELECT FROM crm.contacts WHERE id <= 3000 FOR UPDATE;');
configure('lifecycle.worker' => 'on');
poll('SELECT count(*), min(contact) FROM crm.segment_member', 'switched on, those behind locked contacts are reached', '3000|1');
$holder->run('ROLLBACK;');
$holder->quit;
poll('SELECT count(*) FROM crm.segment_member', 'and the locked ones when they are free', '0');

# -- some databases only

configure('lifecycle.databases' => "'postgres, \"Shop\"'");
stands_still('databases that are not named are left alone');
configure('lifecycle.databases' => "'postgres, Shop'");
ticks_on('crm', 'named ones are ticked');
configure('lifecycle.databases' => "''");
my ($status, undef, $err) = $node->psql('shop', "ALTER SYSTEM SET lifecycle.databases = 'a,,b'");
like($err, qr/invalid value for parameter "lifecycle\.databases".*List syntax is invalid/s, 'a malformed list is refused');

# -- the launcher ended by hand

my $launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'lifecycle launcher'";
my $pid = $node->safe_psql('shop', $launcher);
$node->safe_psql('shop', "SELECT pg_terminate_backend($pid)");
poll("SELECT count(*) FROM ($launcher) l WHERE pid <> $pid", 'a launcher that was terminated comes back', '1');
ticks_on('crm', 'and goes on');

# -- DROP EXTENSION and CREATE EXTENSION

$log = -s $node->logfile;
$node->safe_psql('shop', 'DROP EXTENSION lifecycle CASCADE');
stands_still('without the extension nothing is ticked');
ok(!$node->log_contains('ERROR|FATAL|PANIC', $log), 'and nothing is complained of');

# somebody else's table of the registry's name
$node->safe_psql('shop', <<'SQL');
SET ROLE keeper;
CREATE TABLE zoo.trap (who name);
CREATE SCHEMA lifecycle;
CREATE FUNCTION zoo.spring() RETURNS text LANGUAGE sql AS $$ INSERT INTO zoo.trap VALUES (current_user) RETURNING 'zoo' $$;
CREATE VIEW lifecycle.model AS SELECT zoo.spring() AS name;
SQL
poll("SELECT clock_timestamp() - last_tick > interval '8 seconds' FROM crm.clock", 'rounds go by');
is($node->safe_psql('shop', 'SELECT count(*) FROM zoo.trap'), '0', 'a table of that name is not taken for the registry');
$node->safe_psql('shop', 'DROP SCHEMA lifecycle CASCADE');

$node->safe_psql('shop', "CREATE EXTENSION lifecycle; SELECT lifecycle_create('again');");
ticks_on('again', 'with the extension back, its models are ticked');

# -- DROP DATABASE, in the midst of a round that would last longer than DROP
# DATABASE waits

$node->safe_psql('postgres', 'CREATE DATABASE slow');
$node->safe_psql('slow', <<'SQL');
CREATE EXTENSION lifecycle;
SELECT lifecycle_create('slow');
SELECT lifecycle_add_segment('slow', 'Active', $$ did('Login', within => '1 second') $$);
CREATE FUNCTION slow.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$;
CREATE TRIGGER wait AFTER DELETE ON slow.membership EXECUTE FUNCTION slow.wait();
INSERT INTO slow.contacts (email) SELECT n || '@example.com' FROM generate_series(1, 10000) n;
INSERT INTO slow.events (contact_id, name) SELECT id, 'Login' FROM slow.contacts;
SQL
poll('SELECT count(*) BETWEEN 1 AND 9000 FROM slow.segment_member', 'a round of many batches is on its way', 't', 'slow');
($status, undef, $err) = $node->psql('postgres', 'DROP DATABASE slow');
is("$status$err", '0', 'a database that is worked in can be dropped');
is($node->safe_psql('postgres', 'DROP DATABASE empty'), '', 'and one that is not');
ticks_on('again', 'the other databases are ticked on');

# -- stopping the server

$log = -s $node->logfile;
$node->stop('fast');
ok(!$node->log_contains('ERROR|PANIC|signal \d+', $log), 'a clean stop');

# -- what pg_cron has done

SKIP:
{
    skip 'pg_cron is not installed (package postgresql-NN-cron)', 2 unless $has_cron;
    ok($cron->poll_query_until('postgres', $left, 'entered by event, left by tick'), 'pg_cron lets a membership end');
    ok($cron->poll_query_until('postgres', <<'SQL'), 'by a job of the role that owns the model');
SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded' AND username = 'seller'
SQL
}
$cron->stop;

done_testing();
