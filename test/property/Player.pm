# Player: plays a case in a database of its own and asks the oracle at each quiet
# point.
#
# The result of a play is undef if all is right, else
#
#   { kind => 'differs' | 'error CODE' | 'crash', step => n, detail => text }
#
# Sessions of a block run at the same time.  Each has a queue: what is sent to a
# session that waits for a lock stays there until it is free again, so that the
# order in which statements begin depends on the case alone, as far as locks allow.

package Player;

use strict;
use warnings;

use Operations;
use Session;

# What a case may run into by itself: a check, a duplicate (also twice in one
# statement), a reference, a deadlock, a serialization failure, and what follows in its transaction; a
# second open deal, a contact that does not exist, a savepoint of a transaction
# that is over.
my $allowed = qr/23505|23514|23503|21000|40P01|40001|25P02|02000|P0002|3B001/;

# A merge that cannot be undone, a contact who is nobody's to forget or to merge.
my $allowed_of_identity = qr/$allowed|55000|22023/;

# Configuration that has gone another way than the generator thought.
my $allowed_of_configuration = qr/$allowed|2BP01|42704|42710|42P01|42P07|22023/;

sub new
{
    my ($class, $node, $name) = @_;
    return bless { node => $node, name => $name, plays => 0 }, $class;
}

sub error_codes
{
    my ($text) = @_;
    return $text =~ /^(?:psql:\S* )?(?:ERROR|FATAL|PANIC):  ([0-9A-Z]{5}):/mg;
}

