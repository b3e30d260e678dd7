# Operations: what happens to a universe, as data, before anything is run.
#
# An operation is one of
#
#   { sql => text }                       a statement, or several
#   { head => text, rows => [...], tail => text }   rows that can be left out
#   { block => [[session, operation] ...] } sessions whose transactions overlap
#   { check => 1 }                        a quiet point: the oracle is asked
#
# with `kind` for the statistics, `fixed` if the shrinker must not leave it out, and
# `past` for a tick: instants at which the history that it wrote is held against the oracle.  Operations do not depend on what others did: each of them can be
# left out, and the rest can still be played.

package Operations;

use strict;
use warnings;

use Chance;
use Grammar;

# What the values of event_values are of.
sub columns
{
    my ($self) = @_;
    return 'contact_id, name, occurred_at, amount, properties, message_id'
      . ($self->{u}{anonymous} ? ', anonymous_id' : '');
}

sub new
{
    my ($class, $universe) = @_;
    return bless {
        u => $universe,
        grammar => Grammar->new($universe),
        message => 0,
        number => 0,
        segments => []    # names that are probably there, in order
    }, $class;
}

# -- rows

sub properties
{
    my @parts;
    push @parts, '"plan": "' . any('free', 'pro', 'team') . '"' if chance(0.6);
    push @parts, '"n": ' . between(0, 20) if chance(0.7);
    push @parts, '"path": "' . any('/', '/pricing', '/pricing/eu', '/docs', '/product') . '"'
      if chance(0.6);
    return '{' . join(', ', @parts) . '}';
}

sub some_message { my ($self) = @_; return literal('m' . between(1, $self->{message} || 1)) }

# The values of one event, in the order of columns.
sub event_values
{
    my ($self) = @_;
    my $u = $self->{u};
    my $stranger = $u->{anonymous} && chance(0.15);
    my $contact =
      $stranger || chance(0.02) ? undef
      : $u->{foreign_keys} && chance(0.9) ? $u->key(between(1, $u->{contacts}))
      : $u->contact;
    return (
        $contact,
        literal($u->event_name),
        $u->event_time,
        chance(0.2) ? undef : between(0, 200) / 2,
        literal(properties()),
        chance(0.3) ? undef : literal('m' . (++$self->{message})),
        $u->{anonymous} ? ($stranger || chance(0.2) ? $u->anonymous_id : undef) : ());
}

