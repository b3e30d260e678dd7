# Random scores, rules, events and ticks: after each step the segments, the
# columns and lifecycle_score agree with the oracle, which adds the points up in
# plain SQL.
#
# A failure names the seed and the step; LIFECYCLE_SEED=n plays that one alone.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Session;

my $steps = $ENV{LIFECYCLE_STEPS} || 50;
my @seeds = $ENV{LIFECYCLE_SEED} ? ($ENV{LIFECYCLE_SEED}) : (1, 2, 3, 16);
my $oracle = slurp_file("$FindBin::Bin/../oracle/oracle.sql");

my $node = PostgreSQL::Test::Cluster->new('score');
$node->init;
$node->append_conf('postgresql.conf', "timezone = 'Asia/Tokyo'\n");
$node->start;

my @names = ('Page Viewed', 'Demo', 'Mail');

sub one { return $_[ int(rand(@_)) ] }
sub upto { return 1 + int(rand($_[0])) }

# An instant around the model's clock, mostly before it.
sub instant
{
    my $seconds = one(-3600, -86400, -10 * 86400, -40 * 86400, 2 * 86400) * rand();
    return sprintf("(SELECT last_tick FROM crm.clock) + interval '%.6f seconds'", $seconds);
}

sub event_row
{
    return sprintf('(%d, %s, %s, %s)', upto(8), "'" . one(@names) . "'", instant(),
        sprintf(q('{"n": %d}'), upto(3)));
}

# The arguments of a rule, of either kind.
sub rule_arguments
{
    my ($groups) = @_;
    my @arguments = ('points => ' . (one(-1, 1, 1) * one(upto(60), upto(9) / 4, 0.000001)));

    if (rand() < 0.25)
    {
        push @arguments, 'condition => ' . one(
            q($$country = 'FI'$$), q($$country IS NULL$$), q($$email LIKE 'c1%'$$));
    }
    else
    {
        push @arguments, "event => '" . one(@names) . "'";
        push @arguments, q(filter => $$(properties->>'n')::int > ) . upto(2) . '$$' if rand() < 0.4;
        push @arguments, 'times => ' . upto(4) if rand() < 0.4;
        my $decay = one(q('30 days'), q('7 days'), q('5 hours 7 minutes'), q('2 days'), q('90 seconds'));
        push @arguments, one("linear_decay => $decay", "half_life => $decay") if rand() < 0.75;
    }
    push @arguments, "in_group => 'g'" if $groups && rand() < 0.5;
    return join(', ', @arguments);
}

sub comparison
{
    my $number = one(0, upto(80), upto(80) - 20, sprintf('%.2f', rand(60)));

    return one("> $number", ">= $number", "< $number", "<= $number", "= $number", "<> $number",
        sprintf('BETWEEN %d AND %d', $number, $number + upto(20)));
}

# One step: SQL, and what it is for who reads a failure.
sub step
{
    my ($rules) = @_;
    my $kind = rand();
    my $score = one('a', 'b');

    return "INSERT INTO crm.events (contact_id, name, occurred_at, properties) VALUES "
      . join(', ', map { event_row() } 1 .. upto(6))
      if $kind < 0.3;
    return "SELECT FROM lifecycle_tick('crm', (SELECT last_tick FROM crm.clock) + '"
      . sprintf("%.6f", rand(one(100, 4000, 86400, 3 * 86400))) . " seconds')"
      if $kind < 0.5;

    # just before, at and just after the next due time
    return "SELECT FROM lifecycle_tick('crm', (SELECT greatest(min(t.due) + '"
      . one(-1, 0, 1) . " microseconds', min(c.last_tick)) FROM crm.timer t, crm.clock c WHERE t.due > c.last_tick HAVING count(*) > 0))"
      . " WHERE EXISTS (SELECT FROM crm.timer t, crm.clock c WHERE t.due > c.last_tick)"
      if $kind < 0.65;
    return "DELETE FROM crm.events WHERE id % 7 = " . (upto(7) - 1) if $kind < 0.7;
    return "UPDATE crm.events SET occurred_at = occurred_at - interval '" . sprintf('%.6f', rand(200000)) . " seconds' WHERE id % 5 = " . (upto(5) - 1)
      if $kind < 0.75;
    return "UPDATE crm.contacts SET country = " . one("'FI'", "'SE'", 'NULL') . " WHERE id % 3 = " . (upto(3) - 1)
      if $kind < 0.82;
    return "BEGIN; SAVEPOINT s; INSERT INTO crm.events (contact_id, name, occurred_at, properties) VALUES "
      . event_row() . "; ROLLBACK TO s; INSERT INTO crm.events (contact_id, name, occurred_at, properties) VALUES "
      . event_row() . "; COMMIT"
      if $kind < 0.87;
    return "SELECT lifecycle_alter_score('crm', '$score', cap => " . upto(150) . ", floor => " . one(0, -10, "'-infinity'") . ")"
      if $kind < 0.91;
    return "SELECT lifecycle_alter_score_rule('crm', '$score', 'r1', points => " . one(-1, 1) * upto(40) . ")"
      if $kind < 0.95;
    $$rules++;
    return "SELECT lifecycle_add_score_rule('crm', '$score', 'r$$rules', " . rule_arguments(1) . ")";
}

