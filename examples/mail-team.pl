#!/usr/bin/perl
#
# Mails the messages of a model's outbox to the team: a small consumer to start
# from.  Needs Perl and psql, nothing else.
#
#   PGDATABASE=shop examples/mail-team.pl --model crm --to sales@example.com \
#       [--from crm@example.com] [--smtp localhost:25] [--type meeting_booked]
#       [--every 10]
#
# Connects as psql does, by PGHOST, PGUSER, PGPASSWORD and so on.  Without
# --every it handles what there is and ends, for cron; with it, it looks again
# every so many seconds.  Any number of it may run side by side.
#
# A message is acknowledged after the mail server has accepted it.  If this
# program dies in between, the message is taken again after the visibility time
# and the mail is sent twice; the Message-ID is the same, so that mail programs
# show it once.  What the server refuses is tried again, ten times unless set
# otherwise (setting outbox_max_tries), and is then a dead letter.

use strict;
use warnings;

use Encode qw(encode_utf8);
use Getopt::Long;
use IPC::Open2;
use JSON::PP;
use Net::SMTP;
use POSIX qw(strftime);

my %option = (from => 'lifecycle@localhost', smtp => 'localhost:25');
GetOptions(\%option, 'model=s', 'to=s', 'from=s', 'smtp=s', 'type=s', 'every=i')
  && $option{model} && $option{to}
  or die "usage: $0 --model name --to address [--from address] [--smtp host:port] [--type type] [--every seconds]\n";

# The result of a query, as psql prints it.  Values are handed over as variables
# of psql, which quotes them as literals where the query says :'name'.
sub query
{
    my ($sql, %values) = @_;
    my @arguments = map { ('-v', "$_=$values{$_}") } sort keys %values;
    my $pid = open2(my $out, my $in, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
        @arguments);

    print $in "$sql\n";
    close $in;
    my $result = do { local $/; <$out> };
    waitpid($pid, 0);
    die "psql failed\n" if $? != 0;
    return $result;
}

sub take
{
    my $rows = query(
        q{SELECT coalesce(json_agg(m), '[]') FROM lifecycle_take(:'model', 50, '5 minutes',
            string_to_array(nullif(:'type', ''), ',')) m;},
        model => $option{model},
        type  => $option{type} // '');
    return @{ JSON::PP->new->utf8->decode($rows) };
}

# What a header may hold: no line ends, and nothing but ASCII.
sub header
{
    my ($text) = @_;
    $text =~ s/[^\x20-\x7e]/?/g;
    return $text;
}

# Dies with what the mail server said.
sub mail
{
    my ($message) = @_;
    my $payload = $message->{payload};
    my $lines = join '', map {
        my $value = $payload->{$_};
        "$_: " . (ref $value ? JSON::PP->new->canonical->encode($value) : $value // '') . "\n"
    } sort keys %$payload;
    my $smtp = Net::SMTP->new($option{smtp}, Timeout => 30)
      or die "no mail server at $option{smtp}\n";
    my $accepted =
         $smtp->mail($option{from})
      && $smtp->to($option{to})
      && $smtp->data
      && $smtp->datasend(encode_utf8(
        'From: ' . header($option{from}) . "\n"
          . 'To: ' . header($option{to}) . "\n"
          . 'Subject: ' . header("$message->{type}: $message->{aggregatetype} $message->{aggregateid}") . "\n"
          . 'Date: ' . strftime('%a, %d %b %Y %H:%M:%S +0000', gmtime) . "\n"
          . 'Message-ID: <' . header("$option{model}.$message->{id}") . "\@lifecycle>\n"
          . "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
          . "Content-Transfer-Encoding: 8bit\n\n$lines"))
      && $smtp->dataend;
    my $answer = join ' ', $smtp->code, $smtp->message;
    $smtp->quit;
    die $answer || "no answer\n" unless $accepted;
    return;
}

do
{
    for my $message (take())
    {
        if (eval { mail($message); 1 })
        {
            query(q{SELECT lifecycle_acknowledge(:'model', ARRAY[:'id'::bigint]);},
                model => $option{model}, id => $message->{id});
        }
        else
        {
            (my $error = $@) =~ s/\s+\z//;
            warn "message $message->{id}: $error\n";
            query(q{SELECT lifecycle_reject(:'model', :'id'::bigint, :'error');},
                model => $option{model}, id => $message->{id}, error => $error);
        }
    }
} while ($option{every} && sleep $option{every});
