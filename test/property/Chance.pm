# Chance: what the generators of random cases are made of.  The same seed gives
# the same numbers, so that a case is known by its seed.

package Chance;

use strict;
use warnings;

use Exporter 'import';
our @EXPORT = qw(any between chance weighted literal instant);

# One of these.
sub any { return $_[ int(rand(@_)) ] }

# A whole number from low to high.
sub between { my ($low, $high) = @_; return $low + int(rand($high - $low + 1)) }

sub chance { return rand() < $_[0] }

# One of the values of a list of weight, value, weight, value ...
sub weighted
{
    my (@pairs) = @_;
    my $sum = 0;
    $sum += $pairs[ 2 * $_ ] foreach 0 .. $#pairs / 2;
    my $at = rand($sum);
    while (@pairs > 2 && $at >= $pairs[0])
    {
        $at -= $pairs[0];
        splice(@pairs, 0, 2);
    }
    return $pairs[1];
}

# Text as an SQL constant.
sub literal { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# Seconds since 1970 as an SQL constant; the microsecond before or after it
# stands on the other side of a border.
sub instant
{
    my ($seconds, $microseconds) = @_;
    $microseconds //= 0;
    if ($microseconds < 0)
    {
        $seconds--;
        $microseconds += 1000000;
    }
    my @t = gmtime($seconds);
    return sprintf("'%04d-%02d-%02d %02d:%02d:%02d%s+00'",
        $t[5] + 1900, $t[4] + 1, @t[ 3, 2, 1, 0 ],
        $microseconds ? sprintf('.%06d', $microseconds) : '');
}

1;
