# The list of mutants (test/mutants) still fits the engine: each piece of text that
# is to be replaced is there exactly once, and the tests that are said to find it are
# there.  Whether they do is shown by "make mutants".

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/../mutants";
use lib "$FindBin::Bin/../property";
use Grammar;
use Mutants;

my $tree = "$FindBin::Bin/../..";
my @mutants = Mutants::read_list("$tree/test/mutants/list");
my %file = (regress => [ 'sql', 'sql' ], isolation => [ 'test/specs', 'spec' ]);

foreach my $mutant (@mutants)
{
    my (undef, $wrong) = Mutants::mutate($tree, $mutant);
    is($wrong, undef, "$mutant->{mutant} can be made");
    foreach my $test ($mutant->{tests}->@*)
    {
        my ($layer, @names) = @$test;
        if ($file{$layer})
        {
            my ($folder, $ending) = $file{$layer}->@*;
            my @missing = grep { !-e "$tree/$folder/$_.$ending" } @names;
            ok(@names && !@missing, "$mutant->{mutant}: there is $layer @names");
        }
        else
        {
            my @unknown = grep { !Grammar->can($_) && !/^(back|by_hand|deferred|equalities|exact|months|moves|partitions|staged|triggers|with)$/ } @names;
            ok($layer eq 'property' && !@unknown || $layer eq 'order' && !@names,
                "$mutant->{mutant}: there is $layer @names");
        }
    }
}
cmp_ok(scalar @mutants, '>=', 24, 'there are mutants');

# The check itself can say no.
my %sample = %{ $mutants[0] };
foreach ([ 'no such text', '0 times' ], [ 'return', 'times' ])
{
    my ($from, $wrong) = @$_;
    like((Mutants::mutate($tree, { %sample, from => $from }))[1], qr/$wrong/, "\"$from\" is no piece to replace");
}

done_testing();
