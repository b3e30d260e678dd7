# A model survives dump and restore, a crash, and runs its views on a standby:
# what is kept is the same, agrees with the oracle, and goes on being kept.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Session;

my $oracle = slurp_file("$FindBin::Bin/../oracle/oracle.sql");

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "max_connections = 20\n");
$node->start;

my $setup = <<'SQL';
CREATE EXTENSION lifecycle;
SELECT lifecycle_create('sales');
SELECT lifecycle_add_segment('sales', 'Active', $$did('Login', times => 2, within => interval '7 days')$$, stage => 'Lead');
SELECT lifecycle_add_segment('sales', 'Finn', $$country = 'FI' AND company.industry = 'tech'$$);
SELECT lifecycle_add_segment('sales', 'Silent', $$NOT did('Login')$$);
ALTER TABLE sales.contacts ADD activity integer;
SELECT lifecycle_add_score('sales', 'activity', column_name => 'activity');
SELECT lifecycle_add_score_rule('sales', 'activity', 'login', 3, event => 'Login', times => 5);
SELECT lifecycle_add_score_rule('sales', 'activity', 'active', 10, condition => $$in_segment('Active')$$);
INSERT INTO sales.companies (id, name, industry)
    SELECT n, 'Company ' || n, CASE WHEN n % 2 = 0 THEN 'tech' END FROM generate_series(1, 10) n;
INSERT INTO sales.contacts (id, email, country, company_id)
    SELECT n, 'c' || n || '@example.com', CASE WHEN n % 3 = 0 THEN 'FI' END, n % 10 + 1 FROM generate_series(1, 100) n;
INSERT INTO sales.events (contact_id, name, occurred_at)
    SELECT n % 60 + 1, 'Login', now() - interval '1 day' * (n % 20) FROM generate_series(1, 300) n;
INSERT INTO sales.events (contact_id, name) SELECT n, 'Meeting Booked' FROM generate_series(5, 95, 10) n;
UPDATE sales.deals SET stage = 'Closed won' WHERE contact_id IN (5, 15);
UPDATE sales.deals SET stage = 'Closed lost' WHERE contact_id = 25;
SQL

my $segments = <<'SQL';
INSERT INTO oracle.segment (model, name, query) VALUES
    ('sales', 'Active', $$SELECT e.contact_id FROM sales.events e WHERE e.name = 'Login'
        AND e.occurred_at > $1 - interval '7 days' AND e.occurred_at <= $1 GROUP BY 1 HAVING count(*) >= 2$$),
    ('sales', 'Finn', $$SELECT c.id FROM sales.contacts c JOIN sales.companies o ON o.id = c.company_id
        WHERE c.country = 'FI' AND o.industry = 'tech'$$),
    ('sales', 'Silent', $$SELECT c.id FROM sales.contacts c
        WHERE NOT EXISTS (SELECT FROM sales.events e WHERE e.contact_id = c.id AND e.name = 'Login' AND e.occurred_at <= $1)$$);
INSERT INTO oracle.score_condition SELECT model, 'activity', 'active', query FROM oracle.segment WHERE name = 'Active';
SQL

# No difference, at the end of a tick of this very transaction.
my $check = "BEGIN; SELECT FROM lifecycle_tick('sales'); SELECT * FROM oracle.check('sales', now()); COMMIT;";

# What a change after the restart must do.
my $goes_on = <<'SQL';
INSERT INTO sales.events (contact_id, name) VALUES (80, 'Login'), (80, 'Login'), (81, 'Meeting Booked');
SELECT string_agg(segment, ',' ORDER BY segment) FROM sales.segment_member WHERE contact = 80;
SELECT stage FROM sales.contacts WHERE id IN (80, 81) ORDER BY id;
SELECT count(*) FROM sales.deals WHERE contact_id = 81 AND is_open;
SQL