sub sql_row { return '(' . join(', ', map { $_ // 'NULL' } @_) . ')' }

# As a line of COPY; none of the values has a backslash, a tab or a new line.
sub copy_row
{
    return join("\t",
        map { my $v = $_; if (defined $v) { $v =~ s/^'(.*)'$/$1/; $v =~ s/''/'/g } $v // '\N' }
          @_);
}

sub number_of_rows
{
    my ($self) = @_;
    return weighted(4 => 1, 3 => between(2, 8), 1 => between(9, $self->{u}{large} ? 300 : 30));
}

# -- statements on events

sub insert_values
{
    my ($self, $rows) = @_;
    my @rows = map { [ $self->event_values ] } 1 .. $rows // $self->number_of_rows;

    # Another one of the same instant, with other values.
    push @rows, [ $rows[0]->@[ 0 .. 2 ], between(0, 200) / 2, literal(properties()), (undef) x ($rows[0]->@* - 5) ]
      if chance(0.25) && @rows;
    push @rows, $self->follower($rows[0]->@*) if $self->{u}{words}{did_then} && chance(0.6) && @rows;
    return {
        kind => 'insert',
        head => "INSERT INTO shop.events (" . $self->columns . ") VALUES",
        rows => [ map { sql_row(@$_) } @rows ],
        tail => ';'
    };
}

# An event that follows another one of the contact by exactly a window of the
# predicates.
sub follower
{
    my ($self, $contact, undef, $time, @others) = @_;
    $contact //= 'NULL';
    my $u = $self->{u};
    my $within = "interval '" . $self->{grammar}->a_window . "'";
    $time = $u->{time_type} eq 'timestamp' ? "timestamp $time + $within"
      : "(timestamptz $time AT TIME ZONE '$u->{zone}' + $within) AT TIME ZONE '$u->{zone}'";
    return [ $contact, literal($u->event_name), $time, between(0, 200) / 2, literal(properties()), (undef) x (@others - 2) ];
}

# Messages that were there before, and twice in one statement.
sub insert_on_conflict
{
    my ($self) = @_;
    my $operation = $self->insert_values;
    my $name;
    for (1 .. between(1, 4))
    {
        my @values = $self->event_values;
        $values[5] = $self->some_message;
        push $operation->{rows}->@*, sql_row(@values);
    }
    $operation->{kind} = 'insert on conflict';
    $operation->{tail} = chance(0.6)
      ? 'ON CONFLICT (message_id, name) DO NOTHING;'
      : 'ON CONFLICT (message_id, name) DO UPDATE SET '
      . any('occurred_at = excluded.occurred_at', 'amount = excluded.amount',
        'contact_id = excluded.contact_id') . ';';
    return $operation;
}

# A message sent twice, without a word about conflicts.
sub insert_duplicate
{
    my ($self) = @_;
    my $operation = $self->insert_values(between(1, 4));
    my @values = $self->event_values;
    @values[ 1, 5 ] = ("'A'", $self->some_message);
    push $operation->{rows}->@*, sql_row(@values);
    $operation->{kind} = 'duplicate';
    return $operation;
}

sub insert_copy
{
    my ($self) = @_;
    return {
        kind => 'copy',
        head => "COPY shop.events (" . $self->columns . ") FROM STDIN;",
        rows => [ map { copy_row($self->event_values) } 1 .. $self->number_of_rows ],
        tail => '\.'
    };
}

sub insert_select
{
    my ($self) = @_;
    my $u = $self->{u};
    return {
        kind => 'insert select',
        sql => 'INSERT INTO shop.events (contact_id, name, occurred_at, amount, properties)'
          . ' SELECT c.id, ' . literal($u->event_name) . ', ' . $u->event_time . ', '
          . between(1, 100) . ', ' . literal(properties())
          . ' FROM shop.contacts c WHERE abs(hashtext(c.id::text)) % ' . between(2, 5) . ' = 0;'
    };
}

# An INSERT that names a partition.
sub insert_partition
{
    my ($self) = @_;
    return $self->insert_values unless $self->{u}{partitions};
    my @rows;
    for (1 .. between(1, 4))
    {
        my @values = $self->event_values;
        $values[1] = "'A'";
        push @rows, sql_row(@values);
    }
    return {
        kind => 'insert partition',
        head => "INSERT INTO shop.events_a (" . $self->columns . ") VALUES",
        rows => \@rows,
        tail => ';'
    };
}

# Event and contact by one statement, or event and change of the contact.
sub insert_with
{
    my ($self) = @_;
    my $u = $self->{u};
    my $rows = join(', ', map { sql_row($self->event_values) } 1 .. between(1, 3));
    my $other = chance(0.5)
      ? 'UPDATE shop.contacts SET age = 33 WHERE id = ' . $u->contact . ' RETURNING id'
      : 'INSERT INTO shop.contacts (id, country) VALUES ('
      . ($u->{by_hand} ? $u->contact : $u->key($u->{contacts} + between(1, 3))) . ", 'FI')"
      . ' ON CONFLICT DO NOTHING RETURNING id';
    return {
        kind => 'insert with',
        sql => "WITH x AS ($other) INSERT INTO shop.events (" . $self->columns . ") VALUES $rows;"
    };
}

sub track
{
    my ($self) = @_;
    my $u = $self->{u};
    return {
        kind => 'track',
        sql => "SELECT lifecycle_track('random', " . typed($u, $u->contact) . ', '
          . literal($u->event_name) . ', ' . literal(properties()) . ', '
          . $u->event_time . ');'
    };
}

sub insert_any
{
    my ($self) = @_;
    my $method = weighted(6 => 'insert_values', 2 => 'insert_copy', 1 => 'insert_select',
        2 => 'insert_on_conflict', 1 => 'insert_partition',
        ($self->{u}{words}{with} ? 12 : 1) => 'insert_with', 1 => 'track');
    return $self->$method;
}

sub insert_that_fails
{
    my ($self) = @_;
    return $self->insert_duplicate if chance(0.4);
    my $operation = $self->insert_values(between(1, 5));
    my @values = $self->event_values;
    $values[3] = 1000000;
    push $operation->{rows}->@*, sql_row(@values);
    $operation->{kind} = 'fail';
    return $operation;
}

sub some_events
{
    my ($self) = @_;
    my $u = $self->{u};
    my $who = 'contact_id IN (' . join(', ', map { $u->contact } 1 .. between(1, 3)) . ')';
    return any(
        $who,
        "$who AND name = " . literal($u->event_name),
        'id % ' . between(3, 20) . ' = 0',
        'name = ' . literal($u->event_name) . ' AND id % 2 = 0',
        'occurred_at < ' . $u->at($u->{now} - 86400 * between(1, 40)) . ' AND id % 3 = 0');
}

sub delete_events
{
    my ($self) = @_;
    return { kind => 'delete', sql => 'DELETE FROM shop.events WHERE ' . $self->some_events . ';' };
}

sub update_events
{
    my ($self) = @_;
    my $u = $self->{u};
    my $set = any(
        'name = ' . literal($u->event_name),
        'occurred_at = ' . $u->event_time,
        "occurred_at = occurred_at + interval '1 day'",
        'amount = ' . between(0, 100),
        'properties = ' . literal(properties()),
        'contact_id = ' . any($u->{strangers} ? 'NULL, anonymous_id = NULL' : 'NULL', $u->contact),
        'amount = amount');
    my $which = $self->some_events;
    ($set, $which) = ('contact_id = ' . $u->contact, 'contact_id IS NULL') if chance(0.1);
    return { kind => 'update', sql => "UPDATE shop.events SET $set WHERE $which;" };
}

sub truncate_events { return { kind => 'truncate', sql => 'TRUNCATE shop.events;' } }

# -- contacts and companies

sub typed { my ($u, $key) = @_; return "$key\::$u->{key}" }

sub contact_values
{
    my ($self, $key) = @_;
    my $u = $self->{u};
    return (
        $key,
        chance(0.1) ? undef : literal(any('FI', 'SE', 'DE', 'FR')),
        chance(0.2) ? undef : between(18, 70),
        chance(0.3) ? undef : literal(any('free', 'pro', 'team')),
        chance(0.3) ? undef : $u->event_time,
        $u->{companies} ? (chance(0.3) ? undef : between(1, $u->{company_count})) : ());
}

sub insert_contacts
{
    my ($self, @keys) = @_;
    my $u = $self->{u};
    @keys = map { $u->key($u->{contacts} + $_) } 1 .. between(1, 3) unless @keys;
    return {
        kind => 'insert contact',
        head => 'INSERT INTO shop.contacts (id, country, age, plan, created_at'
          . ($u->{companies} ? ', company_id' : '') . ') VALUES',
        rows => [ map { sql_row($self->contact_values($_)) } @keys ],
        tail => chance(0.7) ? 'ON CONFLICT DO NOTHING;'
        : 'ON CONFLICT (id) DO UPDATE SET age = excluded.age, country = excluded.country;'
    };
}

sub some_contacts
{
    my ($self) = @_;
    my $u = $self->{u};
    return any(
        'id = ' . $u->contact,
        'id IN (' . join(', ', map { $u->contact } 1 .. between(2, 5)) . ')',
        'abs(hashtext(id::text)) % ' . between(2, 6) . ' = 0');
}

sub update_contacts
{
    my ($self) = @_;
    my $u = $self->{u};
    my @sets = (
        'country = ' . literal(any('FI', 'SE', 'DE', 'FR')),
        'age = ' . between(18, 70),
        'age = age + 1',
        'plan = ' . any('NULL', literal('pro'), literal('free')),
        'country = country',
        'created_at = ' . $u->event_time,
        'created_at = NULL');
    push @sets, 'company_id = ' . any('NULL', between(1, $u->{company_count})),
      'company_id = ' . between(1, $u->{company_count}) . ', country = NULL'
      if $u->{companies};
    return {
        kind => 'update contact',
        sql => 'UPDATE shop.contacts SET ' . any(@sets) . ' WHERE ' . $self->some_contacts . ';'
    };
}

# In a universe whose stages the oracle derives from the segments, a contact who was
# there is gone, and nobody comes back under that key.
sub delete_contacts
{
    my ($self) = @_;
    my $u = $self->{u};
    my $key = $u->{by_hand} ? $u->contact : $u->key(between(1, $u->{contacts}));
    return {
        kind => 'delete contact',
        sql => "DELETE FROM shop.contacts WHERE id = $key;"
    };
}

sub change_key
{
    my ($self) = @_;
    my $u = $self->{u};
    return $self->update_contacts if !$u->{by_hand} || $u->{foreign_keys};
    return {
        kind => 'change key',
        sql => 'UPDATE shop.contacts SET id = ' . $u->contact . ' WHERE id = ' . $u->contact . ';'
    };
}

sub change_companies
{
    my ($self) = @_;
    my $u = $self->{u};
    return $self->update_contacts unless $u->{companies};
    my $which = any('id = ' . between(1, $u->{company_count}), 'id % 2 = ' . between(0, 1));
    my $set = any('industry = ' . any('NULL', literal('tech'), literal('retail')),
        'size = ' . between(1, 500), 'size = size', 'founded = ' . $u->event_time . '::timestamptz::date');
    return {
        kind => 'company',
        sql => weighted(
            6 => "UPDATE shop.companies SET $set WHERE $which;",
            1 => 'DELETE FROM shop.companies WHERE id = ' . between(1, $u->{company_count}) . ';',
            2 => "INSERT INTO shop.companies (id, industry, size) VALUES ("
              . between(1, $u->{company_count}) . ", 'tech', 50) ON CONFLICT (id) DO UPDATE SET size = 50;")
    };
}

sub change_deals
{
    my ($self) = @_;
    my $u = $self->{u};
    return $self->change_companies unless $u->{deals};
    my $stage = literal(any($u->deal_stages));
    my $which = any('contact_id = ' . $u->contact, 'id % 3 = ' . between(0, 2));
    my $amount = any('NULL', between(1, 100));
    return $self->change_deal_contacts if $u->{shared_deals} && chance(0.4);
    return {
        kind => 'deal',
        sql => weighted(
            6 => "INSERT INTO shop.deals (contact_id, amount, stage) VALUES ("
              . any($u->contact, $u->contact, 'NULL') . ", $amount, $stage);",
            2 => "UPDATE shop.deals SET stage = $stage WHERE $which;",
            2 => "UPDATE shop.deals SET amount = $amount WHERE $which;",
            1 => 'UPDATE shop.deals SET contact_id = ' . $u->contact . " WHERE $which;",
            1 => "DELETE FROM shop.deals WHERE $which;",
            0.3 => 'TRUNCATE shop.deals' . ($u->{shared_deals} ? ', shop.deal_contacts;' : ';'))
    };
}

# Contacts come to deals and leave them.
sub change_deal_contacts
{
    my ($self) = @_;
    my $u = $self->{u};
    my $which = any('contact_id = ' . $u->contact, 'deal_id % 3 = ' . between(0, 2));
    return {
        kind => 'deal',
        sql => weighted(
            6 => 'INSERT INTO shop.deal_contacts SELECT id, ' . $u->contact
              . ' FROM shop.deals WHERE id % ' . between(2, 5) . ' = 0;',
            2 => "DELETE FROM shop.deal_contacts WHERE $which;",
            2 => 'UPDATE shop.deal_contacts SET contact_id = ' . $u->contact . " WHERE $which;",
            1 => 'UPDATE shop.deal_contacts SET deal_id = (SELECT min(id) FROM shop.deals)'
              . " WHERE $which AND EXISTS (SELECT FROM shop.deals);",
            0.3 => 'TRUNCATE shop.deal_contacts;')
    };
}

sub change_stage
{
    my ($self) = @_;
    my $u = $self->{u};
    return $self->update_contacts unless $u->{by_hand};
    my $stage = literal(any($u->{stages}->@*));
    my $contact = $u->contact;
    return {
        kind => 'stage',
        sql => weighted(
            3 => "UPDATE shop.contacts SET stage = $stage WHERE " . $self->some_contacts . ';',
            1 => "UPDATE shop.contacts SET stage = NULL WHERE " . $self->some_contacts . ';',
            2 => "SELECT lifecycle_advance('random', " . typed($u, $contact) . ", $stage, 'by chance');",
            2 => "SELECT lifecycle_set_stage('random', " . typed($u, $contact) . ", $stage, 'by chance');")
    };
}

# -- whose events they are

# Where the oracle derives the stages from the segments, nobody gets the stage of
# another one.
sub change_identity
{
    my ($self) = @_;
    my $u = $self->{u};
    my ($one, $other) = map { typed($u, $_) } $u->contact, $u->contact;
    my $identify = "SELECT lifecycle_identify('random', " . $u->anonymous_id . ", $one);";
    return $u->{anonymous} ? { kind => 'identify', sql => $identify } : $self->update_contacts
      unless $u->{by_hand};
    return { kind => 'identify', sql => $identify } if $u->{anonymous} && chance(0.4);
    return { kind => 'identify', sql => $self->unmerge_sql } if $one eq $other || chance(0.3);
    return {
        kind => 'identify',
        sql => weighted(
            5 => "SELECT lifecycle_merge('random', $one, $other, 'by chance');",
            1 => "SELECT lifecycle_forget('random', $one);")
    };
}

# The latest merge is undone.
sub unmerge_sql
{
    return "SELECT lifecycle_unmerge('random', max(id)) FROM random.contact_merge"
      . ' WHERE undone_at IS NULL HAVING count(*) > 0;';
}

# -- import

# Rows that are taken in without rules, or later.
sub take_in
{
    my ($self) = @_;
    my $mode = any('silent', 'defer', 'defer');
    return {
        kind => "import $mode",
        block => [
            map { [ 1, $_ ] } { fixed => 1, sql => "BEGIN; SET LOCAL lifecycle.import_mode = '$mode';" },
            $self->statements(between(1, 4)),
            { fixed => 1, sql => chance(0.1) ? 'ROLLBACK;' : 'COMMIT;' }
        ],
        then => { fixed => 1, sql => "SELECT lifecycle_take_deferred('random');" }
    };
}

# The history made anew.  Where the oracle derives stages from it, it must stay.
sub replay
{
    my ($self) = @_;
    return $self->rebuild unless $self->{u}{by_hand};
    return { kind => 'rebuild', sql => "SELECT lifecycle_replay('random', true);" };
}

# A column gets another number.
sub move_column
{
    my ($self) = @_;
    my ($table, $column, $type) = any(
        [ 'contacts', 'country', 'text' ], [ 'contacts', 'age', 'int' ], [ 'contacts', 'plan', 'text' ],
        [ 'events', 'amount', 'numeric CHECK (amount < 100000)' ])->@*;
    ($table, $column, $type) = ('events', 'amount', 'numeric CHECK (amount < 100000)') if $self->{u}{words}{moves};
    (my $moved = $type) =~ s/$column/moved/;
    return {
        kind => 'move column',
        sql => "BEGIN;\nALTER TABLE shop.$table ADD moved $moved;\nUPDATE shop.$table SET moved = $column;\n"
          . "ALTER TABLE shop.$table DROP $column;\nALTER TABLE shop.$table RENAME moved TO $column;\nCOMMIT;"
    };
}

# -- configuration

sub segment_sql
{
    my ($self, $name, $query) = @_;
    (my $view = $name) =~ s/"/""/g;
    return qq{CREATE OR REPLACE FUNCTION members."$view"() RETURNS TABLE (id $self->{u}{key})}
      . qq{ LANGUAGE sql STABLE AS \$query\$ $query \$query\$;\n}
      . qq{CREATE OR REPLACE VIEW members."$view" AS SELECT id FROM members."$view"();};
}

sub add_segment
{
    my ($self) = @_;
    my $number = ++$self->{number};
    my $name = "Segment $number" . ($number % 5 ? '' : "'s \"own\"");
    my ($predicate, $query) = $self->{grammar}->predicate($self->{segments});
    my $stage = $number % 3 && !$self->{u}{words}{staged} ? undef : any($self->{u}{stages}->@*);
    push $self->{segments}->@*, $name;
    (my $view = $name) =~ s/"/""/g;
    return {
        kind => 'add segment',
        sql => "BEGIN;\nSELECT lifecycle_add_segment('random', " . literal($name) . ', '
          . literal($predicate) . ($stage ? ', stage => ' . literal($stage) : '') . ");\n"
          . $self->segment_sql($name, $query)
          . "\nINSERT INTO oracle.segment (model, name, query, stage) VALUES ('random', "
          . literal($name) . ', ' . literal(qq{SELECT id FROM members."$view"}) . ', '
          . ($stage ? literal($stage) : 'NULL') . ");\nCOMMIT;"
    };
}

# A new predicate; it may name segments that came before, so that there is no
# cycle.
sub alter_segment
{
    my ($self) = @_;
    my $segments = $self->{segments};
    return $self->add_segment unless @$segments;
    my $at = int(rand(@$segments));
    my ($predicate, $query) = $self->{grammar}->predicate([ @$segments[ 0 .. $at - 1 ] ]);
    return {
        kind => 'alter segment',
        sql => "BEGIN;\nSELECT lifecycle_alter_segment('random', " . literal($segments->[$at])
          . ', predicate => ' . literal($predicate) . ");\n"
          . $self->segment_sql($segments->[$at], $query) . "\nCOMMIT;"
    };
}

# Stages stay where a dropped segment has led to; the oracle derives them from
# the segments that are there, unless they are set by hand too.
sub drop_segment
{
    my ($self) = @_;
    return $self->alter_segment if !$self->{u}{by_hand} || $self->{segments}->@* < 4;
    my ($name) = splice($self->{segments}->@*, int(rand($self->{segments}->@*)), 1);
    (my $view = $name) =~ s/"/""/g;
    return {
        kind => 'drop segment',
        sql => "BEGIN;\nSELECT lifecycle_drop_segment('random', " . literal($name) . ");\n"
          . qq{DROP VIEW members."$view";\nDROP FUNCTION members."$view"();\n}
          . "DELETE FROM oracle.segment WHERE name = " . literal($name) . ";\nCOMMIT;"
    };
}

sub configure
{
    my ($self) = @_;
    my $u = $self->{u};
    my $method = weighted(4 => 'add_segment', 5 => 'alter_segment', 2 => 'drop_segment', 1 => 'set', 1 => 'change_score');
    return $self->add_segment if $self->{segments}->@* < $u->{segments};
    return $self->$method;
}

sub set
{
    my ($self) = @_;
    my $u = $self->{u};
    return {
        kind => 'rename stage',
        sql => "SELECT lifecycle_alter_stage('random', " . literal(any($u->{stages}->@*))
          . ', at_position => ' . between(1, scalar $u->{stages}->@*) . ');'
    } if $u->{by_hand} && chance(0.5);
    return {
        kind => 'time zone',
        sql => "SELECT lifecycle_set('random', 'time_zone', "
          . literal(any($u->{zone}, 'UTC', 'Asia/Tokyo', 'America/New_York')) . ');'
    };
}

sub change_score
{
    my ($self) = @_;
    return $self->alter_segment unless $self->{u}{scores};
    return {
        kind => 'score and segment',
        sql => any(
            "SELECT lifecycle_alter_score_rule('random', 'fit', 'lasting', points => " . between(1, 5) . ');',
            "SELECT lifecycle_alter_score_rule('random', 'fit', 'linear', linear_decay => '2 days');",
            "SELECT lifecycle_alter_score('random', 'fit', cap => " . between(15, 40) . ');')
    };
}

sub rebuild
{
    my ($self) = @_;
    my $u = $self->{u};
    return {
        kind => 'rebuild',
        sql => "SELECT lifecycle_rebuild('random'"
          . (chance(0.5) ? ', ' . typed($u, $u->contact) : '') . ');'
    };
}

# -- time

sub tick
{
    my ($self) = @_;
    my $u = $self->{u};
    return { kind => 'tick', sql => "SELECT FROM lifecycle_tick('random');" }
      if $u->{clock} ne 'tick';
    my $before = $u->{now};
    $u->{now} += weighted(
        5 => 600 * between(1, 18),
        4 => 600 * between(0, 6 * 36),
        4 => $u->border_ahead - $u->{now},
        2 => 86400 * between(1, 3),
        1 => 86400 * between(4, 40));
    $u->{now} = $u->border_ahead if $u->{words}{time_in_stage} && chance(0.6) && $u->{now} > $before;
    $u->remember($u->{now});
    my $tick = "SELECT FROM lifecycle_tick('random', " . $u->at($u->{now});
    return { kind => 'tick', sql => "$tick, max_contacts => 2);" } if chance(0.2);
    return {
        kind => 'tick',
        sql => "$tick);",
        past => [
            map { $u->at($before + 600 * between(0, ($u->{now} - $before) / 600), chance(0.3) ? any(-1, 1) : 0) } 1 .. 2
        ]
    };
}

# Those that are still due at the same instant, until nobody is.
sub tick_again
{
    return {
        kind => 'tick again',
        fixed => 1,
        sql => "SELECT FROM random.clock, LATERAL lifecycle_tick('random', last_tick) t"
          . ' WHERE last_tick IS NOT NULL;'
    };
}

# The clock is put back: everything is computed anew as of then.
sub tick_back
{
    my ($self) = @_;
    my $u = $self->{u};
    return $self->tick if $u->{clock} ne 'tick';
    $u->{now} -= 600 * between(1, 6 * 12);
    return {
        kind => 'tick back',
        sql => "SELECT FROM lifecycle_tick('random', " . $u->at($u->{now}) . ');'
    };
}

# -- transactions

# A statement that can stand in a transaction beside others.
sub statement
{
    my ($self) = @_;
    my $method = weighted(
        10 => 'insert_any', 3 => 'update_contacts', 3 => 'update_events',
        3 => 'delete_events', 2 => 'change_companies', 2 => 'change_deals',
        2 => 'change_stage', 1 => 'insert_contacts', 1 => 'delete_contacts',
        1 => 'change_identity', 0.3 => 'change_key', 0.1 => 'truncate_events');
    return $self->$method;
}

# Statements of a transaction, some of them in savepoints that are rolled back.
sub statements
{
    my ($self, $number) = @_;
    my @statements;
    for my $n (1 .. $number)
    {
        if (!chance(0.35))
        {
            push @statements, $self->statement;
            next;
        }
        my $fails = chance(0.3);
        push @statements, { sql => "SAVEPOINT s$n;" }, $self->statement;
        push @statements, $self->insert_that_fails if $fails;
        push @statements,
          { sql => $fails || chance(0.5) ? "ROLLBACK TO s$n;" : "RELEASE s$n;" };
    }
    return @statements;
}

sub begin
{
    return {
        fixed => 1,
        sql => weighted(
            5 => 'BEGIN;',
            1 => 'BEGIN ISOLATION LEVEL REPEATABLE READ;',
            1 => 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM shop.events;')
    };
}

sub transaction
{
    my ($self) = @_;
    return {
        kind => 'transaction',
        block => [
            map { [ 1, $_ ] } begin(), $self->statements(between(1, 4)),
            { fixed => 1, sql => chance(0.15) ? 'ROLLBACK;' : 'COMMIT;' }
        ]
    };
}

# Two to four transactions at once, interleaved by chance.  A deadlock is
# possible where a session has several statements, or one that locks rows of the
# application tables in an order of its own, but not between single INSERTs.
sub sessions
{
    my ($self) = @_;
    my $inserts_only = chance(0.3);
    my @queues;
    my $ticks = 0;
    foreach my $session (1 .. between(2, 4))
    {
        my $kind = rand();
        my @statements;
        if ($inserts_only)
        {
            @statements = ($self->insert_values);
        }
        elsif ($kind < 0.12)
        {
            @statements = ($self->tick);
            $ticks = 1;
        }
        elsif ($kind < 0.17)
        {
            @statements = ($self->rebuild);
        }
        else
        {
            @statements = $self->statements(between(1, 3));
        }
        push @queues,
          [
            map { [ $session, $_ ] } begin(), @statements,
            { fixed => 1, sql => chance(0.2) ? 'ROLLBACK;' : 'COMMIT;' }
          ];
    }
    my @block;
    while (@queues = grep { @$_ } @queues)
    {
        push @block, shift any(@queues)->@*;
    }
    return {
        kind => $ticks ? 'sessions and tick' : 'sessions',
        block => \@block,
        no_deadlock => $inserts_only,
        then => $self->{u}{clock} eq 'tick' ? tick_again() : undef
    };
}

# A segment changes while others write.
sub sessions_and_segment
{
    my ($self) = @_;
    my $operation = $self->sessions;
    my $change = $self->configure;
    $operation->{kind} = 'sessions and segment';
    splice($operation->{block}->@*, int(rand($operation->{block}->@*)), 0, [ 5, $change ]);
    return $operation;
}

# -- a case

# The whole case: { operations => [...] }.
sub case
{
    my ($self, $number) = @_;
    my $u = $self->{u};
    my @operations;

    push @operations, { fixed => 1, sql => $u->setup_sql };
    push @operations,
      {
        sql => "INSERT INTO shop.companies (id, name, industry, size) SELECT n, 'Company ' || n,"
          . " (ARRAY['tech', 'retail', NULL])[n % 3 + 1], n * 10 FROM generate_series(1, $u->{company_count}) n;"
      } if $u->{companies};
    push @operations, $self->insert_contacts(map { $u->key($_) } 1 .. $u->{contacts});
    push @operations, $self->insert_values(between(0, 10)) if chance(0.7);
    push @operations, { kind => 'attach', fixed => 1, sql => $u->attach_sql };
    push @operations, $self->add_segment for 1 .. between(2, $u->{segments});
    push @operations, { check => 1 };

    while (@operations < $number)
    {
        my $method = weighted(
            10 => 'insert_any', 1 => 'insert_that_fails', 2 => 'insert_duplicate',
            4 => 'transaction', 6 => 'sessions', 1 => 'sessions_and_segment',
            7 => 'tick', ($u->{words}{back} ? 7 : 0.7) => 'tick_back', 3 => 'update_contacts', 2 => 'change_companies',
            2 => 'change_deals', 2 => 'change_stage', 3 => 'update_events', 3 => 'delete_events',
            0.2 => 'truncate_events', 1 => 'insert_contacts', 0.7 => 'delete_contacts',
            0.4 => 'change_key', 2 => 'configure', 0.4 => 'rebuild', 2 => 'change_identity',
            ($u->{words}{deferred} ? 8 : 1) => 'take_in', 0.3 => 'replay',
            ($u->{words}{moves} ? 5 : 0.5) => 'move_column');
        my $operation = $self->$method;
        push @operations, $operation;
        push @operations, tick_again() if $operation->{kind} eq 'tick' && $operation->{sql} =~ /max_contacts/;
        push @operations, { check => 1 } if chance(0.5);
    }
    push @operations, { check => 1 };
    return { operations => \@operations };
}

# How many statements a case has.
sub count
{
    my (@operations) = @_;
    my $sum = 0;
    foreach (@operations)
    {
        $sum += $_->{check} ? 0 : $_->{block} ? scalar $_->{block}->@* : 1;
    }
    return $sum;
}

1;
