# What the pages of docs/ show is what a user gets who types it: each block of
# SQL is run, one after the other in a database of the page's own, and where a
# block of output follows it is compared.
#
# RESULTS=folder, if it can be written by the user of the tests, keeps the pages
# with the output as it was, to be read and copied to docs/.

use strict;
use warnings;

use FindBin;
use IPC::Run qw(run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Pages whose examples build on each other from an empty database on, and do
# not depend on the time of day.
my @pages = qw(attach identity import outbox predicates rules sales scores stages time why);

my $node = PostgreSQL::Test::Cluster->new('docs');
$node->init;
$node->append_conf('postgresql.conf', "timezone = 'UTC'\n");
$node->start;

# Without trailing blanks and empty lines.
sub tidy
{
    my ($text) = @_;
    $text =~ s/[ ]+$//mg;
    $text =~ s/\n\s*\n/\n/g;
    $text =~ s/\s+\z//;
    return $text;
}

# What psql shows for a script, without row counts.
sub output_of
{
    my ($database, $script) = @_;
    my $shown;
    run(
        [ 'psql', '-Xq', '-P', 'footer=off', '-v', 'SHOW_CONTEXT=never',
          '-d', $node->connstr($database) ],
        '<', \$script, '>&', \$shown);
    $shown =~ s/^psql:<stdin>:\d+: //mg;
    return tidy($shown);
}

sub check_page
{
    my ($page) = @_;
    my $text = slurp_file("$FindBin::Bin/../../docs/$page.md");
    my $result = '';
    my $shown = '';
    my $sql = '';

    $node->safe_psql('postgres', qq(CREATE DATABASE "$page"));
    $node->safe_psql($page, 'CREATE EXTENSION lifecycle');
    while ($text =~ s/\A(.*?)^```(\w*)\n(.*?)^```\n//ms)
    {
        my ($before, $kind, $block) = ($1, $2, $3);

        if ($kind eq 'sql')
        {
            $sql = $block;
            $shown = output_of($page, $block);
        }
        elsif ($kind eq 'text' && $before =~ /\A\s*\z/ && $sql ne '')
        {
            is($shown, tidy($block), "$page: " . (split /\n/, $sql)[0]);
            $block = "$shown\n";
            $sql = '';
        }
        $result .= "$before```$kind\n$block```\n";
    }
    if ($ENV{RESULTS} && -w $ENV{RESULTS})
    {
        open my $file, '>', "$ENV{RESULTS}/$page.md" or die "$page.md: $!";
        print $file $result . $text;
        close $file;
    }
    return;
}

check_page($_) for @pages;

$node->stop;
done_testing();
