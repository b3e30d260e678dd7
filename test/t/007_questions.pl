# lifecycle_backtest, lifecycle_preview, lifecycle_in_segment and lifecycle_why
# against plain SQL: random predicates of the whole grammar, at instants of the
# past and of the future, in time zones that change their clocks.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use lib "$FindBin::Bin/../property";
use Chance;
use Grammar;
use Operations;
use Property;
use Session;
use Universe;

my $predicates = $ENV{PREDICATES} // 60;
my $node = Property::cluster('questions', "$FindBin::Bin/../oracle/oracle.sql");

sub text_of
{
    my ($operation) = @_;
    return $operation->{head} . ' ' . join(', ', $operation->{rows}->@*) . ' ' . $operation->{tail};
}

foreach my $place ([ 'Europe/Helsinki', 1711728000 ], [ 'America/New_York', 1730476800 ])
{
    my ($zone, $now) = @$place;
    srand($ENV{SEED} // 1);
    my $universe = Universe->new(1);
    $universe->{$_} = 0 foreach qw(by_hand partitions foreign_keys scores);
    $universe->{$_} = 1 foreach qw(companies deals);
    @$universe{qw(key clock time_type zone now contacts company_count late_contacts event_names stages)} = (
        'bigint', 'tick', 'timestamptz', $zone, $now, 12, 3, 0,
        [ 'A', 'B', 'Page Viewed', "Plan's Changed" ], [qw(One Two Three Four Five)]);
    my $operations = Operations->new($universe);
    my $grammar = $operations->{grammar};
    (my $database = "questions_$zone") =~ s/\W/_/;
    $node->safe_psql('postgres', "CREATE DATABASE \"$database\" TEMPLATE property");
    my $session = Session->new($node, $database);

    my $run = sub {
        my ($script) = @_;
        my ($rows, $errors) = $session->run($script);
        die "$script\n$errors" if $errors =~ /ERROR/;
        return $rows;
    };

    $run->("SET client_encoding = 'UTF8'; SET client_min_messages = error;");
    $run->($universe->setup_sql);
    $run->("INSERT INTO shop.companies (id, name, industry, size, founded) SELECT n, n, (ARRAY['tech', 'retail', NULL])[n], n * 100, "
          . $universe->at($now) . '::timestamptz::date - n FROM generate_series(1, 3) n;');
    $run->(text_of($operations->insert_contacts(map { $universe->key($_) } 1 .. 12)));
    $run->($universe->attach_sql);
    $run->(text_of($operations->insert_values(40))) for 1 .. 6;
    $run->("UPDATE shop.contacts SET stage = (ARRAY['One', 'Two', NULL])[id % 3 + 1];");
    $run->("SET TimeZone = 'Asia/Tokyo';");

    # as of the clock, contact by contact and clause by clause
    my ($wrong, $held) = ('', 0);
    my @backtests;
    $operations->{segments} = [];
    foreach my $number (1 .. $predicates)
    {
        my ($text, $query) = $grammar->predicate($number % 3 ? [] : $operations->{segments});
        $run->("SELECT lifecycle_add_segment('random', 'S$number', " . literal($text) . ');');
        $run->("CREATE VIEW members.\"S$number\" AS $query;");
        my $found = $run->(<<SQL);
SELECT count(*) FILTER (WHERE x.expected),
    string_agg(c.id || CASE WHEN x.expected THEN ' is' ELSE ' is not' END, ', ' ORDER BY c.id) FILTER (WHERE NOT (
        x.expected = EXISTS (SELECT FROM random.segment_member m WHERE m.contact = c.id AND m.segment = 'S$number')
        AND x.expected = lifecycle_in_segment('random', c.id, 'S$number')
        AND x.expected = EXISTS (SELECT FROM lifecycle_preview('random', ${\ literal($text)}) p WHERE p = c.id::text)
        AND x.expected = (SELECT coalesce(w.holds, false) FROM lifecycle_why('random', c.id, 'S$number') w WHERE w.level = 0)))
FROM shop.contacts c,
    LATERAL (SELECT set_config('TimeZone', '$zone', false), EXISTS (SELECT FROM members."S$number" v WHERE v.id = c.id) AS expected) x;
SET TimeZone = 'Asia/Tokyo';
SQL
        my ($members, $differs) = split(/\|/, $found);
        $held++ if $members > 0 && $members < 12;
        $wrong .= "$text\n    $differs\n" if $differs;
        push $operations->{segments}->@*, "S$number";
        push @backtests, [ $number, $text ] if $text !~ /in_segment/;
    }
    is($wrong, '', "$zone: members, preview, in_segment and why say what plain SQL says");
    cmp_ok($held, '>', $predicates / 4, "$held of $predicates predicates held for some and not for others");

    # at other instants
    $run->("CREATE OR REPLACE VIEW members.clock AS SELECT current_setting('questions.at')::timestamptz AS at;");
    my ($from, $to) = map { $universe->at($now + 86400 * $_) } (-20, 12);
    my ($instants, $sum) = (0, 0);
    $wrong = '';
    foreach my $backtest (@backtests)
    {
        my ($number, $text) = @$backtest;
        my $found = $run->(<<SQL);
CREATE TEMPORARY TABLE backtest AS
    SELECT b.at, b.members, NULL::bigint AS expected FROM lifecycle_backtest('random', ${\ literal($text)}, $from, $to, '2 days 3 hours') b;
SET TimeZone = '$zone';
DO \$\$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM backtest LOOP
        PERFORM set_config('questions.at', r.at::text, false);
        UPDATE backtest b SET expected = (SELECT count(*) FROM members."S$number") WHERE b.at = r.at;
    END LOOP;
END
\$\$;
SELECT count(*), sum(members), string_agg(at || ': ' || members || ' for ' || expected, ', ') FILTER (WHERE members <> expected) FROM backtest;
DROP TABLE backtest;
SET TimeZone = 'Asia/Tokyo';
SQL
        my ($number_of, $members, $differs) = split(/\|/, $found);
        $instants += $number_of;
        $sum += $members;
        $wrong .= "$text\n    $differs\n" if $differs;
    }
    is($wrong, '', "$zone: backtests of " . @backtests . " predicates say what plain SQL says at $instants instants");
    cmp_ok($sum, '>', $instants, "$sum members in all");
    $session->quit;
}

$node->stop;
done_testing();
