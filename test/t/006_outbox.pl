# Readers of the outbox outside the database: logical decoding sees one INSERT a
# message with the columns of Debezium's event router, and the consumer in
# examples/ mails messages to an SMTP server, tries again what that refuses, and
# leaves dead letters.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('outbox');
$node->init(allows_streaming => 'logical');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION lifecycle;
SELECT lifecycle_create('crm');
INSERT INTO crm.contacts (email) VALUES ('aino@example.com'), ('bo@example.com'), ('Åsa <asa@example.com>');
SELECT pg_create_logical_replication_slot('router', 'test_decoding');
INSERT INTO crm.events (contact_id, name, message_id) VALUES (1, 'Meeting Booked', 'm1');
SQL

# -- logical decoding

# Rows that were inserted into, or changed in, a table.
sub decoded
{
    my ($table) = @_;
    return grep { /^table crm\.$table: / } split /\n/,
      $node->safe_psql('postgres',
        "SELECT data FROM pg_logical_slot_get_changes('router', NULL, NULL)");
}

my @rows = decoded('outbox');
is(scalar @rows, 1, 'a meeting is one message');
like(
    $rows[0],
    qr/^table\ crm\.outbox:\ INSERT:\ id\[bigint\]:1
       \ aggregatetype\[text\]:'contact'\ aggregateid\[text\]:'1'
       \ type\[text\]:'[^']+'\ payload\[jsonb\]:'\{.*"contact":\ "1".*\}'/x,
    'with the columns that the event router reads');
$node->safe_psql('postgres', "SELECT lifecycle_take('crm')");
is_deeply([ decoded('outbox') ], [], 'taking it does not change it');
$node->safe_psql('postgres', "SELECT lifecycle_acknowledge('crm', '{1}')");
like((decoded('outbox'))[0], qr/DELETE: id\[bigint\]:1$/,
    'acknowledging deletes it');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('router')");

# -- the consumer in examples/

# A mail server in a process of its own: it keeps what it accepts in a file, and
# refuses mail about contact 2.
my $listener = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', Listen => 5, ReuseAddr => 1)
  or die "cannot listen: $!";
my $smtp = '127.0.0.1:' . $listener->sockport;
my $mailbox = "$PostgreSQL::Test::Utils::tmp_check/mailbox";
append_to_file($mailbox, '');

sub serve
{
    my ($client) = @_;
    my ($mail, $in_data) = ('', 0);
    print $client "220 sink\r\n";
    while (my $line = <$client>)
    {
        $line =~ s/\r?\n\z//;
        if ($in_data && $line eq '.')
        {
            $in_data = 0;
            my $refused = $mail =~ /^contact: 2$/m;
            append_to_file($mailbox, "$mail--\n") unless $refused;
            print $client $refused ? "554 not today\r\n" : "250 ok\r\n";
        }
        elsif ($in_data) { $mail .= "$line\n" }
        elsif ($line =~ /^DATA/i)
        {
            ($in_data, $mail) = (1, '');
            print $client "354 go on\r\n";
        }
        elsif ($line =~ /^QUIT/i) { print $client "221 bye\r\n"; last }
        else { print $client "250 ok\r\n" }
    }
    close $client;
    return;
}

my $server = fork // die "cannot fork: $!";
if ($server == 0)
{
    $SIG{TERM} = 'DEFAULT';    # Cluster.pm's, where it has one, stops the node
    while (my $client = $listener->accept)
    {
        $client->autoflush(1);
        serve($client);
    }
    POSIX::_exit(0);
}
close $listener;

my @consumer = (
    $^X, "$FindBin::Bin/../../examples/mail-team.pl",
    '--model', 'crm', '--to', 'sales@example.com', '--smtp', $smtp);
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';

$node->safe_psql('postgres', <<'SQL');
SELECT lifecycle_set('crm', 'outbox_max_tries', '2');
SELECT lifecycle_add_rule('crm', 'Tell', 'event', 'notify', '{"type": "hello", "payload": {"email": "email"}}', of => 'Signed Up');
INSERT INTO crm.events (contact_id, name) VALUES (1, 'Signed Up'), (2, 'Signed Up'), (3, 'Signed Up');
SQL
command_ok([@consumer], 'the consumer runs');
my $mails = slurp_file($mailbox);
is(scalar(() = $mails =~ /^--$/mg), 2, 'two mails were accepted');
like($mails, qr/^To: sales\@example\.com\nSubject: hello: contact 1$/m,
    'to the team');
like($mails, qr/^Message-ID: <crm\.\d+\@lifecycle>$/m, 'with an id of their own');
like($mails, qr/^email: Åsa <asa\@example\.com>$/m, 'in UTF-8');
is($node->safe_psql('postgres', <<'SQL'), '2|1|f|554', 'the refused one stays');
SELECT o.aggregateid, d.tries, d.dead_at IS NOT NULL, substr(d.last_error, 1, 3)
FROM crm.outbox o JOIN crm.outbox_delivery d USING (id)
SQL
$node->safe_psql('postgres', 'UPDATE crm.outbox_delivery SET visible_at = now()');
command_ok([@consumer], 'it runs again');
is( $node->safe_psql('postgres',
        'SELECT tries, dead_at IS NOT NULL FROM crm.outbox_delivery'),
    '2|t', 'and leaves a dead letter');
kill 'TERM', $server;
waitpid $server, 0;

$node->safe_psql('postgres',
    "SELECT lifecycle_requeue('crm'); UPDATE crm.outbox_delivery SET visible_at = now()");
command_checks_all([@consumer], 0, [qr/^$/], [qr/no mail server at/],
    'without a mail server it says so');
is($node->safe_psql('postgres', 'SELECT last_error FROM crm.outbox_delivery'),
    "no mail server at $smtp", 'and keeps the message');
command_fails([ @consumer, '--model', 'nomodel' ], 'it fails for an unknown model');

$node->stop;
done_testing();
