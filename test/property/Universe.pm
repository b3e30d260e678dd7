# Universe: the tables and the model of one random case.
#
# A universe is drawn from the seed: type of the keys, time zone, instant at
# which it begins, type of the events' time, with or without companies, deals,
# partitions, foreign keys and anonymous ids, few contacts with much in common or many.
#
# Where its clock is `tick`, all instants are constants.  Where it is
# `transaction`, they are written relative to the instant at which the case is
# played, as @seconds@, which the player puts in; then everything lies five minutes
# beside the borders of windows, so that the play has the time it needs.

package Universe;

use strict;
use warnings;

use Chance;
use Grammar;

# Instants near which something happens to the calendar, in that time zone.
my @places = (
    [ 'UTC', 1709240400 ],                     # 29 February 2024
    [ 'UTC', 1711800000 ],                     # 30 March 2024
    [ 'Europe/Helsinki', 1711728000 ],         # clocks go forward on 31 March
    [ 'Europe/Helsinki', 1729872000 ],         # and back on 27 October
    [ 'America/New_York', 1710000000 ],        # forward on 10 March
    [ 'America/New_York', 1730476800 ],        # back on 3 November
    [ 'Asia/Kolkata', 1706700000 ],            # end of January
    [ 'Australia/Lord_Howe', 1712268000 ],     # back by half an hour, 7 April
    [ 'Pacific/Apia', 1325160000 ]);           # 30 December 2011 was left out

# What a word of Grammar needs.
my %needs = (deals_comparison => 'deals', company_column => 'companies', score_comparison => 'scores', exact => 'companies');

