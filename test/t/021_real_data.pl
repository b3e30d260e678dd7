# The views on real data: the demo is played, and every number of every view of
# both models is computed a second time by plain SQL on the application tables
# and the histories (test/oracle/views.sql).

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::Bin/../..";
my $node = PostgreSQL::Test::Cluster->new('real');
$node->init(extra => [ '--locale=C.UTF-8', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "timezone = 'UTC'\nfsync = off\n");
$node->start;
{
    local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, REPORTS => PostgreSQL::Test::Utils::tempdir());
    command_ok([ "$top/demo/run" ], 'the demo');
}
$node->safe_psql('lifecycle_demo', "\\i $top/test/oracle/oracle.sql\n\\i $top/test/oracle/views.sql");

my %model = (
    crm => [ '2017-12-31 00:00+00', '{industry,country,source}' ],
    cdnow => [ '1998-06-30 00:00+00', '{}' ]);
foreach my $name (sort keys %model)
{
    my ($clock, $columns) = $model{$name}->@*;
    is($node->safe_psql('lifecycle_demo', "SELECT last_tick = '$clock' FROM $name.clock"), 't', "$name: the clock");
    is($node->safe_psql('lifecycle_demo', "SELECT * FROM oracle.check_views('$name', '$clock', '$columns')"),
        '', "$name: the views and plain SQL agree");
    my %rows = map { split(/\|/) } split(/\n/, $node->safe_psql('lifecycle_demo', "SELECT what, rows FROM oracle.count_views('$name', '$clock', '$columns')"));
    my @views = split(/\n/, $node->safe_psql('lifecycle_demo', <<"SQL"));
SELECT relname FROM pg_class
 WHERE relnamespace = '$name'::regnamespace AND relkind = 'v'
   AND relname NOT LIKE 'stage\\_is\\_%' AND relname NOT IN ('score', 'timer', 'segment_member', 'segment_history') ORDER BY 1
SQL
    # no segments in the one, no lead statuses in the other, no tasks in both
    my @empty = $name eq 'crm' ? qw(segment_contacts segment_flow segment_growth segment_size task_overdue) : qw(lead_status_board task_overdue);
    foreach my $view (@views)
    {
        ok(defined $rows{$view}, "$name: $view is compared");
        cmp_ok($rows{$view}, '>', 0, "$name: $view has rows") unless grep { $_ eq $view } @empty;
    }
    cmp_ok((grep { /^(stage|funnel)_at/ } keys %rows), '>=', 10, "$name: instants");
}
$node->stop;
done_testing();
