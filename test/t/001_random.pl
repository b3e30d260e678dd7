# The maintained state equals the state computed from scratch, whatever happens
# to the tables: random events, statements, transactions, sessions and instants
# over random segments, held against the oracle at every quiet point.
#
# The model's clock stands where lifecycle_tick put it, so that a seed always
# gives the same run.  SEED, EVENTS and KEY (bigint, text, uuid) in the
# environment make one run of them instead of those below; SCRIPT names a file that
# gets all statements, to be played again by hand.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Session;

my @runs = (
    { seed => 1, events => 10000, key => 'bigint' },
    { seed => 2, events => 1500, key => 'text' },
    { seed => 3, events => 1500, key => 'uuid' });
@runs = (
    {
        seed => $ENV{SEED},
        events => $ENV{EVENTS} // 10000,
        key => $ENV{KEY} // 'bigint'
    }) if defined $ENV{SEED};

my $contacts = 500;    # and some more that arrive after their events
my $late_contacts = 20;
my $companies = 40;
my $zone = 'Europe/Helsinki';   # its clocks go forward on 31 March 2024
my $start = 1710892800;         # 2024-03-20 00:00 UTC

# -- chance

sub any { return $_[ int(rand(@_)) ] }
sub between { my ($low, $high) = @_; return $low + int(rand($high - $low + 1)) }
sub chance { return rand() < $_[0] }

