# A psql that stays connected, for tests with several sessions: statements can
# be sent without waiting for their end, as one that waits for a lock must be.

package Session;

use strict;
use warnings;

use IPC::Run qw(start pump finish timeout);

# A session of a PostgreSQL::Test::Cluster's database.
sub new
{
    my ($class, $node, $database) = @_;
    my $self = bless {
        in => '', out => '', err => '', sent => 0,
        timer => timeout(180)
    }, $class;
    $self->{psql} = start(
        [ 'psql', '-XAtq', '-d', $node->connstr($database) ],
        '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
        $self->{timer});
    my ($pid) =
      $self->run("\\set VERBOSITY verbose\nSELECT pg_backend_pid();");
    $self->{pid} = $pid;
    return $self;
}

# Sends a script; its end is marked on both outputs.
sub send
{
    my ($self, $script) = @_;
    $self->{sent}++;
    $self->{out} = $self->{err} = '';
    $self->{in} .=
      "$script\n\\echo end $self->{sent}\n\\warn end $self->{sent}\n";
    $self->{timer}->start(180);
    $self->{psql}->pump_nb;
    return;
}

sub done
{
    my ($self) = @_;
    my $end = qr/^end $self->{sent}\n/m;
    $self->{psql}->pump_nb;
    return $self->{out} =~ $end && $self->{err} =~ $end;
}

# What the script printed, and its errors, without the marks.
sub wait
{
    my ($self) = @_;
    my $end = qr/^end $self->{sent}\n/m;
    $self->{psql}->pump
      until $self->{out} =~ $end && $self->{err} =~ $end;
    my ($out, $err) = ($self->{out}, $self->{err});
    s/$end// for $out, $err;
    chomp($out);
    return ($out, $err);
}

sub run
{
    my ($self, $script) = @_;
    $self->send($script);
    return $self->wait;
}

# Waits until the script has ended (true) or waits for a lock (false).
sub settled
{
    my ($self, $observer) = @_;
    while (1)
    {
        return 1 if $self->done;
        my ($waits) = $observer->run(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $self->{pid} AND wait_event_type = 'Lock';"
        );
        return 0 if $waits eq '1' && !$self->done;
    }
}

sub quit
{
    my ($self) = @_;
    $self->{in} .= "\\q\n";
    finish($self->{psql});
    return;
}

1;
