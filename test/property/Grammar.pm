# Grammar: random predicates of the whole language of docs/predicates.md, each
# said twice, as predicate text and as plain SQL of its own.
#
# An expression is a pair [text, sql].  The SQL is a condition over c (the
# contact), o (its company) and k.at (the clock), in the model's time zone; what
# it means was written from the documentation, not from src/.  A segment is a view
# members."name" of the keys of its members, so that in_segment means the same
# after the segment that it names was altered; the view asks a function of that
# name, whose text PostgreSQL does not tie to the columns that it names.

package Grammar;

use strict;
use warnings;

use Chance;

sub new
{
    my ($class, $universe) = @_;
    return bless { universe => $universe, time => 'occurred_at::timestamptz' },
      $class;
}

# -- parts of calls

my @windows = (
    '90 minutes', '12 hours', '1 day', '24 hours', '36 hours', '3 days',
    '7 days', '1 day 2 hours', '1 month', '1 month', '1 month 1 day', '2 months');

sub window { return any(@windows) }

# What a universe may favour, so that cases differ in what they try hard.
sub favourites
{
    return (qw(did comparison visited did_first stopped restarted regularly did_then did_then in_last time_in_stage
          moments event_latest));
}

# A longer and a shorter one.
sub window_pair
{
    return any([ '3 days', '1 day' ], [ '7 days', '36 hours' ],
        [ '1 month', '3 days' ], [ '1 month', '1 day 2 hours' ],
        [ '2 months', '1 month' ], [ '36 hours', '90 minutes' ])->@*;
}

sub name { my ($self) = @_; return literal($self->{universe}->event_name) }

# A condition on an event, the same in both languages.
sub filter
{
    my ($self) = @_;
    return any(
        "properties->>'plan' = " . literal(any('free', 'pro', 'team')),
        'amount > ' . between(10, 90),
        "(properties->>'n')::int % 3 = " . between(0, 2),
        "properties ? 'plan'",
        'amount IS NULL',
        "NOT (properties->>'plan' = 'free')",
        "properties->>'path' LIKE '/p%'",
        "amount BETWEEN 10 AND 50 AND properties->>'plan' IN ('pro', 'team')");
}