sub literal { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# Low numbers more often than high ones, so that some contacts have much.
sub contact_number { return 1 + int(rand()**2 * ($contacts + $late_contacts)) }

sub rows_of_statement
{
    my $kind = rand();
    return 1 if $kind < 0.35;
    return between(2, 10) if $kind < 0.65;
    return between(11, 100) if $kind < 0.9;
    return between(101, 500);
}

# -- the run at hand

my ($run, $clock, $message, $names, @log);

sub key
{
    my ($number) = @_;
    return $number if $run->{key} eq 'bigint';
    return "'Contact $number'" if $run->{key} eq 'text';
    return sprintf("'%08x-0000-4000-8000-%012x'", ($number * 2654435761) % 2**32,
        $number);
}

sub instant
{
    my ($seconds) = @_;
    my @t = gmtime($seconds);
    return sprintf("'%04d-%02d-%02d %02d:%02d:%02d+00'",
        $t[5] + 1900, $t[4] + 1, @t[ 3, 2, 1, 0 ]);
}

# Instants are multiples of ten minutes: events on the border of a window are
# the rule.
sub event_time
{
    my $kind = rand();
    my $ago =
        $kind < 0.70 ? between(0, 6)
      : $kind < 0.85 ? between(0, 6 * 24 * 5)
      : $kind < 0.93 ? between(0, 6 * 24 * 60)
      : -between(1, 6 * 24 * 3);
    return instant($clock - 600 * $ago);
}

my @event_names = (
    'Signed Up', 'Page Viewed', 'Purchase', 'Login', 'Email Opened',
    'Trial Started', "Plan's Changed", 'Überraschung', 'Call', 'Refund');

sub event_name { return $event_names[ int(rand()**1.5 * @event_names) ] }

sub properties
{
    my @parts;
    push @parts, '"plan": "' . any('free', 'pro', 'team') . '"' if chance(0.6);
    push @parts, '"n": ' . between(0, 20) if chance(0.7);
    push @parts, '"path": "' . any('/', '/pricing', '/pricing/eu', '/docs', '/product') . '"'
      if chance(0.6);
    return '{' . join(', ', @parts) . '}';
}

# The values of one event, in the order of $event_columns.
my $event_columns = 'contact_id, name, occurred_at, amount, properties, message_id';

sub event_values
{
    my $contact = chance(0.02) ? undef : key(contact_number());
    my $amount = chance(0.2) ? undef : between(0, 200) / 2;
    my $id = chance(0.3) ? undef : 'm' . (++$message);
    return ($contact, literal(event_name()), event_time(), $amount,
        literal(properties()), defined $id ? literal($id) : undef);
}

sub sql_row { return '(' . join(', ', map { $_ // 'NULL' } @_) . ')' }

# As a line of COPY; none of the values has a backslash, a tab or a new line.
sub copy_row
{
    return join("\t",
        map { my $v = $_; if (defined $v) { $v =~ s/^'(.*)'$/$1/; $v =~ s/''/'/g } $v // '\N' }
          @_);
}

# -- segments, as predicate text and as plain SQL over c (contact), o (company)

sub events_sql
{
    my ($name, $filter, $within) = @_;
    my $sql = "FROM shop.events e WHERE e.contact_id = c.id AND e.name = "
      . literal($name) . ' AND e.occurred_at <= $1';
    $sql .= " AND e.occurred_at > \$1 - interval '$within'" if $within;
    if ($filter)
    {
        (my $qualified = $filter) =~ s/\b(properties|amount)\b/e.$1/g;
        $sql .= " AND ($qualified)";
    }
    return $sql;
}

sub arguments { return join(', ', grep { defined } @_) }

sub filter
{
    return any(
        "properties->>'plan' = " . literal(any('free', 'pro', 'team')),
        'amount > ' . between(10, 90),
        "(properties->>'n')::int % 3 = " . between(0, 2),
        "properties ? 'plan'",
        'amount IS NULL',
        "properties->>'path' LIKE '/p%'",
        "amount BETWEEN 10 AND 50 AND properties->>'plan' IN ('pro', 'team')");
}

sub window
{
    return any('90 minutes', '1 day', '36 hours', '3 days', '7 days', '1 day 2 hours', '1 month');
}

my %comparison = (
    '>=' => sub { between(1, 6) },
    '>' => sub { between(0, 5) },
    '<' => sub { between(1, 4) },
    '<=' => sub { between(0, 3) },
    '<>' => sub { between(0, 2) },
    '=' => sub { between(0, 3) });

# A comparison with a number, the same in both languages.
sub compared
{
    return sprintf('BETWEEN %d AND %d', between(0, 3), between(3, 8)) if chance(0.2);
    return '= 0' if chance(0.15);
    my $operator = any(sort keys %comparison);
    return "$operator " . $comparison{$operator}->();
}

my @segments;    # of this run: { name, predicate, sql, stage }

my @leaves = (
    sub {        # did
        my $name = event_name();
        my $filter = chance(0.4) ? filter() : undef;
        my $times = chance(0.5) ? between(2, 5) : undef;
        my $within = chance(0.4) ? window() : undef;
        return (
            'did(' . arguments(literal($name), $filter,
                $times ? "times => $times" : undef,
                $within ? "within => interval '$within'" : undef) . ')',
            '(SELECT count(*) ' . events_sql($name, $filter, $within) . ') >= ' . ($times // 1));
    },
    sub {        # event_count
        my $name = event_name();
        my $filter = chance(0.3) ? filter() : undef;
        my $within = chance(0.3) ? window() : undef;
        my $compared = compared();
        return (
            'event_count(' . arguments(literal($name), $filter,
                $within ? "within => interval '$within'" : undef) . ") $compared",
            '(SELECT count(*) ' . events_sql($name, $filter, $within) . ") $compared");
    },
    sub {        # arithmetic of counts
        my ($first, $second) = (event_name(), event_name());
        my ($factor, $limit) = (between(1, 3), between(3, 12));
        my $within = chance(0.4) ? window() : undef;
        my $option = $within ? ", within => interval '$within'" : '';
        my $operator = any('>', '<', '=');
        return (
            'event_count(' . literal($first) . ") + $factor * event_count("
              . literal($second) . "$option) $operator $limit",
            '(SELECT count(*) ' . events_sql($first) . ") + $factor * (SELECT count(*) "
              . events_sql($second, undef, $within) . ") $operator $limit");
    },
    sub {        # event_sum
        my $name = event_name();
        my $filter = chance(0.3) ? filter() : undef;
        my $within = chance(0.4) ? window() : undef;
        my $limit = between(10, 300);
        my ($value, $sum) = any([ 'amount', 'e.amount' ],
            [ "(properties->>'n')::int", "(e.properties->>'n')::int" ])->@*;
        my $predicate = 'event_sum(' . arguments(literal($name), $value, $filter,
            $within ? "within => interval '$within'" : undef) . ')';
        my $sql = "(SELECT sum($sum) " . events_sql($name, $filter, $within) . ')';
        return chance(0.7)
          ? ("$predicate >= $limit", "$sql >= $limit")
          : ("coalesce($predicate, 0) < $limit", "coalesce($sql, 0) < $limit");
    },
    sub {        # event_first, event_last
        my $name = event_name();
        my $filter = chance(0.3) ? filter() : undef;
        my ($function, $aggregate) = any([ 'event_first', 'min' ], [ 'event_last', 'max' ])->@*;
        my $compared = any('<', '>', '<=', '>=') . ' timestamptz '
          . instant($start + 600 * between(-6 * 24 * 20, 6 * 24 * 30));
        return (
            "$function(" . arguments(literal($name), $filter) . ") $compared",
            "(SELECT $aggregate(e.occurred_at) " . events_sql($name, $filter) . ") $compared");
    },
    sub {        # one against the other
        my ($first, $second) = (event_name(), event_name());
        return (
            'event_last(' . literal($first) . ') > event_first(' . literal($second) . ')',
            '(SELECT max(e.occurred_at) ' . events_sql($first) . ') > (SELECT min(e.occurred_at) '
              . events_sql($second) . ')')
          if chance(0.5);
        my $span = any('3 days', '12 hours', '20 days');
        return (
            'event_last(' . literal($first) . ') - event_first(' . literal($first) . ") > interval '$span'",
            '(SELECT max(e.occurred_at) - min(e.occurred_at) ' . events_sql($first)
              . ") > interval '$span'");
    },
    sub {        # visited
        my $pattern = any('/pricing%', '/docs', '/', '/p%');
        my $times = chance(0.5) ? between(2, 4) : undef;
        my $within = chance(0.5) ? window() : undef;
        return (
            'visited(' . arguments(literal($pattern), $times ? "times => $times" : undef,
                $within ? "within => interval '$within'" : undef) . ')',
            '(SELECT count(*) '
              . events_sql('Page Viewed', "properties->>'path' LIKE " . literal($pattern), $within)
              . ') >= ' . ($times // 1));
    },
    sub {        # columns of the contact
        my $column = any(
            'country = ' . literal(any('FI', 'SE', 'DE')),
            'age > ' . between(20, 60),
            'plan IS NULL',
            "country IN ('FI', 'SE')",
            "plan LIKE 'p%'");
        (my $sql = $column) =~ s/\b(country|age|plan)\b(?!')/c.$1/;
        return ($column, $sql);
    },
    sub {        # columns of the company
        my $column = any(
            'company.industry = ' . literal(any('tech', 'retail')),
            'company.size >= ' . between(10, 400),
            'company.industry IS NULL');
        (my $sql = $column) =~ s/\bcompany\./o./;
        return ($column, $sql);
    },
    sub {        # in_segment
        return leaf() unless @segments;
        my $other = any(@segments);
        $other->{named} = 1;
        return ('in_segment(' . literal($other->{name}) . ')', "coalesce(($other->{sql}), false)");
    },
    sub {        # at_least
        my @parts = map { [ leaf() ] } 1 .. between(2, 4);
        my $k = between(1, scalar @parts);
        return (
            "at_least($k, " . join(', ', map { $_->[0] } @parts) . ')',
            '(' . join(' + ', map { "CASE WHEN $_->[1] THEN 1 ELSE 0 END" } @parts) . ") >= $k");
    });

sub leaf { return any(@leaves)->() }

# A combination of up to three leaves, or a lone negation.
sub segment_text
{
    my ($predicate, $sql) = leaf();
    if (chance(0.2))
    {
        ($predicate, $sql) = ("NOT ($predicate)", "NOT ($sql)");
    }
    for (1 .. any(0, 0, 1, 1, 2))
    {
        my ($p, $s) = leaf();
        my $operator = any('AND', 'AND', 'OR', 'AND NOT');
        $predicate = "($predicate) $operator ($p)";
        $sql = "($sql) $operator ($s)";
    }
    return ($predicate, $sql);
}

sub new_segment
{
    my $number = @segments + 1;
    my ($predicate, $sql) = segment_text();
    my $segment = {
        name => "Segment $number" . ($number % 10 ? '' : "'s"),
        predicate => $predicate,
        sql => $sql,
        stage => $number % 6 ? undef : any('Two', 'Three', 'Four', 'Five')
    };
    push @segments, $segment;
    return $segment;
}

sub oracle_sql
{
    my ($segment) = @_;
    my $query = 'SELECT c.id FROM shop.contacts c LEFT JOIN shop.companies o ON o.id = c.company_id'
      . " WHERE $segment->{sql}";
    return 'INSERT INTO oracle.segment (model, name, query, stage) VALUES (\'random\', '
      . join(', ', literal($segment->{name}), literal($query),
        $segment->{stage} ? literal($segment->{stage}) : 'NULL')
      . ') ON CONFLICT (model, name) DO UPDATE SET query = excluded.query;';
}

# A new predicate for a segment that no other one names.
sub alter_segment
{
    my @free = grep { !$_->{named} } @segments;
    my $segment = any(@free);
    my @others = grep { $_ != $segment } @segments;
    my @all = @segments;
    @segments = @others;    # not in terms of itself
    @$segment{qw(predicate sql)} = segment_text();
    @segments = @all;
    in_one("SELECT lifecycle_alter_segment('random', "
          . literal($segment->{name})
          . ', predicate => ' . literal($segment->{predicate}) . ');');
    in_one(oracle_sql($segment));
    return;
}

sub add_segment_sql
{
    my ($segment) = @_;
    return "SELECT lifecycle_add_segment('random', "
      . literal($segment->{name}) . ', ' . literal($segment->{predicate})
      . ($segment->{stage} ? ', stage => ' . literal($segment->{stage}) : '') . ');';
}

# -- statements

sub insert_values
{
    my ($rows, $conflict) = @_;
    my @rows = map { sql_row(event_values()) } 1 .. $rows;

    # messages that were there before, and twice in one statement
    if ($conflict)
    {
        for (1 .. between(1, 5))
        {
            my @values = event_values();
            $values[5] = literal('m' . between(1, $message || 1));
            push @rows, sql_row(@values);
        }
    }
    $run->{inserted} += @rows;
    return "INSERT INTO shop.events ($event_columns) VALUES\n" . join(",\n", @rows)
      . ($conflict ? "\nON CONFLICT (message_id) DO NOTHING;" : ';');
}

sub insert_copy
{
    my ($rows) = @_;
    $run->{inserted} += $rows;
    return "COPY shop.events ($event_columns) FROM STDIN;\n"
      . join("\n", map { copy_row(event_values()) } 1 .. $rows) . "\n\\.";
}

sub insert_select
{
    my ($rows) = @_;
    $run->{inserted} += $rows;
    return "INSERT INTO shop.events (contact_id, name, occurred_at, amount, properties)\n"
      . "SELECT c.id, v.name, v.at - interval '10 minutes' * (row_number() OVER (ORDER BY c.id) % 50), v.amount, v.properties::jsonb\n"
      . 'FROM (SELECT id FROM shop.contacts ORDER BY md5(id::text || ' . literal(between(1, 10**6)) . ") LIMIT $rows) c,\n"
      . ' (VALUES (' . literal(event_name()) . ', timestamptz ' . instant($clock) . ', '
      . between(1, 100) . '::numeric, ' . literal(properties()) . ')) v (name, at, amount, properties);';
}

sub insert_any
{
    my $rows = rows_of_statement();
    return any(\&insert_values, \&insert_values, \&insert_copy, \&insert_select,
        sub { insert_values($_[0], 1) })->($rows);
}

sub insert_that_fails
{
    my @values = event_values();
    $values[3] = 1000000;
    my $rows = insert_values(between(1, 20));
    $rows =~ s/;$/",\n" . sql_row(@values) . ';'/e;
    return $rows;
}

sub some_contacts
{
    my ($share) = @_;
    return 'id = ' . key(contact_number()) if chance(0.4);
    return 'id IN (' . join(', ', map { key(contact_number()) } 1 .. between(2, 10)) . ')'
      if chance(0.5);
    return 'abs(hashtext(id::text)) % ' . between(5, 40) . ' = 0';
}

sub update_contacts
{
    return 'UPDATE shop.contacts SET '
      . any(
        'country = ' . literal(any('FI', 'SE', 'DE', 'FR')),
        'age = ' . between(18, 70),
        'age = age + 1',
        'plan = ' . any('NULL', literal('pro'), literal('free')),
        'country = country',
        'company_id = ' . any('NULL', between(1, $companies)),
        'company_id = ' . between(1, $companies) . ', country = NULL')
      . ' WHERE ' . some_contacts() . ';';
}

sub update_companies
{
    return 'UPDATE shop.companies SET '
      . any('industry = ' . any('NULL', literal('tech'), literal('retail')),
        'size = ' . between(1, 500), 'size = size')
      . ' WHERE '
      . any('id = ' . between(1, $companies), 'id % 7 = ' . between(0, 6)) . ';';
}

sub some_events
{
    my $who = 'contact_id IN (' . join(', ', map { key(contact_number()) } 1 .. between(1, 8)) . ')';
    return any(
        $who,
        "$who AND name = " . literal(event_name()),
        "id % " . between(50, 200) . ' = 0',
        'occurred_at < ' . instant($clock - 86400 * between(20, 60)) . " AND id % 5 = 0");
}

sub delete_events { return 'DELETE FROM shop.events WHERE ' . some_events() . ';' }

sub update_events
{
    return 'UPDATE shop.events SET '
      . any(
        'name = ' . literal(event_name()),
        'occurred_at = ' . event_time(),
        "occurred_at = occurred_at + interval '1 day'",
        'amount = ' . between(0, 100),
        'properties = ' . literal(properties()),
        'contact_id = ' . any('NULL', key(contact_number())),
        'amount = amount')
      . ' WHERE ' . some_events() . ';';
}

sub identify_events
{
    return 'UPDATE shop.events SET contact_id = ' . key(contact_number())
      . ' WHERE contact_id IS NULL AND id % 3 = ' . between(0, 2) . ';';
}

sub contact_row
{
    my ($number) = @_;
    return sql_row(key($number), literal("c$number\@example.com"),
        chance(0.1) ? undef : literal(any('FI', 'SE', 'DE', 'FR')),
        chance(0.2) ? undef : between(18, 70),
        chance(0.3) ? undef : literal(any('free', 'pro', 'team')),
        chance(0.3) ? undef : between(1, $companies));
}

my @waiting;    # contacts whose events may be there already

sub insert_contacts
{
    my @numbers = splice(@waiting, 0, between(1, 3));
    return update_contacts() unless @numbers;
    return 'INSERT INTO shop.contacts (id, email, country, age, plan, company_id) VALUES '
      . join(', ', map { contact_row($_) } @numbers) . ';';
}

# A contact who was there is gone, and does not come back.
sub delete_contact
{
    return 'DELETE FROM shop.contacts WHERE id = ' . key(between(400, $contacts)) . ';';
}

sub tick
{
    $clock += 600 * (chance(0.5) ? between(0, 18) : between(0, 6 * 36));
    return tick_again();
}

# The clock is put back: everything is computed anew as of then.
sub tick_back
{
    $clock -= 600 * between(1, 6 * 12);
    return tick_again();
}

sub tick_again { return "SELECT FROM lifecycle_tick('random', " . instant($clock) . ');' }

# -- running them

my ($one, $two, $observer);

sub shown
{
    my ($session, $script) = @_;
    append_to_file($ENV{SCRIPT}, "-- session $session\n$script\n")
      if defined $ENV{SCRIPT};
    push @log, "-- session $session\n"
      . (length($script) > 2000 ? substr($script, 0, 2000) . ' ...' : $script);
    return $script;
}

# Unexpected errors end the run.
sub expect
{
    my ($errors, $allowed) = @_;
    my @errors = grep { /ERROR|FATAL|PANIC/ } split(/\n/, $errors);
    $run->{deadlocks} += grep { /40P01/ } @errors;
    $run->{serialization} += grep { /40001/ } @errors;
    @errors = grep { $_ !~ $allowed } @errors if $allowed;
    die "unexpected: $errors" if @errors;
    return;
}

sub in_one
{
    my ($script, $allowed) = @_;
    my ($out, $err) = $one->run(shown('one', $script));
    expect($err, $allowed);
    return;
}

sub transaction
{
    my $script = "BEGIN;\n";
    for (1 .. between(1, 4))
    {
        my $statement = any(
            \&insert_any, \&insert_any, \&insert_any, \&update_contacts,
            \&update_events, \&delete_events)->();
        if (chance(0.4))
        {
            $script .= "SAVEPOINT a;\n$statement\n";
            $script .= insert_that_fails() . "\n" if my $fails = chance(0.3);
            $script .= $fails || chance(0.5) ? "ROLLBACK TO a;\n" : "RELEASE a;\n";
        }
        else
        {
            $script .= "$statement\n";
        }
    }
    in_one($script . (chance(0.15) ? 'ROLLBACK;' : 'COMMIT;'), qr/23514/);
    return;
}

# The second session's statement meets the first's open transaction.  A deadlock
# is possible only where the statement itself locks rows of the application
# tables in an order of its own: then one of the two is rolled back.
sub two_sessions
{
    my $inserts_only = chance(0.5);
    my $statement = sub {
        return insert_values(between(1, 60)) if $inserts_only || chance(0.4);
        return any(\&update_contacts, \&update_companies, \&delete_events,
            \&update_events, \&insert_contacts, \&insert_any)->();
    };
    my $allowed = $inserts_only ? qr/40001/ : qr/40001|40P01|25P02/;
    my $begin = sub {
        return chance(0.2) ? "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" : "BEGIN;\n";
    };
    my @ends = map { chance(0.2) ? 'ROLLBACK;' : 'COMMIT;' } 1, 2;

    $allowed = qr/$allowed|25P02/;
    in_one($begin->() . $statement->(), $allowed);
    $two->send(shown('two', $begin->() . $statement->()));
    my $free = $two->settled($observer);
    if ($free)
    {
        my (undef, $err) = $two->wait;
        expect($err, $allowed);
        $one->send(shown('one', $statement->() . "\n$ends[0]"));
        $one->settled($observer);
        (undef, $err) = $two->run(shown('two', $ends[1]));
        expect($err, $allowed);
        (undef, $err) = $one->wait;
        expect($err, $allowed);
    }
    else
    {
        in_one($ends[0], $allowed);
        my (undef, $err) = $two->wait;
        expect($err, $allowed);
        (undef, $err) = $two->run(shown('two', $statement->() . "\n$ends[1]"));
        expect($err, $allowed);
    }
    return;
}

# The clock moves on while an insert is in flight.
sub tick_beside_insert
{
    in_one("BEGIN;\n" . insert_values(between(1, 60)));
    $two->send(shown('two', tick()));
    my $free = $two->settled($observer);
    in_one(chance(0.2) ? 'ROLLBACK;' : 'COMMIT;');
    my (undef, $err) = $two->wait;
    expect($err);
    in_one(tick_again());    # it may have passed by contacts that were locked
    return;
}

my @steps = (
    ([ insert => sub { in_one(insert_any()) } ]) x 10,
    [ failing => sub { in_one(insert_that_fails(), qr/23514/) } ],
    ([ transaction => \&transaction ]) x 4,
    ([ 'two sessions' => \&two_sessions ]) x 5,
    [ 'tick beside insert' => \&tick_beside_insert ],
    ([ tick => sub { in_one(tick()) } ]) x 5,
    [ 'tick back' => sub { in_one(tick_back()) } ],
    ([ contacts => sub { in_one(update_contacts()) } ]) x 2,
    [ companies => sub { in_one(update_companies()) } ],
    ([ 'update events' => sub { in_one(update_events()) } ]) x 2,
    [ 'identify' => sub { in_one(identify_events()) } ],
    ([ 'delete events' => sub { in_one(delete_events()) } ]) x 2,
    [ 'new contacts' => sub { in_one(insert_contacts()) } ],
    [ 'alter segment' => \&alter_segment ],
    [ 'delete contact' => sub { in_one(delete_contact()) } ]);

# True if the oracle agrees; else says all there is to say.
sub agrees
{
    my ($step) = @_;
    my ($rows, $err) = $observer->run(
        "SET jit = off; SELECT * FROM oracle.check('random', " . instant($clock) . ') LIMIT 30;');
    if ($rows eq '' && $err eq '')
    {
        @log = ();
        return 1;
    }
    diag("seed $run->{seed}, step $step, clock " . instant($clock));
    diag("statements since the state was right:\n" . join("\n", @log));
    diag("what|key|expected|actual\n$rows$err");
    foreach my $segment (@segments)
    {
        diag("$segment->{name}: $segment->{predicate}")
          if $rows =~ /\Q$segment->{name}\E\|/;
    }
    return 0;
}

# The oracle can say no: what it must see, done behind the engine's back and
# rolled back.
my @damage = (
    [ 'a member missing', 'DELETE FROM random.segment_member m WHERE m.ctid = (SELECT min(ctid) FROM random.segment_member);' ],
    [ 'a member too many', "INSERT INTO random.segment_member (segment, contact, entered_at) SELECT s.name, c.id, now() FROM random.segment s, shop.contacts c WHERE NOT EXISTS (SELECT FROM random.segment_member m WHERE m.segment = s.name AND m.contact = c.id) LIMIT 1;" ],
    [ 'a history too short', 'DELETE FROM random.segment_history h WHERE h.id = (SELECT max(id) FROM random.segment_history);' ],
    [ 'a stage that nobody gave', "UPDATE shop.contacts c SET stage = CASE stage WHEN 'Five' THEN 'Four' ELSE 'Five' END WHERE c.id = (SELECT c.id FROM shop.contacts c ORDER BY c.id LIMIT 1);" ],
    [ 'a company left behind', "UPDATE shop.companies SET stage = NULL;" ],
    [ 'a wrong count', "INSERT INTO random.stage_count (object, stage, number) VALUES ('contact', 'Two', 1);" ]);

sub sees_damage
{
    foreach my $damage (@damage)
    {
        my ($what, $statement) = @$damage;
        my ($rows, $err) = $observer->run(
            "BEGIN; SET LOCAL session_replication_role = replica; $statement\n"
              . "SELECT count(*) FROM oracle.check('random', " . instant($clock) . "); ROLLBACK;");
        return diag("the oracle does not see $what: $rows$err") && 0
          unless $err eq '' && $rows > 0;
    }
    return 1;
}

sub random_run
{
    my ($node) = @_;
    my $database = "seed_$run->{seed}";
    srand($run->{seed});
    ($clock, $message, @segments, @log) = ($start, 0);
    @waiting = map { $contacts + $_ } 1 .. $late_contacts;
    @$run{qw(inserted deadlocks serialization)} = (0, 0, 0);
    my $type = $run->{key};

    $node->safe_psql('postgres', "CREATE DATABASE $database");
    my $oracle = slurp_file("$FindBin::Bin/../oracle/oracle.sql");
    $node->safe_psql($database, "CREATE EXTENSION lifecycle;\n$oracle");
    $node->safe_psql($database, <<SQL);
CREATE SCHEMA shop;
CREATE TABLE shop.companies (id int PRIMARY KEY, name text, industry text, size int);
CREATE TABLE shop.contacts (id $type PRIMARY KEY, email text, country text, age int,
    plan text, company_id int REFERENCES shop.companies);
CREATE TABLE shop.events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id $type, name text NOT NULL, occurred_at timestamptz NOT NULL,
    amount numeric CHECK (amount < 100000), properties jsonb, message_id text UNIQUE);
CREATE INDEX ON shop.events (contact_id, name, occurred_at);
SQL
    ($one, $two, $observer) = map { Session->new($node, $database) } 1 .. 3;
    $_->run("SET client_encoding = 'UTF8';") for $one, $two, $observer;
    $one->run("SET TimeZone = 'America/New_York';");
    $two->run("SET TimeZone = 'Asia/Tokyo';");

    # half of the contacts and some events are there before the model is
    my $contact_rows = sub {
        return 'INSERT INTO shop.contacts (id, email, country, age, plan, company_id) VALUES '
          . join(",\n", map { contact_row($_) } @_) . ';';
    };
    in_one('INSERT INTO shop.companies SELECT n, \'Company \' || n, '
          . "(ARRAY['tech', 'retail', NULL])[n % 3 + 1], n * 10 FROM generate_series(1, $companies) n;");
    in_one($contact_rows->(1 .. $contacts / 2));
    in_one(insert_values(200));
    in_one(<<SQL);
SELECT FROM lifecycle_attach('random', 'shop.contacts', 'shop.events', 'shop.companies', template => 'empty');
SELECT lifecycle_set('random', 'clock', 'tick');
SELECT lifecycle_set('random', 'time_zone', '$zone');
SELECT lifecycle_add_stage('random', s) FROM unnest(ARRAY['One', 'Two', 'Three', 'Four', 'Five']) s;
INSERT INTO oracle.model VALUES ('random');
SQL
    in_one(tick());
    for (1 .. 40)
    {
        my $segment = new_segment();
        in_one(add_segment_sql($segment));
        in_one(oracle_sql($segment));
    }
    return 0 unless agrees('segments added');
    in_one($contact_rows->($contacts / 2 + 1 .. $contacts));

    my ($step, %done) = (0);
    while ($run->{inserted} < $run->{events})
    {
        $step++;
        my ($kind, $code) = any(@steps)->@*;
        $done{$kind}++;
        push @log, "-- step $step: $kind";
        $code->();
        return 0 unless agrees($step);

        # the last ten segments are added while the data comes in
        if (@segments < 50 && $run->{inserted} > (@segments - 39) * $run->{events} / 12)
        {
            my $segment = new_segment();
            in_one(add_segment_sql($segment));
            in_one(oracle_sql($segment));
            return 0 unless agrees("$step, segment added");
        }
    }

    return 0 unless sees_damage();

    # and at the end nothing is left but who did not
    in_one('TRUNCATE shop.events;');
    return 0 unless agrees('truncated');
    note("seed $run->{seed}: $run->{inserted} events, $step steps: "
          . join(', ', map { "$done{$_} $_" } sort keys %done)
          . "; $run->{deadlocks} deadlocks, $run->{serialization} serialization errors");
    return 1;
}

my $node = PostgreSQL::Test::Cluster->new('random');
$node->init(extra => [ '--locale=C.UTF-8', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "max_connections = 20\nfsync = off\n");
$node->start;

foreach (@runs)
{
    $run = $_;
    my $right = eval { random_run($node) };
    if ($@)
    {
        diag("seed $run->{seed}: $@");
        diag("statements since the state was right:\n" . join("\n", @log));
    }
    ok($right, "seed $run->{seed}, $run->{events} events, keys of type $run->{key}: the oracle agrees at every step");
    foreach ($one, $two, $observer)
    {
        eval { $_->quit } if $_;
    }
}

done_testing();