# An operation's text, with the instants of a clock that goes by transactions.
sub text
{
    my ($self, $operation) = @_;
    my $text = $operation->{rows}
      ? ($operation->{rows}->@*
        ? $operation->{head} . "\n"
          . join($operation->{head} =~ /^COPY/ ? "\n" : ",\n", $operation->{rows}->@*)
          . ($operation->{head} =~ /^COPY/ ? "\n" : ' ')
          . $operation->{tail}
        : '')
      : $operation->{sql};
    $text =~ s/(?<=\@)\@//g;
    $text =~ s/\@(-?\d+)\@/Chance::instant($self->{base} + $1) =~ tr{'}{}dr/ge;
    return $text;
}

sub session
{
    my ($self, $number) = @_;
    return $self->{sessions}[$number] //= do
    {
        my $session = Session->new($self->{node}, $self->{database});
        $session->run("SET client_encoding = 'UTF8'; SET TimeZone = '"
              . (qw(UTC America/New_York Asia/Tokyo Europe/Berlin UTC UTC))[$number]
              . "'; SET client_min_messages = error;");
        $session;
    };
}

sub observer { my ($self) = @_; return $self->session(0) }

# Note the errors of a statement; dies of one that must not be.
sub expect
{
    my ($self, $errors, $operation) = @_;
    my $kind = $operation->{kind} // '';
    my $may =
      $kind eq 'attach' ? qr/none/
      : $kind =~ /segment|stage|zone|rebuild/ ? $allowed_of_configuration
      : $kind eq 'identify' ? $allowed_of_identity
      : $kind =~ /deal|stage|sessions/ ? qr/$allowed|22023/
      : $allowed;
    foreach my $code (error_codes($errors))
    {
        $self->{errors}{$code}++;
        next if $self->{lenient} && $code !~ /^XX/;
        die { kind => "error $code", detail => substr($errors, 0, 1500) }
          if $code !~ $may || ($code eq '40P01' && $self->{no_deadlock});
    }
    return;
}

# Go on with the sessions that are free.
sub advance
{
    my ($self) = @_;
    my $moved = 1;
    while ($moved)
    {
        $moved = 0;
        foreach my $number (sort { $a <=> $b } keys $self->{queue}->%*)
        {
            my $queue = $self->{queue}{$number};
            my $session = $self->session($number);
            while (1)
            {
                if ($self->{running}{$number})
                {
                    last unless $session->settled($self->observer);
                    my (undef, $errors) = $session->wait;
                    $self->expect($errors, delete $self->{running}{$number});
                    $moved = 1;
                }
                last unless @$queue;
                my $operation = shift @$queue;
                $self->{running}{$number} = $operation;
                $session->send($self->text($operation));
                $moved = 1;
            }
        }
    }
    return;
}

# Transactions at once.  Each ends, so nobody waits for ever: who waits does so
# for one that goes on, or PostgreSQL finds a deadlock.
sub play_block
{
    my ($self, $operation) = @_;
    $self->{no_deadlock} = $operation->{no_deadlock};
    $self->{queue} = {};
    $self->{running} = {};
    foreach my $part ($operation->{block}->@*)
    {
        push $self->{queue}{ $part->[0] }->@*, $part->[1];
        $self->advance;
    }
    while ($self->{running}->%*)
    {
        $self->advance;
    }
    delete $self->{no_deadlock};
    $self->play_one($operation->{then}) if $operation->{then};
    return;
}

sub play_one
{
    my ($self, $operation) = @_;
    return $self->play_block($operation) if $operation->{block};
    my $known = $operation->{past} ? $self->known_history : undef;
    my (undef, $errors) = $self->session(1)->run($self->text($operation));
    $self->expect($errors, $operation);
    $self->check_past($operation, $known) if defined $known;
    return;
}

# Where the history ends and the clock stands, before a tick.
sub known_history
{
    my ($self) = @_;
    my ($rows) = $self->observer->run(
        "SELECT last_tick || '|' || (SELECT coalesce(max(id), 0) FROM random.segment_history) FROM random.clock;");
    return $rows;
}

# What a tick wrote down is what was so at each instant on its way: at those of the
# operation, and at some of those at which it says that something changed, and the
# microsecond before.
sub check_past
{
    my ($self, $operation, $known) = @_;
    my ($clock, $history) = split(/\|/, $known);
    my ($instants, $wrong) = $self->observer->run(
        "WITH change AS (SELECT DISTINCT at FROM random.segment_history WHERE id > $history AND cause = 'tick'),"
          . " few AS (SELECT at FROM change ORDER BY hashtext(extract(epoch FROM at)::text) LIMIT 3)"
          . " SELECT i.at FROM few f, LATERAL (VALUES (f.at), (f.at - interval '1 microsecond')) i (at) ORDER BY 1;");
    die $wrong if $wrong ne '';
    my $script = join("\n", map {
        "SELECT set_config('members.at', timestamptz $_ ::text, false)\\g /dev/null\n"
          . "SELECT timestamptz $_, q.* FROM random.clock k,"
          . " LATERAL oracle.check_past('random', timestamptz $_, $history) q"
          . " WHERE timestamptz $_ > timestamptz '$clock' AND timestamptz $_ <= k.last_tick LIMIT 20;"
    } $operation->{past}->@*, map { "'$_'" } split(/\n/, $instants));
    my ($rows, $errors) = $self->observer->run("$script\nRESET members.at;");
    my $differences = join("\n", grep { $_ ne '' } $rows, $errors);
    die { kind => 'differs', detail => "in the past:\n$differences" } if $differences ne '';
    return;
}

my $question = <<'SQL';
SET jit = off;
SELECT q.* FROM members.clock k, LATERAL oracle.check('random', k.at) q LIMIT 20;
SELECT 'lifecycle_verify: ' || what, key, name, stored, computed FROM lifecycle_verify('random') LIMIT 20;
SELECT 'problem', segment, rule, contact, message FROM random.problem LIMIT 5;
SQL

# What differs, as text; nothing if all is right.
sub differences
{
    my ($self) = @_;
    my ($rows, $errors) = $self->observer->run($question);
    my ($previews) = $self->preview;
    return join("\n", grep { $_ ne '' } $rows, $errors, $previews);
}

# One of the segments as lifecycle_preview sees it, which looks at the events
# alone.
sub preview
{
    my ($self) = @_;
    my ($rows, $errors) = $self->observer->run(<<'SQL');
WITH s AS (
    SELECT name, predicate FROM random.segment
    ORDER BY hashtext(name || (SELECT count(*) FROM random.segment_history)) LIMIT 1),
stored AS (SELECT m.contact::text FROM random.segment_member m JOIN s ON s.name = m.segment),
seen AS (SELECT p.contact FROM s, LATERAL lifecycle_preview('random', s.predicate) p (contact))
SELECT 'lifecycle_preview of ' || s.name, d.* FROM s, (
    SELECT contact, 'not seen' FROM (TABLE stored EXCEPT TABLE seen) a
    UNION ALL SELECT contact, 'seen' FROM (TABLE seen EXCEPT TABLE stored) b) d;
SQL
    return join("\n", grep { $_ ne '' } $rows, $errors);
}

sub check
{
    my ($self) = @_;
    my $differences = $self->differences;
    die { kind => 'differs', detail => $differences } if $differences ne '';
    return;
}

sub open_database
{
    my ($self) = @_;
    $self->{database} = "$self->{name}_" . ++$self->{plays};
    $self->{sessions} = [];
    $self->{errors} = {};
    $self->{base} = time;
    $self->{node}->safe_psql('postgres',
        "CREATE DATABASE $self->{database} TEMPLATE property STRATEGY file_copy");
    return;
}

sub close_database
{
    my ($self) = @_;
    foreach my $session (grep { defined } $self->{sessions}->@*)
    {
        eval { $session->quit };
    }
    $self->{sessions} = [];
    eval {
        $self->{node}->safe_psql('postgres', "DROP DATABASE $self->{database} WITH (FORCE)");
    };
    return;
}

# Plays a case: { operations }.  With lenient, errors are none of our
# business, unless they are internal.
sub play
{
    my ($self, $case, %options) = @_;
    my ($step, $result) = (0);
    $self->{lenient} = $options{lenient};
    $self->open_database;
    eval {
        foreach my $operation ($case->{operations}->@*)
        {
            $step++;
            $operation->{check} ? $self->check : $self->play_one($operation);
        }
        1;
    } or do
    {
        $result = ref $@ eq 'HASH' ? $@ : { kind => 'crash', detail => "$@" };
        $result->{step} = $step;
    };
    $options{at_end}->($self) if $options{at_end} && !$result;
    $self->close_database;
    return $result;
}

# The case as a script to be read and played by hand.
sub script
{
    my ($self, $case) = @_;
    my $script = '';
    foreach my $operation ($case->{operations}->@*)
    {
        if ($operation->{check})
        {
            $script .= "-- the oracle is asked\n";
        }
        elsif ($operation->{block})
        {
            foreach my $part ($operation->{block}->@*)
            {
                $script .= "/* session $part->[0] */ " . $self->text($part->[1]) . "\n";
            }
            $script .= $self->text($operation->{then}) . "\n" if $operation->{then};
        }
        else
        {
            $script .= $self->text($operation) . "\n";
        }
    }
    return $script;
}

1;
