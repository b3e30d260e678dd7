# The maintained state equals the state computed from scratch, whatever happens
# to the tables: random models, predicates, statements, transactions, sessions and
# instants, held against the oracle at every quiet point.
#
# The seeds are fixed.  SEED and SIZE in the environment play one other case;
# test/property/soak ("make soak") plays many.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use lib "$FindBin::Bin/../property";
use Property;

my @seeds = defined $ENV{SEED} ? $ENV{SEED} : 1 .. 20;
my $size = $ENV{SIZE} // 60;

# The oracle can say no: what it must see, done behind the engine's back and
# rolled back.
my @damage = (
    [ 'a member missing', 'DELETE FROM random.membership m WHERE m.ctid = (SELECT min(ctid) FROM random.membership)' ],
    [ 'a member too many', "INSERT INTO random.membership (id, entered_at, noticed_at, segment_id, contact, cause) SELECT 0, now(), now(), s.id, c.id, 'rebuild' FROM random.segment s, shop.contacts c WHERE NOT EXISTS (SELECT FROM random.membership m WHERE m.segment_id = s.id AND m.contact = c.id) LIMIT 1" ],
    [ 'a past within the present', "INSERT INTO random.past_membership (id, entered_at, noticed_at, left_id, left_at, left_noticed_at, segment, contact, cause, left_cause) SELECT nextval('random.segment_change'), now(), now(), nextval('random.segment_change'), now(), now(), s.segment, s.contact, 'event', 'event' FROM random.segment_member s LIMIT 1" ],
    [ 'a stage that nobody gave', "UPDATE shop.contacts c SET stage = CASE stage WHEN 'Five' THEN 'Four' ELSE 'Five' END WHERE c.id = (SELECT c.id FROM shop.contacts c ORDER BY c.id LIMIT 1)" ],
    [ 'a company left behind', 'UPDATE shop.companies SET stage = NULL' ],
    [ 'a wrong count', "INSERT INTO random.stage_count (object, stage, number) VALUES ('contact', 'Two', 1)" ]);

my $seen = 0;

# At the end of the first case that has stages by segments, and companies.
sub sees_damage
{
    my ($player) = @_;
    my ($fits) = $player->observer->run(
        "SELECT EXISTS (SELECT FROM oracle.model) AND EXISTS (SELECT FROM random.segment_member)"
          . " AND EXISTS (SELECT FROM shop.companies WHERE stage IS NOT NULL);");
    return if $seen || $fits ne 't';
    foreach my $damage (@damage)
    {
        my ($what, $statement) = @$damage;
        my ($rows, $errors) = $player->observer->run(
            "BEGIN; SET LOCAL session_replication_role = replica; $statement RETURNING 1;\n"
              . "SELECT 'seen: ' || count(*) FROM members.clock k, LATERAL oracle.check('random', k.at); ROLLBACK;");
        like($rows, qr/seen: [1-9]/, "the oracle sees $what") or diag($errors);
    }
    $seen = 1;
    return;
}

my $node = Property::cluster('property', "$FindBin::Bin/../oracle/oracle.sql");
my $sum = 0;

foreach my $seed (@seeds)
{
    my ($right, $count) = Property::holds($node, $seed, $size,
        folder => $ENV{TESTLOGDIR}, at_end => \&sees_damage);
    ok($right, "seed $seed, $count statements: the oracle agrees at every quiet point");
    $sum += $count;
}
ok($seen, 'damage was tried') unless defined $ENV{SEED};
note("$sum statements");

done_testing();