sub maybe_filter
{
    my ($self, $p) = @_;
    return any("properties->>'plan' = " . literal(any('free', 'pro')), "(properties->>'n')::int % 3 = " . between(0, 2))
      if $self->{universe}{words}{equalities} && chance(0.8);
    return chance($p // 0.35) ? $self->filter : undef;
}
sub a_window
{
    my ($self) = @_;
    my $u = $self->{universe};
    return $u->{window} && chance($u->{window_often}) ? $u->{window} : window();
}

sub maybe_window { my ($self, $p) = @_; return chance($p // 0.45) ? $self->a_window : undef }

# Of the column amount.
sub aggregate_comparison
{
    my ($self) = @_;
    my $number = $self->aggregate;
    my $form = '{n} ' . any('>=', '<') . ' ' . between(1, 90);
    return [ map { said($form, '{n}', $number->[$_]) } 0, 1 ];
}

sub deals_comparison
{
    my ($self) = @_;
    my $number = $self->open_deals;
    my $form = '{n} ' . any('=', '>', '<') . ' ' . between(0, 2);
    return [ map { said($form, '{n}', $number->[$_]) } 0, 1 ];
}

# One of the two forms in which the latest value can be asked for.
sub event_latest
{
    my ($self) = @_;
    return $self->comparison if $self->{universe}{partitions};
    return $self->latest_text if chance(0.5);
    my $number = $self->latest_number;
    my $form = '{n} ' . any('>=', '<') . ' ' . between(1, 60);
    return [ map { said($form, '{n}', $number->[$_]) } 0, 1 ];
}

# Arguments as a call has them: some by name.
sub call
{
    my ($function, $positional, %named) = @_;
    my @arguments = @$positional;
    foreach my $name (sort keys %named)
    {
        push @arguments, "$name => $named{$name}" if defined $named{$name};
    }
    return "$function(" . join(', ', @arguments) . ')';
}

sub interval { my ($window) = @_; return defined $window ? "interval '$window'" : undef }

# FROM and WHERE: the events of the contact that count.
sub events
{
    my ($self, $name, $filter, $within) = @_;
    return "FROM shop.events WHERE contact_id = c.id AND name = $name"
      . " AND $self->{time} <= k.at"
      . ($within ? " AND $self->{time} > k.at - interval '$within'" : '')
      . ($filter ? " AND ($filter)" : '');
}

# -- what is true or false

sub did
{
    my ($self) = @_;
    my ($name, $filter, $within) = ($self->name, $self->maybe_filter, $self->maybe_window);
    my $times = chance(0.5) ? between(2, 4) : undef;
    return [
        call('did', [ $name, $filter // () ], times => $times, within => interval($within)),
        '(SELECT count(*) ' . $self->events($name, $filter, $within) . ') >= ' . ($times // 1)
    ];
}

sub visited
{
    my ($self) = @_;
    my $pattern = literal(any('/pricing%', '/docs', '/', '/p%'));
    my ($times, $within) = (chance(0.5) ? between(2, 3) : undef, $self->maybe_window);
    return [
        call('visited', [$pattern], times => $times, within => interval($within)),
        '(SELECT count(*) '
          . $self->events("'Page Viewed'", "properties->>'path' LIKE $pattern", $within)
          . ') >= ' . ($times // 1)
    ];
}

sub did_first
{
    my ($self) = @_;
    my ($name, $filter, $within) = ($self->name, $self->maybe_filter, $self->a_window);
    return [
        call('did_first', [ $name, interval($within) ], filter => $filter),
        "coalesce((SELECT min($self->{time}) " . $self->events($name, $filter)
          . ") > k.at - interval '$within', false)"
    ];
}

sub stopped
{
    my ($self) = @_;
    my ($name, $filter) = ($self->name, $self->maybe_filter);
    my ($active, $quiet) = window_pair();
    my $events = $self->events($name, $filter, $active);
    return [
        call('stopped', [ $name, interval($active), interval($quiet) ], filter => $filter),
        "(EXISTS (SELECT $events AND $self->{time} <= k.at - interval '$quiet')"
          . " AND NOT EXISTS (SELECT " . $self->events($name, $filter, $quiet) . '))'
    ];
}

sub restarted
{
    my ($self) = @_;
    my ($name, $filter) = ($self->name, $self->maybe_filter);
    my ($active, $quiet) = window_pair();
    my $events = $self->events($name, $filter);
    return [
        call('restarted', [$name],
            active => interval($active), quiet => interval($quiet), filter => $filter),
        "(EXISTS (SELECT $events AND $self->{time} <= k.at - interval '$active')"
          . " AND NOT EXISTS (SELECT $events AND $self->{time} > k.at - interval '$active'"
          . " AND $self->{time} <= k.at - interval '$quiet')"
          . " AND EXISTS (SELECT $events AND $self->{time} > k.at - interval '$quiet'))"
    ];
}

sub regularly
{
    my ($self) = @_;
    my ($name, $filter) = ($self->name, $self->maybe_filter);
    my ($times, $periods) = (between(1, 2), between(1, 4));
    my ($per, $at_least) = ($self->a_window, between(1, $periods));
    return [
        call('regularly', [ $name, $times, interval($per), $periods, $at_least ],
            filter => $filter),
        "(SELECT count(*) FROM generate_series(1, $periods) p WHERE (SELECT count(*) "
          . $self->events($name, $filter)
          . " AND $self->{time} > k.at - p * interval '$per'"
          . " AND $self->{time} <= k.at - (p - 1) * interval '$per') >= $times) >= $at_least"
    ];
}

sub did_then
{
    my ($self) = @_;
    my ($first, $second, $within) = ($self->name, $self->name, $self->a_window);
    my ($first_filter, $second_filter) = ($self->maybe_filter(0.25), $self->maybe_filter(0.25));
    return [
        call('did_then', [ $first, $second, interval($within) ],
            first_filter => $first_filter, second_filter => $second_filter),
        "EXISTS (SELECT FROM (SELECT $self->{time} AS at " . $self->events($first, $first_filter)
          . ") a, (SELECT $self->{time} AS at " . $self->events($second, $second_filter)
          . ") b WHERE a.at < b.at AND b.at <= a.at + interval '$within')"
    ];
}

sub contact_column
{
    my ($self) = @_;
    my $stage = literal(any($self->{universe}{stages}->@*));
    my $condition = any(
        '{c}country = ' . literal(any('FI', 'SE', 'DE')),
        '{c}country IS DISTINCT FROM ' . literal(any('FI', 'SE')),
        '{c}age > ' . between(20, 60),
        '{c}age BETWEEN 30 AND 50',
        '{c}plan IS NULL',
        "{c}country IN ('FI', 'SE')",
        "{c}country NOT IN ('FI', 'SE')",
        "{c}plan LIKE 'p%'",
        "coalesce({c}plan, 'none') <> 'free'",
        "{c}stage = $stage",
        '{c}stage IS NULL',
        '{c}lead_status IS NULL');
    return [ said($condition, '{c}', any('', 'contact.')), said($condition, '{c}', 'c.') ];
}

sub company_column
{
    my ($self) = @_;
    return $self->contact_column unless $self->{universe}{companies};
    my $condition = any(
        '{o}industry = ' . literal(any('tech', 'retail')),
        '{o}size >= ' . between(10, 400),
        '{o}industry IS NULL',
        '{o}size % 2 = 0');
    return [ said($condition, '{o}', 'company.'), said($condition, '{o}', 'o.') ];
}

sub said { my ($text, $mark, $word) = @_; $text =~ s/\Q$mark\E/$word/g; return $text }

sub in_last
{
    my ($self) = @_;
    my $within = any(window(), window(), '10 days');
    my ($text, $column) = ('created_at', 'c.created_at');
    ($text, $column) = ('company.founded', 'o.founded')
      if $self->{universe}{companies} && chance(0.4);
    return [
        call('in_last', [ $text, interval($within) ]),
        "($column\::timestamptz > k.at - interval '$within' AND $column\::timestamptz <= k.at)"
    ];
}

sub time_in_stage
{
    my ($self) = @_;
    my $entered = '(SELECT h.at FROM random.stage_history h WHERE h.object = \'contact\''
      . ' AND h.contact = c.id AND c.stage IS NOT NULL ORDER BY h.id DESC LIMIT 1)';
    my $within = window();
    my $other = any('0 minutes', '30 minutes', '1 hour');
    return [
        "time_in_stage() BETWEEN interval '$other' AND interval '$within'",
        "($entered <= k.at - interval '$other' AND NOT $entered < k.at - interval '$within')"
    ] if chance(0.2);
    my ($operator, $opposite) =
      any([ '>=', '<=' ], [ '>', '<' ], [ '<', '>' ], [ '<=', '>=' ])->@*;
    return [
        "time_in_stage() $operator interval '$within'",
        "$entered $opposite k.at - interval '$within'"
    ];
}

sub in_segment
{
    my ($self) = @_;
    my $names = $self->{nameable} // [];
    return $self->did unless @$names;
    my $name = any(@$names);
    (my $view = $name) =~ s/"/""/g;
    return [
        'in_segment(' . literal($name) . ')',
        qq{EXISTS (SELECT FROM members."$view" m WHERE m.id = c.id)}
    ];
}

# -- numbers

sub event_count
{
    my ($self) = @_;
    my ($name, $filter, $within) = ($self->name, $self->maybe_filter, $self->maybe_window);
    return [
        call('event_count', [ $name, $filter // () ], within => interval($within)),
        '(SELECT count(*) ' . $self->events($name, $filter, $within) . ')'
    ];
}

sub aggregate
{
    my ($self) = @_;
    my ($name, $filter, $within) = ($self->name, $self->maybe_filter, $self->maybe_window);
    my ($function, $aggregate) = any([ 'event_sum', 'sum(%s)' ], [ 'event_min', 'min(%s)' ],
        [ 'event_max', 'max(%s)' ], [ 'event_avg', 'avg(%s)' ],
        [ 'event_distinct', 'count(DISTINCT %s)' ])->@*;
    my $value = any('amount', '50 - amount / 8', "(properties->>'n')::numeric");
    $value = "properties->>'plan'" if $function eq 'event_distinct' && chance(0.5);
    return [
        call($function, [ $name, $value, $filter // () ], within => interval($within)),
        '(SELECT ' . sprintf($aggregate, $value) . ' ' . $self->events($name, $filter, $within) . ')'
    ];
}

sub latest_number
{
    my ($self) = @_;
    my ($name, $filter) = ($self->name, $self->maybe_filter);
    my $value = any('amount', "(properties->>'n')::int");
    return [
        call('event_latest', [ $name, $value ], filter => $filter),
        "(SELECT $value " . $self->events($name, $filter)
          . " ORDER BY $self->{time} DESC, id DESC LIMIT 1)"
    ];
}

sub open_deals
{
    my ($self) = @_;
    return $self->event_count unless $self->{universe}{deals};
    my $filter = any(undef, undef, 'amount > ' . between(10, 90), 'amount IS NULL',
        'stage = ' . literal(any($self->{universe}->deal_stages)));
    my $whose = 'contact_id = c.id';
    $whose = "($whose OR id IN (SELECT l.deal_id FROM shop.deal_contacts l WHERE l.contact_id = c.id))"
      if $self->{universe}{shared_deals};
    return [
        'open_deals(' . ($filter // '') . ')',
        "(SELECT count(*) FROM shop.deals WHERE $whose AND is_open"
          . ($filter ? " AND ($filter)" : '') . ')'
    ];
}

# The points are the oracle's own, from the rules of the score.
sub score
{
    my ($self) = @_;
    return [
        "score('fit')",
        "(SELECT points FROM oracle.score('random', 'fit', k.at) WHERE contact = c.id::text)"
    ];
}

# Compared with numbers that points reach.
sub score_comparison
{
    my ($self) = @_;
    return $self->comparison unless $self->{universe}{scores};
    my $score = $self->score;
    my $form = any('{n} ' . any('>=', '>', '<', '<=', '=', '<>') . ' ' . between(-5, 25),
        '{n} BETWEEN ' . between(-5, 5) . ' AND ' . between(6, 20));
    return [ map { said($form, '{n}', $score->[$_]) } 0, 1 ];
}

sub number
{
    my ($self) = @_;
    return $self->score if $self->{universe}{scores} && chance(0.05);
    my $method = weighted(6 => 'event_count', 4 => 'aggregate', 1 => 'open_deals',
        $self->{universe}{partitions} ? 0 : 1 => 'latest_number');
    return $self->$method;
}

# A number compared, in one of many forms; {n}, {m} are numbers.
sub comparison
{
    my ($self) = @_;
    my $form = weighted(
        8 => '{n} ' . any('=', '<', '<=', '<>', '>', '>=') . ' ' . between(0, 4),
        2 => '{n} BETWEEN ' . between(0, 2) . ' AND ' . between(2, 6),
        1 => '{n} NOT BETWEEN 1 AND 3',
        1 => '{n} = 0',
        1 => between(0, 3) . ' ' . any('<', '>=', '=') . ' {n}',
        1 => '{n} IN (1, 3, 50)',
        1 => '{n} % 2 = 1',
        1 => '{n} IS NULL',
        1 => '{n} IS DISTINCT FROM 2',
        1 => '-{n} > -2',
        1 => 'coalesce({n}, 0) < ' . between(1, 60),
        2 => '{n} ' . any('>=', '<') . ' ' . between(10, 90),
        2 => '{n} ' . any('<', '=', '>') . ' {m}',
        2 => '{n} + ' . between(1, 3) . ' * {m} ' . any('>', '<', '=', '<=') . ' ' . between(2, 9),
        1 => 'abs({n} - {m}) <= 1',
        1 => 'CASE WHEN {n} > 1 THEN {m} ELSE 0 END = ' . between(0, 2));
    my ($n, $m) = ($self->number, $self->number);
    return [ map { said(said($form, '{n}', $n->[$_]), '{m}', $m->[$_]) } 0, 1 ];
}

# -- times and texts of events

sub moment
{
    my ($self) = @_;
    my ($name, $filter) = ($self->name, $self->maybe_filter);
    my ($function, $aggregate) = any([ 'event_first', 'min' ], [ 'event_last', 'max' ])->@*;
    return [
        call($function, [ $name, $filter // () ]),
        "(SELECT $aggregate($self->{time}) " . $self->events($name, $filter) . ')'
    ];
}

sub moments
{
    my ($self) = @_;
    my ($first, $second) = ($self->moment, $self->moment);
    my $fixed = 'timestamptz ' . $self->{universe}->event_time;
    my $form = any(
        '{n} ' . any('<', '>', '<=', '>=') . " $fixed",
        '{n} ' . any('<', '>', '=') . ' {m}',
        "{n} - {m} > interval '" . any('3 days', '12 hours', '20 days') . "'",
        '{n} IS NULL',
        'coalesce({n} > {m}, true)');
    return [ map { said(said($form, '{n}', $first->[$_]), '{m}', $second->[$_]) } 0, 1 ];
}

sub latest_text
{
    my ($self) = @_;
    my ($name, $filter) = ($self->name, $self->maybe_filter);
    my $value = "properties->>'plan'";
    my $compared = any("= 'pro'", "<> 'free'", 'IS NULL', "IN ('pro', 'team')");
    return [
        call('event_latest', [ $name, $value, $filter // () ]) . " $compared",
        "(SELECT $value " . $self->events($name, $filter)
          . " ORDER BY $self->{time} DESC, id DESC LIMIT 1) $compared"
    ];
}

sub extreme_text
{
    my ($self) = @_;
    my ($name, $within) = ($self->name, $self->maybe_window);
    my ($function, $aggregate) = any([ 'event_min', 'min' ], [ 'event_max', 'max' ])->@*;
    my $compared = any("= 'pro'", "> 'free'");
    return [
        call($function, [ $name, "properties->>'plan'" ], within => interval($within))
          . " $compared",
        "(SELECT $aggregate(properties->>'plan') " . $self->events($name, undef, $within)
          . ") $compared"
    ];
}

# -- all of it

sub leaf
{
    my ($self) = @_;
    my $favourite = $self->{universe}{favourite};
    return $self->$favourite if $favourite && chance($self->{universe}{favour});
    my $method = weighted(
        6 => 'did', 6 => 'comparison', 2 => 'score_comparison', 2 => 'visited', 2 => 'did_first', 2 => 'stopped',
        2 => 'restarted', 2 => 'regularly', 2 => 'did_then', 2 => 'contact_column',
        2 => 'company_column', 2 => 'in_last', 2 => 'time_in_stage', 2 => 'in_segment',
        2 => 'moments', 1 => 'extreme_text',
        $self->{universe}{partitions} ? 0 : 1 => 'latest_text');
    return $self->$method;
}

# A condition of at most this depth.
sub condition
{
    my ($self, $depth) = @_;
    return $self->leaf if $depth == 0 || chance(0.3);
    my $kind = weighted(4 => 'AND', 3 => 'OR', 2 => 'NOT', 1 => 'at_least', 1 => 'test',
        1 => 'coalesce', 1 => 'case');
    my @parts = map { $self->condition($depth - 1) } 1 .. between(2, 3);
    my $form;

    return join_parts(\@parts, " $kind ") if $kind eq 'AND' || $kind eq 'OR';
    if ($kind eq 'at_least')
    {
        my $k = between(1, scalar @parts);
        return [
            "at_least($k, " . join(', ', map { $_->[0] } @parts) . ')',
            '(' . join(' + ', map { "CASE WHEN $_->[1] THEN 1 ELSE 0 END" } @parts) . ") >= $k"
        ];
    }
    $form = $kind eq 'NOT' ? 'NOT ({n})'
      : $kind eq 'test' ? '({n}) IS ' . any('TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE', 'UNKNOWN')
      : $kind eq 'coalesce' ? 'coalesce({n}, ' . any('true', 'false') . ')'
      : 'CASE WHEN {n} THEN {m} ELSE ' . any('true', 'false', 'NOT ({m})') . ' END';
    return [
        map { said(said($form, '{n}', $parts[0][$_]), '{m}', $parts[1][$_]) } 0, 1 ];
}

sub join_parts
{
    my ($parts, $operator) = @_;
    return [
        map {
            my $of = $_;
            join($operator, map { "($_->[$of])" } @$parts)
        } 0, 1
    ];
}

# A predicate for a segment; it may name the segments of these names.  Returns
# text and the query of its members' keys.
sub predicate
{
    my ($self, $nameable) = @_;
    $self->{nameable} = $nameable;
    my ($text, $sql) = $self->condition(between(0, 2))->@*;
    my $company =
      $self->{universe}{companies} ? ' LEFT JOIN shop.companies o ON o.id = c.company_id' : '';
    return ($text,
        "SELECT c.id FROM members.clock k, shop.contacts c$company WHERE $sql");
}

1;
