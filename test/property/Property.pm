# Property: one property for all cases.  Whatever happens to the application
# tables, the maintained state equals the state computed from scratch, at every
# quiet point.

package Property;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Operations;
use Player;
use Shrink;
use Universe;

# A cluster with a database to copy, which has the extension and the oracle.
sub cluster
{
    my ($name, $oracle) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(extra => [ '--locale=C.UTF-8', '--encoding=UTF8' ]);
    $node->append_conf('postgresql.conf', <<CONF);
max_connections = 30
fsync = off
jit = off
autovacuum = off
deadlock_timeout = 50ms
log_statement = none
log_min_messages = fatal
restart_after_crash = on
CONF
    $node->start;
    $node->safe_psql('postgres', 'CREATE DATABASE property');
    $node->safe_psql('property', "CREATE EXTENSION lifecycle;\n" . slurp_file($oracle));
    return $node;
}

# The case of a seed; words are favoured, see Universe.pm.
sub case_of_seed
{
    my ($seed, $size, @words) = @_;
    srand($seed);
    my $universe = Universe->new($seed, @words);
    return ($universe, Operations->new($universe)->case($size));
}

# Plays the case of a seed.  Returns true and the number of statements; a failure
# is shrunk, shown, and kept in the folder.
sub holds
{
    my ($node, $seed, $size, %options) = @_;
    my ($universe, $case) = case_of_seed($seed, $size);
    my $player = Player->new($node, "seed_$seed");
    my $result = $player->play($case, at_end => $options{at_end});
    my $count = Operations::count($case->{operations}->@*);
    return (1, $count, $player->{errors}) unless $result;

    diag("seed $seed, size $size (" . $universe->description . "): $result->{kind}"
          . " at operation $result->{step}");
    diag($result->{detail});
    my $small = $case;
    unless ($options{no_shrink})
    {
        $small = Shrink::shrink(
            $case, $result,
            play => sub { return $player->play($_[0], lenient => $result->{kind} eq 'differs') },
            tell => sub { diag($_[0]) });
        my $again = $player->play($small, lenient => $result->{kind} eq 'differs');
        $result = $again if $again;
    }
    my $script = "-- seed $seed, size $size: " . $universe->description . "\n"
      . "-- $result->{kind}:\n" . ($result->{detail} =~ s/^/-- /mgr) . "\n"
      . $player->script($small);
    diag($script);
    if ($options{folder})
    {
        my $file = "$options{folder}/seed_$seed.sql";
        open(my $handle, '>', $file) or die "$file: $!";
        print $handle $script;
        close($handle);
        diag("kept in $file");
    }
    return (0, $count, $player->{errors});
}

1;