my @kept = qw(stage lead_status pipeline deal_stage setting segment atom rule score_definition score_rule membership
  past_membership segment_member segment_history stage_history lead_status_history deal_history outbox problem
  contacts companies deals events);

sub kept
{
    my ($database) = @_;
    return join("\n",
        map { "$_: " . $node->safe_psql($database, "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM sales.$_ t") }
          @kept, 'funnel', 'deal_board');
}

$node->safe_psql('postgres', 'CREATE DATABASE origin');
$node->safe_psql('origin', $setup);
my $before = kept('origin');

# -- dump and restore, as one script and as an archive, in parallel

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-f', "$dump.sql", $node->connstr('origin') ], 'dump as a script');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", $node->connstr('origin') ], 'dump as an archive');
$node->safe_psql('postgres', "CREATE DATABASE $_") for 'script', 'archive';
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('script'), '-f', "$dump.sql" ],
    'restore the script');
$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', $node->connstr('archive'), "$dump.custom" ],
    'restore the archive');

foreach my $database ('origin', 'script', 'archive')
{
    is(kept($database), $before, "$database: everything is there");
    $node->safe_psql($database, $oracle . $segments);
    is($node->safe_psql($database, $check), '', "$database: the oracle agrees");
    is($node->safe_psql($database, $goes_on), "Active\nLead\nOpportunity\n1", "$database: events go on counting");
    is($node->safe_psql($database, $check), '', "$database: and the oracle agrees");
}

# -- a crash with work in flight

my $session = Session->new($node, 'origin');
my (undef, $err) = $session->run(<<'SQL');
INSERT INTO sales.events (contact_id, name) SELECT n, 'Login' FROM generate_series(82, 90) n;
BEGIN;
INSERT INTO sales.events (contact_id, name) SELECT n, 'Login' FROM generate_series(82, 99) n;
INSERT INTO sales.events (contact_id, name) SELECT n, 'Meeting Booked' FROM generate_series(82, 84) n;
UPDATE sales.companies SET industry = 'tech';
SQL
is($err, '', 'work is in flight');
$node->stop('immediate');
eval { $session->quit };
$node->start;
is($node->safe_psql('origin', $check), '', 'after a crash the oracle agrees');
is($node->safe_psql('origin', "SELECT count(*) FROM sales.deals WHERE contact_id BETWEEN 82 AND 84"),
    '0', 'and nothing of what was not committed is there');
$node->safe_psql('origin', "INSERT INTO sales.events (contact_id, name) SELECT n, 'Login' FROM generate_series(82, 99) n");
is($node->safe_psql('origin', $check), '', 'events go on counting');

# -- a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('origin', "INSERT INTO sales.events (contact_id, name) VALUES (70, 'Meeting Booked')");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my @views = split(/\n/, $node->safe_psql('origin',
        "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'sales'::regnamespace ORDER BY 1"));
cmp_ok(scalar @views, '>', 5, 'there are views');
foreach my $view (@views)
{
    # without what depends on the instant of the question
    my $count = "SELECT count(*) FROM sales." . qq("$view");
    is($standby->safe_psql('origin', $count), $node->safe_psql('origin', $count), "view $view on the standby");
}
foreach my $report (
    "lifecycle_forecast('sales', 3)",
    "lifecycle_forecast_stages('sales')",
    "lifecycle_forecast_backtest('sales', now() - interval '3 months', now(), months => 1)",
    "lifecycle_breakdown('sales', 'country')",
    "lifecycle_breakdown('sales', 'company.industry')",
    'sales.stage_at(now())',
    'sales.funnel_at(now())')
{
    my $count = "SELECT count(*) FROM $report";
    is($standby->safe_psql('origin', $count), $node->safe_psql('origin', $count), "$report on the standby");
}
my $funnel = 'SELECT * FROM sales.funnel';
is($standby->safe_psql('origin', $funnel), $node->safe_psql('origin', $funnel), 'the funnel is the same');

$standby->stop;
$node->stop;
done_testing();
