# The same events in 1,000 orders, in batches of random size, give one and the
# same state.
#
# Two people have some events.  Each order has these two people for itself, as
# contacts of one model, and gets the events shuffled, by INSERT of one row and
# of many, and by COPY; batches of several orders are interleaved.  Then all orders
# must agree with the first one, now and at instants to come: in memberships, in
# stages, and in what time will change; and with the oracle.
#
# Segments that lead to a stage are of the kind that events do not take away
# again: a stage stays, so that a segment which holds only for a while leaves it
# behind or not, as the events come.

use strict;
use warnings;

use FindBin;
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;

use lib "$FindBin::Bin/../property";
use Chance;
use Grammar;
use Operations;
use Property;
use Session;
use Universe;

my $orders = $ENV{ORDERS} // 1000;
my $people = 2;
my $events = 24;
my $columns = 'id, contact_id, name, occurred_at, amount, properties';
my $now = 1711728000;    # two days before clocks go forward

srand($ENV{SEED} // 4);
my $universe = Universe->new(1);
delete $universe->{favourite};
$universe->{$_} = 0 foreach qw(companies deals by_hand partitions foreign_keys triggers anonymous strangers exact);
$universe->{scores} = 1;
@$universe{qw(key clock time_type zone now contacts event_names stages)} = (
    'bigint', 'tick', 'timestamptz', 'Europe/Helsinki', $now, $people,
    [ 'A', 'B', 'Page Viewed', "Plan's Changed" ], [qw(One Two Three Four Five)]);

# -- what everybody gets

my $operations = Operations->new($universe);
my @events = map {
    my ($contact, @values) = $operations->event_values;
    [ $_, 1 + $_ % $people, @values[ 0 .. 3 ] ]
} 1 .. $events;

# The rows of one order, with keys of its own.
sub rows_of
{
    my ($order) = @_;
    return map { [ $order * 1000 + $_->[0], $order * 10 + $_->[1], @$_[ 2 .. 5 ] ] } @events;
}

sub batch
{
    my (@rows) = @_;
    return "COPY shop.events ($columns) FROM STDIN;\n"
      . join("\n", map { Operations::copy_row(@$_) } @rows) . "\n\\."
      if chance(0.3);
    return "INSERT INTO shop.events ($columns) VALUES "
      . join(', ', map { Operations::sql_row(@$_) } @rows) . ';';
}

# -- the model

my $node = Property::cluster('order', "$FindBin::Bin/../oracle/oracle.sql");
my $session = Session->new($node, 'property');

sub run
{
    my ($script) = @_;
    my ($rows, $errors) = $session->run($script);
    die $errors if $errors =~ /ERROR/;
    return $rows;
}

run("SET client_encoding = 'UTF8'; SET client_min_messages = error; SET synchronous_commit = off;");
run($universe->setup_sql);
run('ALTER TABLE shop.events ALTER id DROP IDENTITY;');
run("INSERT INTO shop.contacts (id, country, age) SELECT o * 10 + p, (ARRAY['FI', 'SE'])[p % 2 + 1], p * 15"
      . " FROM generate_series(1, $orders) o, generate_series(1, $people) p;");
run($universe->attach_sql);

# Segments of every word: one of each kind of the grammar, then others until no
# word is missing, then some that put several together.
my $grammar = $operations->{grammar};
my @kinds = qw(did comparison score_comparison visited did_first stopped restarted regularly did_then
  contact_column in_last time_in_stage moments extreme_text latest_text);
my %missing = map { $_ => 1 } qw(did event_count event_sum event_min event_max event_avg event_distinct event_first
  event_last event_latest visited did_first stopped restarted regularly did_then in_last time_in_stage
  score at_least in_segment within times filter);

# Their oracle would look at all orders for each contact (006_score.pl has one that
# does not), so that these are compared with each other only.
my %scored;

sub add_segment
{
    my ($condition, $wanted) = @_;
    my ($text, $sql) = @$condition;
    my $new = grep { $missing{$_} } $text =~ /(\w+)/g;
    return if $wanted && !$new;
    delete @missing{ $text =~ /(\w+)/g };
    my $name = 'Segment ' . (1 + $operations->{segments}->@*);
    run("SELECT lifecycle_add_segment('random', '$name', " . literal($text) . ');');
    run($operations->segment_sql($name, "SELECT c.id FROM members.clock k, shop.contacts c WHERE $sql"));
    push $operations->{segments}->@*, $name;
    $scored{$name} = 1 if $text =~ /\bscore\(/ || grep { $scored{$_} } $text =~ /in_segment\('([^']+)'/g;
    return;
}

add_segment($grammar->$_) foreach @kinds;
$grammar->{nameable} = $operations->{segments};
add_segment($grammar->condition(1), 1) while %missing;
add_segment($grammar->condition(2)) for 1 .. 6;
is(join(' ', sort keys %missing), '', 'segments of every word: ' . $operations->{segments}->@*);

my %staged = (
    Two => q{did('A', times => 2)},
    Three => q{visited('/p%', times => 2) AND did('B')},
    Four => q{did_then('A', 'B', interval '7 days') AND event_sum('Page Viewed', amount) > 50},
    Five => q{did('A', times => 5) AND event_count('Page Viewed') >= 5});
foreach my $stage (sort keys %staged)
{
    run("SELECT lifecycle_add_segment('random', 'To $stage', " . literal($staged{$stage}) . ", stage => '$stage');");
}

# -- the orders

my @waiting = map { [ shuffle(rows_of($_)) ] } 1 .. $orders;
my ($statements, $script, @open) = (0, '');
while (@waiting || @open)
{
    push @open, shift @waiting while @waiting && @open < 5;
    my @rows = splice($open[ int(rand(@open)) ]->@*, 0, weighted(3 => 1, 3 => between(2, 6), 1 => between(7, 30)));
    my $other = $open[ int(rand(@open)) ];
    push @rows, splice(@$other, 0, between(1, 3)) if chance(0.2);
    @open = grep { @$_ } @open;
    next unless @rows;
    $script .= batch(@rows) . "\n";
    next if ++$statements % 100 && (@waiting || @open);
    run($script);    # many statements, each a transaction of its own
    $script = '';
}
run($script);
is(run('SELECT count(*) FROM shop.events;'), $orders * $events, "all events came, in $statements statements");

# -- their states

# What an order has that the first one has not, or the other way round.
my $differences = <<'SQL';
WITH
    fact AS (
        SELECT contact / 10 AS place, contact % 10 AS person, 'member of ' || segment AS fact
        FROM random.segment_member
        UNION ALL
        SELECT id / 10, id % 10, 'in stage ' || stage FROM shop.contacts WHERE stage IS NOT NULL),
    place AS (SELECT DISTINCT id / 10 AS place FROM shop.contacts),
    expected AS (SELECT p.place, f.person, f.fact FROM place p, fact f WHERE f.place = 1)
SELECT 'missing', * FROM (TABLE expected EXCEPT ALL TABLE fact) a
UNION ALL
SELECT 'too much', * FROM (TABLE fact EXCEPT ALL TABLE expected) b
ORDER BY 2, 3, 4 LIMIT 20;
SQL

# The first order as plain SQL has it.
sub oracle
{
    my $query = join("\nUNION ALL\n", map {
        (my $view = $_) =~ s/"/""/g;
        'SELECT ' . literal($_) . qq{ AS segment, id FROM members."$view" WHERE id < 20}
    } grep { !$scored{$_} } $operations->{segments}->@*);
    my $left_out = join(', ', map { literal($_) } '', sort keys %scored);
    return run("SET TimeZone = '$universe->{zone}'; WITH expected AS ($query),"
          . " actual AS (SELECT segment, contact FROM random.segment_member"
          . "     WHERE contact < 20 AND segment NOT LIKE 'To %' AND segment NOT IN ($left_out))"
          . " SELECT 'missing', * FROM (TABLE expected EXCEPT ALL TABLE actual) a"
          . " UNION ALL SELECT 'too much', * FROM (TABLE actual EXCEPT ALL TABLE expected) b"
          . " ORDER BY 2, 3;");
}

my %members;
foreach my $hours (0, 7, 25, 49)
{
    run("SELECT FROM lifecycle_tick('random', " . $universe->at($now + 3600 * $hours) . ');') if $hours > 0;
    is(run($differences), '', "all orders agree, $hours hours later");
    is(oracle(), '', 'and the oracle agrees with the first');
    $members{ run("SELECT md5(string_agg(segment || contact, ',' ORDER BY segment, contact)) FROM random.segment_member;") } = 1;
}
is(run("SELECT * FROM lifecycle_verify('random') LIMIT 10;"), '', 'states are what the events say');
cmp_ok(scalar keys %members, '>', 2, 'there was something to differ in');
is(run('SELECT count(DISTINCT stage) > 1 FROM shop.contacts;'), 't', 'and there were several stages');

$session->quit;
done_testing();
