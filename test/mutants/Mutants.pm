# Mutants: the list of small ways in which the engine is broken, and how one of
# them is made.
#
# The list is text, one mutant a paragraph:
#
#   mutant: a name without blanks
#   file: the file that is changed
#   breaks: what is wrong then
#   - the piece of the file that is replaced
#   + what stands there instead
#   found by: what must find it
#
# Lines that begin with a blank go on with the line before, and several lines of a
# piece are one piece.  Blanks and line ends of a piece match any others, so that a
# piece outlives an indentation; it must be found exactly once.  Found by is
# "property", with words that its cases are to favour (test/property/Universe.pm),
# "order", or "regress" or "isolation" with the names of files; several are separated
# by semicolons, and each must find it.

package Mutants;

use strict;
use warnings;

sub slurp
{
    my ($file) = @_;
    open(my $handle, '<', $file) or die "$file: $!\n";
    local $/;
    return scalar <$handle>;
}

sub parse
{
    my ($paragraph) = @_;
    my %mutant = (from => '', to => '');
    $paragraph =~ s/^#.*\n//mg;
    $paragraph =~ s/\n[ \t]+/ /g;
    foreach my $line (split(/\n/, $paragraph))
    {
        if ($line =~ /^([-+]) ?(.*)$/)
        {
            $mutant{ $1 eq '-' ? 'from' : 'to' } .= "$2\n";
        }
        elsif ($line =~ /^(mutant|file|breaks|found by): (.+)$/ && !exists $mutant{$1})
        {
            $mutant{$1} = $2;
        }
        else
        {
            die "list of mutants: cannot read \"$line\"\n";
        }
    }
    foreach my $field ('mutant', 'file', 'breaks', 'found by')
    {
        die "mutant \"" . ($mutant{mutant} // '?') . "\" has no \"$field\"\n" unless exists $mutant{$field};
    }
    $mutant{tests} = [ map { [ split(' ', $_) ] } split(/;/, $mutant{'found by'}) ];
    return \%mutant;
}

# All mutants of a list, in its order.
sub read_list
{
    my ($file) = @_;
    my @mutants = map { parse("$_\n") } grep { /^mutant:/m } split(/\n\s*\n/, slurp($file));
    my %seen;
    foreach (@mutants)
    {
        die "mutant \"$_->{mutant}\" is there twice\n" if $seen{ $_->{mutant} }++;
    }
    return @mutants;
}

# The file of the mutant in this tree with the piece replaced; or undef and what is
# wrong.
sub mutate
{
    my ($tree, $mutant) = @_;
    my $text = slurp("$tree/$mutant->{file}");
    my $piece = join('\s+', map { quotemeta } split(' ', $mutant->{from}));
    my @places = $piece eq '' ? () : $text =~ /$piece/g;
    my $number = @places;
    return (undef, "its piece of $mutant->{file} is there $number times, not once") if $number != 1;
    my ($before, $found) = $text =~ /^(.*?)($piece)/s;
    (my $to = $mutant->{to}) =~ s/\n\z//;
    my $result = $before . $to . substr($text, length($before) + length($found));
    return (undef, "it changes nothing") if $result eq $text;
    return ($result, undef);
}

1;
