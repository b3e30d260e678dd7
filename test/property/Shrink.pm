# Shrink: a case that fails, made small by delta debugging: operations are left
# out as long as it still fails in the same way, then statements of transactions,
# then rows of statements.  Each attempt is played in a fresh database.

package Shrink;

use strict;
use warnings;

# The smallest list that the test still accepts, by leaving out ever smaller
# pieces.  $may_go says which elements may be left out at all.
sub minimize
{
    my ($list, $may_go, $test) = @_;
    my @list = @$list;
    my $size = int((@list + 1) / 2);
    while ($size >= 1)
    {
        my $removed = 0;
        for (my $from = 0; $from < @list;)
        {
            my @piece = @list[ $from .. ($from + $size > @list ? $#list : $from + $size - 1) ];
            my @kept = grep { !$may_go->($_) } @piece;
            my @rest = (@list[ 0 .. $from - 1 ], @kept, @list[ $from + @piece .. $#list ]);
            if (@rest < @list && $test->(\@rest))
            {
                @list = @rest;
                $from += @kept;
                $removed = 1;
            }
            else
            {
                $from += @piece;
            }
        }
        $size = $size == 1 ? ($removed ? 1 : 0) : int(($size + 1) / 2);
    }
    return \@list;
}

# A copy of the case with one of its operations replaced; without it if there is
# no replacement.
sub with_operation
{
    my ($case, $at, $operation) = @_;
    my @operations = $case->{operations}->@*;
    splice(@operations, $at, 1, $operation // ());
    return { $case->%*, operations => \@operations };
}

# shrink(case, result, play => sub, tell => sub): the smaller case.  play gets a
# case and says how it failed; attempts bounds how often it is asked.
sub shrink
{
    my ($case, $result, %how) = @_;
    my $attempts = $how{attempts} // 400;
    my $fails = sub {
        my ($smaller) = @_;
        return 0 if $attempts-- <= 0;
        my $again = $how{play}->($smaller);
        return $again && $again->{kind} eq $result->{kind};
    };
    my $may_go = sub { return !$_[0]{fixed} };
    my $small = { $case->%*,
        operations => [ $case->{operations}->@[ 0 .. $result->{step} - 1 ] ] };

    # the checks before the last one were right
    my @operations = $small->{operations}->@*;
    my $last = pop @operations;
    my $quiet = { $small->%*, operations => [ (grep { !$_->{check} } @operations), $last ] };
    $small = $quiet if $fails->($quiet);

    $small->{operations} = minimize($small->{operations}, $may_go,
        sub { return $fails->({ $small->%*, operations => $_[0] }) });
    $how{tell}->('statements left: ' . scalar $small->{operations}->@*) if $how{tell};

    # parts of transactions, then rows
    for my $at (0 .. $small->{operations}->$#*)
    {
        my $operation = $small->{operations}[$at];
        next unless $operation->{block};
        my $parts = minimize($operation->{block}, sub { return !$_[0][1]{fixed} },
            sub { return $fails->(with_operation($small, $at, { %$operation, block => $_[0] })) });
        $small = with_operation($small, $at, { %$operation, block => without_idle($parts) });
    }
    for my $at (0 .. $small->{operations}->$#*)
    {
        my $operation = $small->{operations}[$at];
        next unless $operation->{rows};
        my $rows = minimize($operation->{rows}, sub { return 1 },
            sub { return $_[0]->@* && $fails->(with_operation($small, $at, { %$operation, rows => $_[0] })) });
        $small = with_operation($small, $at, { %$operation, rows => $rows });
    }
    return $small;
}

# Sessions of which only BEGIN and COMMIT are left.
sub without_idle
{
    my ($parts) = @_;
    my %busy = map { $_->[0] => 1 } grep { !$_->[1]{fixed} } @$parts;
    return [ grep { $busy{ $_->[0] } } @$parts ];
}

1;