sub setup
{
    my $sql = <<'SQL';
SELECT lifecycle_create('crm', 'hubspot');
SELECT lifecycle_set('crm', 'clock', 'tick');
SELECT lifecycle_set('crm', 'time_zone', 'Europe/Helsinki');
SELECT FROM lifecycle_tick('crm', '2026-03-27 12:00+00');
INSERT INTO crm.contacts (id, email, country) SELECT n, 'c' || n, CASE n % 3 WHEN 0 THEN 'FI' WHEN 1 THEN 'SE' END FROM generate_series(1, 8) n;
ALTER TABLE crm.contacts ADD score_a numeric, ADD score_b int;
SQL
    $sql .= "SELECT lifecycle_add_score('crm', 'a', decimals => " . one(0, 1)
      . q[, groups => '{"g": 25}', column_name => 'score_a');] . "\n";
    $sql .= "SELECT lifecycle_add_score('crm', 'b', decimals => " . one(0, 2, 6) . q[, groups => '{"g": null}');] . "\n";
    $sql .= "SELECT lifecycle_add_score_rule('crm', '$_', 'r1', " . rule_arguments(1) . ");\n" for 'a', 'b';
    $sql .= "SELECT lifecycle_add_score_rule('crm', '$_', 'r2', " . rule_arguments(1) . ");\n" for 'a', 'b';
    $sql .= "SELECT lifecycle_add_score_rule('crm', 'a', 'r3', " . rule_arguments(0) . ");\n";
    $sql .= "INSERT INTO crm.events (contact_id, name, occurred_at, properties) VALUES "
      . join(', ', map { event_row() } 1 .. 40) . ";\n";
    for my $number (1 .. 6)
    {
        my $score = one('a', 'b');
        my $compared = comparison();
        $sql .= "SELECT lifecycle_add_segment('crm', 's$number', \$\$score('$score') $compared\$\$);\n";
        $sql .= "INSERT INTO oracle.segment (model, name, query) VALUES ('crm', 's$number', "
          . "\$\$SELECT contact::bigint FROM oracle.score('crm', '$score', \$1) WHERE points $compared\$\$);\n";
    }
    $sql .= <<'SQL';
SELECT lifecycle_add_segment('crm', 'sum', $$score('a') * 2 > event_count('Demo') * 5 OR country = 'FI'$$);
INSERT INTO oracle.segment (model, name, query) VALUES ('crm', 'sum',
    $$SELECT c.id FROM crm.contacts c JOIN oracle.score('crm', 'a', $1) s ON s.contact = c.id::text WHERE s.points * 2 >
        5 * (SELECT count(*) FROM crm.events e WHERE e.contact_id = c.id AND e.name = 'Demo' AND e.occurred_at <= $1) OR c.country = 'FI'$$);
SQL
    return $sql;
}

for my $seed (@seeds)
{
    my $database = "seed_$seed";
    my $rules = 3;
    my @played;

    srand($seed);
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    my $session = Session->new($node, $database);
    $session->run('SET client_min_messages = warning; CREATE EXTENSION lifecycle;');
    $session->run($oracle);
    my ($out, $wrong) = $session->run(setup());
    for my $number (1 .. $steps)
    {
        last if $wrong ne '';
        push @played, step(\$rules);
        (undef, $wrong) = $session->run("$played[-1];");
        $wrong .= join('', $session->run("SELECT o.* FROM crm.clock k, oracle.check('crm', k.last_tick) o;"));
    }
    is($wrong, '', "seed $seed: $steps steps agree with the oracle")
      or diag(scalar(@played) . " steps:\n" . join(";\n", @played) . "\nrules, timers, clock:\n"
          . join('', $session->run('SELECT * FROM crm.score_definition ORDER BY id; SELECT * FROM crm.score_rule ORDER BY score, name;'
              . ' SELECT * FROM crm.timer ORDER BY contact; SELECT * FROM crm.clock;')));
    is(join('', $session->run("SELECT * FROM lifecycle_verify('crm');")), '', "seed $seed: lifecycle_verify is empty");
    is(join('', $session->run('SELECT * FROM crm.problem;')), '', "seed $seed: no problem");
    is(join('', $session->run(<<'SQL')), '', "seed $seed: the view agrees with the oracle");
SELECT v, o FROM crm.score v
FULL JOIN (SELECT s.name, o.contact, o.points FROM crm.clock k, (VALUES ('a'), ('b')) s (name), oracle.score('crm', s.name, k.last_tick) o) o
    ON o.contact = v.contact::text AND o.name = v.score
WHERE v.points IS DISTINCT FROM o.points;
SQL
    $session->quit;
}

$node->stop;
done_testing();