# The universe of a seed.  Words after it are favoured: those of Grammar stand in most
# predicates, others are what the universe has.
sub new
{
    my ($class, $seed, @words) = @_;
    my $large = $seed % 10 == 0 && !@words;
    my ($zone, $start) = any(@places)->@*;
    my %with = map { $_ => 1 } @words, map { $needs{$_} // () } @words;
    my ($word) = grep { Grammar->can($_) } @words;
    ($zone, $start) = $places[ 1 + $seed % 2 ]->@* if $with{months};
    my $self = bless {
        seed => $seed,
        large => $large,
        key => any('bigint', 'bigint', 'text', 'uuid', 'int'),
        zone => $zone,
        now => $start - $start % 600,
        clock => chance(0.15) && !@words ? 'transaction' : 'tick',
        time_type => chance(0.2) ? 'timestamp' : 'timestamptz',
        companies => chance(0.8) || $with{companies},
        deals => chance(0.5) || $with{deals},
        by_hand => $with{by_hand} || $with{exact} || !$with{staged} && chance(0.5),    # stages are set by hand and by rules too
        partitions => chance(0.2) && !$word || $with{partitions},
        triggers => chance(0.2) || $with{triggers},     # the user's own, whose work is rolled back
        anonymous => chance(0.5),    # events may come without contact, with an anonymous id
        contacts => $large ? 300 : between(4, 25),
        company_count => $large ? 40 : between(2, 5),
        segments => $large ? 25 : between(4, 12),
        favourite => $word // any(Grammar::favourites()),    # what its predicates speak of most
        favour => $word ? 0.7 : 0.35,
        window => any(Grammar::window(), undef),
        window_often => 0.4
    }, $class;
    $self->{words} = \%with;

    # Windows of a month, and events where its start will go back.
    @$self{qw(window window_often)} = ('1 month', 0.9) if $with{months};
    $self->{foreign_keys} = !$self->{partitions} && chance(0.15);
    $self->{shared_deals} = $self->{deals} && chance(0.5);    # with further contacts
    $self->{now} = 1704067200 if $self->{clock} eq 'transaction';
    $self->{strangers} = $self->{anonymous} && $self->{by_hand} && $self->{key} eq 'text' && chance(0.6);
    $self->{exact} = $self->{companies} && $self->{by_hand} && (chance(0.3) || $with{exact});
    $self->{late_contacts} = $self->{foreign_keys} ? 0 : 3;
    $self->{scores} = !$large && $self->{clock} eq 'tick' && (chance(0.4) || $with{scores});
    $self->{event_names} =
      [ 'A', 'B', "Plan's Changed", 'Page Viewed', 'Überraschung' ];
    push $self->{event_names}->@*, 'Meeting Booked'
      if $self->{by_hand} && $self->{deals};
    push $self->{event_names}->@*, 'Login', 'Call', 'Refund' if $large;
    $self->{stages} = $self->{by_hand}
      ? [qw(Subscriber Lead MQL SQL Opportunity Customer Evangelist)]
      : [qw(One Two Three Four Five)];
    return $self;
}

# An instant of the universe as an SQL constant.
sub at
{
    my ($self, $seconds, $microseconds) = @_;
    return $self->{clock} eq 'tick'
      ? instant($seconds, $microseconds)
      : sprintf("'\@%d\@'", $seconds - 1704067200 + 300);
}

sub key
{
    my ($self, $number) = @_;
    return $number if $self->{key} =~ /int/;
    return "'Contact $number'" if $self->{key} eq 'text';
    return sprintf("'%08x-0000-4000-8000-%012x'",
        ($number * 2654435761) % 2**32, $number);
}

# Low numbers more often than high ones, so that some contacts have much.
sub contact
{
    my ($self) = @_;
    return $self->key(1 + int(rand()**2 * ($self->{contacts} + $self->{late_contacts})));
}

# Few, so that they meet.
sub anonymous_id { return literal('anonymous ' . between(1, 6)) }

sub event_name
{
    my ($self) = @_;
    my $names = $self->{event_names};
    return $names->[ int(rand()**1.3 * @$names) ];
}

# The lengths of windows, where days have 24 hours.
my @lengths = (5400, 43200, 86400, 93600, 129600, 259200, 604800);

# An instant to which others are to have the distance of a window, or none.
sub remember
{
    my ($self, $seconds) = @_;
    push $self->{recent}->@*, $seconds;
    shift $self->{recent}->@* if $self->{recent}->@* > 8;
    return $seconds;
}

# The time of a new event: now, on the border of a window, long ago, in the
# future; when there was an event already, or a window before or after it.
sub event_time
{
    my ($self) = @_;
    my $ago = weighted(
        5 => between(0, 6) * 600,
        3 => any(@lengths) + any(0, 0, 600, -600),
        2 => 86400 * between(27, 32) + 600 * between(0, 12),
        2 => 600 * between(0, 6 * 24 * 65),
        1 => -600 * between(1, 6 * 24 * 3));
    my $time = $self->{now} - $ago;
    $time = $self->{now} - 86400 * between(28, 31) + 600 * between(-72, 72)
      if $self->{words}{months} && chance(0.5);
    $time = any($self->{recent}->@*) + any(0, 0, any(@lengths), -any(@lengths))
      if $self->{recent} && chance(0.3);
    # Where stages are what matters, distances are those from changes of a stage.
    $self->remember($time) unless $self->{words}{time_in_stage};
    return $self->at($time, chance(0.1) ? any(-1, 1) : 0);
}

# An instant to come, at which a window ends that began at an instant known.
sub border_ahead
{
    my ($self) = @_;
    my @ahead = grep { $_ > $self->{now} }
      map { my $at = $_; map { $at + $_ } @lengths } ($self->{recent} // [])->@*;
    return @ahead ? any(@ahead) : $self->{now} + 600;
}

sub time_sql { return 'occurred_at::timestamptz' }

# What is there before the first operation.
sub setup_sql
{
    my ($self) = @_;
    my ($key, $time) = @$self{qw(key time_type)};
    my $reference =
      $self->{foreign_keys} ? ' REFERENCES shop.contacts ON DELETE CASCADE' : '';
    my $sql = "SET client_min_messages = warning;\nCREATE SCHEMA shop;\n"
      . "CREATE SCHEMA members;\n";

    $sql .= "CREATE TABLE shop.companies (id int PRIMARY KEY, name text,"
      . " industry text, size int, founded date);\n"
      if $self->{companies};
    $sql .= "CREATE TABLE shop.contacts (id $key PRIMARY KEY, email text,"
      . " country text, age int, plan text, created_at $time"
      . ($self->{companies} ? ', company_id int' : '') . ");\n";
    $sql .= "CREATE SEQUENCE shop.event_ids;\n" if $self->{partitions};
    $sql .= 'CREATE TABLE shop.events (id bigint '
      . ($self->{partitions} ? "DEFAULT nextval('shop.event_ids')" : 'GENERATED ALWAYS AS IDENTITY PRIMARY KEY')
      . ", contact_id $key$reference, name text NOT NULL, occurred_at $time NOT NULL,"
      . " amount numeric CHECK (amount < 100000), properties jsonb, message_id text,"
      . ($self->{anonymous} ? ' anonymous_id text,' : '')
      . " UNIQUE (message_id, name))"
      . ($self->{partitions} ? ' PARTITION BY LIST (name)' : '') . ";\n";
    # A partition may have its columns in another order.
    $sql .= "CREATE TABLE shop.events_a (gone int, message_id text, properties jsonb,"
      . ' amount numeric CONSTRAINT events_amount_check CHECK (amount < 100000),'
      . ($self->{anonymous} ? ' anonymous_id text,' : '')
      . " occurred_at $time NOT NULL, name text NOT NULL, contact_id $key, id bigint DEFAULT nextval('shop.event_ids'));\n"
      . "ALTER TABLE shop.events_a DROP COLUMN gone;\n"
      . "ALTER TABLE shop.events ATTACH PARTITION shop.events_a FOR VALUES IN ('A');\n"
      . "CREATE TABLE shop.events_other PARTITION OF shop.events DEFAULT;\n"
      if $self->{partitions};
    $sql .= "CREATE INDEX ON shop.events (contact_id, name, occurred_at);\n";
    $sql .= "CREATE TABLE shop.deals (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
      . " contact_id $key, pipeline text, stage text, amount numeric);\n"
      if $self->{deals};
    $sql .= 'CREATE TABLE shop.deal_contacts (deal_id bigint REFERENCES shop.deals ON DELETE CASCADE,'
      . " contact_id $key$reference);\n"
      if $self->{shared_deals};
    return $sql;
}

# A score of everything that scores have: events with and without decay, a
# condition, a group with a cap.
sub score_sql
{
    my ($self) = @_;
    my $rule = sub {
        my ($name, $points, $rest) = @_;
        return "SELECT lifecycle_add_score_rule('random', 'fit', '$name', $points, $rest);\n";
    };
    return "SELECT lifecycle_add_score('random', 'fit', groups => '{\"web\": " . between(10, 20)
      . "}', decimals => 0" . (chance(0.5) ? ', floor => 0, cap => 40' : '') . ");\n"
      . $rule->('lasting', between(1, 5), "event => 'A'" . (chance(0.5) ? ', times => 3' : ''))
      . $rule->('linear', between(5, 15), "event => 'B', linear_decay => '" . any('1 day', '3 days', '10 days') . "'")
      . $rule->('half', between(4, 9), "event => 'Page Viewed', in_group => 'web', times => 4, half_life => '"
          . any('12 hours', '2 days') . "', filter => \$\$ properties->>'path' LIKE '/p%' \$\$")
      . $rule->('abroad', -between(1, 8), "condition => \$\$ country <> 'FI' \$\$");
}

# A trigger of the user's, which fires for what rules write too.  It inserts an event
# and takes it back.
sub trigger_sql
{
    my ($self) = @_;
    my $time = $self->at($self->{now} - 600);
    return <<SQL;
CREATE FUNCTION shop.take_back() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    INSERT INTO shop.events (contact_id, name, occurred_at, amount) VALUES (NEW.id, 'A', $time, 50);
    RAISE EXCEPTION 'taken back';
EXCEPTION WHEN raise_exception THEN
    RETURN NULL;
END \$\$;
CREATE TRIGGER take_back AFTER INSERT OR UPDATE ON shop.contacts FOR EACH ROW EXECUTE FUNCTION shop.take_back();
SQL
}

# The model, over rows that are there already.
sub attach_sql
{
    my ($self) = @_;
    my $columns = '{' . ($self->{partitions} ? '' : '"events": {"key": "id"}, ')
      . '"contacts": {'
      . ($self->{companies} ? '"company": "company_id"' : '')
      . '}, "deals": {"contact": "contact_id"}}';
    $columns =~ s/, "deals": [^}]*\}// unless $self->{deals};
    my $sql = "SELECT FROM lifecycle_attach('random', 'shop.contacts', 'shop.events',"
      . ($self->{companies} ? " 'shop.companies'," : ' NULL,')
      . ($self->{deals} ? " 'shop.deals'," : ' NULL,')
      . " columns => '$columns', template => "
      . ($self->{by_hand} ? "'hubspot'" : "'empty'")
      . ($self->{shared_deals} ? ", deal_contacts => 'shop.deal_contacts'" : '') . ");\n";

    $sql .= "SELECT lifecycle_set('random', 'time_zone', '$self->{zone}');\n"
      . "SELECT lifecycle_set('random', 'clock', '$self->{clock}');\n";
    $sql .= "SELECT lifecycle_set('random', 'anonymous', 'contact');\n" if $self->{strangers};
    $sql .= "SELECT lifecycle_set('random', 'company_stage', 'exact');\n" if $self->{exact};
    if (!$self->{by_hand})
    {
        $sql .= "SELECT lifecycle_add_stage('random', '$_');\n" foreach $self->{stages}->@*;
        $sql .= "INSERT INTO oracle.model VALUES ('random');\n";
        $sql .= "SELECT lifecycle_add_pipeline('random', 'Sales');\n"
          . "SELECT lifecycle_add_deal_stage('random', 'Sales', 'Talk', 20);\n"
          . "SELECT lifecycle_add_deal_stage('random', 'Sales', 'Closed won', 100);\n"
          . "SELECT lifecycle_add_deal_stage('random', 'Sales', 'Closed lost', 0);\n"
          if $self->{deals};
    }
    if ($self->{clock} eq 'tick')
    {
        $sql .= 'SELECT FROM lifecycle_tick(\'random\', ' . $self->at($self->{now}) . ");\n"
          . "CREATE VIEW members.clock AS SELECT coalesce(nullif(current_setting('members.at', true), '')::timestamptz,"
          . " last_tick) AS at FROM random.clock;\n";
    }
    else
    {
        $sql .= "CREATE VIEW members.clock AS SELECT now() AS at;\n";
    }
    $sql .= $self->score_sql if $self->{scores};
    $sql .= $self->trigger_sql if $self->{triggers};
    return $sql;
}

sub deal_stages
{
    my ($self) = @_;
    return $self->{by_hand}
      ? ('Appointment scheduled', 'Contract sent', 'Closed won', 'Closed lost')
      : ('Talk', 'Closed won', 'Closed lost');
}

sub description
{
    my ($self) = @_;
    return join(', ', "keys $self->{key}", $self->{zone},
        "clock by $self->{clock}", "time $self->{time_type}",
        "$self->{contacts} contacts",
        grep { $self->{$_} } qw(companies deals shared_deals by_hand partitions foreign_keys scores triggers anonymous strangers exact));
}

1;
