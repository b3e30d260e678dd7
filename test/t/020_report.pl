# The report in a browser: at the widths of screens and phones, in light and
# dark, no text is clipped, none overlaps another, the page does not scroll
# sideways, and every text stands out from what is behind it.

use strict;
use warnings;

use IPC::Run qw(run timeout);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($chromium) = grep { -x } map { my $folder = $_; map { "$folder/$_" } qw(chromium chromium-browser) } split(/:/, $ENV{PATH});
plan skip_all => 'chromium is not installed, so the report is not looked at (apt-get install chromium)'
  unless $chromium;

my $node = PostgreSQL::Test::Cluster->new('report');
$node->init(extra => [ '--locale=C.UTF-8', '--encoding=UTF8' ]);
$node->start;
my $folder = PostgreSQL::Test::Utils::tempdir();

# Names that are long, wide, or full of markup; two years; two currencies.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION lifecycle;
SELECT lifecycle_create('nothing', 'empty');
SELECT lifecycle_create('names', 'empty');
SELECT lifecycle_set('names', 'clock', 'tick');
SELECT lifecycle_tick('names', '2023-12-01 00:00+00');
SELECT lifecycle_add_stage('names', name)
  FROM (VALUES (1, '<script>alert("1")</script> & ''co'' <b>'), (2, U&'Eritt\00E4in pitk\00E4j\00E4nteinen markkinoinnin kelpuuttama & \00C5land'),
               (3, repeat(U&'\6F5C\5728\5BA2\6237', 5)), (4, repeat('W', 60)), (5, ']]> 100 % %s %1$s ${x} \n'), (6, 'Customer')) v (n, name)
 ORDER BY n;
INSERT INTO names.pipeline (name, position) VALUES ('P & <Q>', 1);
INSERT INTO names.deal_stage (pipeline, name, position, probability, kind) VALUES
    ('P & <Q>', 'Offer sent & waiting for the legal department of the customer''s parent company', 1, 33.33, 'open'),
    ('P & <Q>', 'Won', 2, 100, 'won'), ('P & <Q>', 'Lost', 3, 0, 'lost');
SELECT lifecycle_add_segment('names', '<&>"''', $$did('A')$$);
SELECT lifecycle_add_segment('names', repeat('M', 60), $$did('A', within => '30 days')$$);
INSERT INTO names.contacts (email, stage)
    SELECT n, s.name FROM generate_series(1, 1500) n, names.stage s WHERE s.position = 1;
DO $$
BEGIN
    FOR month IN 0..25 LOOP
        PERFORM lifecycle_tick('names', '2023-12-15'::timestamptz + month * interval '1 month');
        INSERT INTO names.contacts (email, stage)
            SELECT month || '-' || n, s.name FROM generate_series(1, 40) n, names.stage s WHERE s.position = 1;
        INSERT INTO names.events (contact_id, name, occurred_at)
            SELECT 1 + (n * 37 + month * 11) % 1500, 'A', '2023-12-14'::timestamptz + month * interval '1 month' FROM generate_series(1, 50) n;
        UPDATE names.contacts c
           SET stage = n.name
          FROM names.stage s
          JOIN names.stage n ON n.position = s.position + 1
         WHERE s.name = c.stage AND c.id % 17 = month % 17;
    END LOOP;
END;
$$;
INSERT INTO names.deals (contact_id, name, pipeline, stage, amount, currency, close_date)
    SELECT n, 'd', 'P & <Q>', s.name, 123456789.5 * (n % 7), CASE WHEN n % 5 = 0 THEN 'USD' ELSE 'EUR' END,
           CASE WHEN n % 11 > 0 THEN '2026-02-01'::timestamptz + (n * 3 - 500) * interval '1 day' END
      FROM generate_series(1, 300) n
      JOIN names.deal_stage s ON s.position = 1 + n % 3;
SQL

# Runs inside each page, and tells the page around it what it found.
my $look = <<'JS';
const found = [];
const name = e => (e.textContent || e.className).trim().replace(/\s+/g, ' ').slice(0, 40);
const shown = e => e.getClientRects().length > 0;
document.querySelectorAll('details').forEach(d => d.open = true);

if (document.documentElement.scrollWidth > innerWidth)
    found.push('the page is wider than the screen: ' + document.documentElement.scrollWidth);
document.querySelectorAll('h1, h2, h3, p, dt, dd, summary, td, tbody th').forEach(e => {
    if (e.scrollWidth > e.clientWidth + 1)
        found.push('cut: ' + name(e));
});

// Tables are never cut; a heat map of many columns may scroll on a phone.
document.querySelectorAll('.scroll').forEach(e => {
    const columns = e.querySelectorAll('svg.picture rect[class^="heat"]').length / e.querySelectorAll('svg.picture text.name').length;
    if (e.scrollWidth > e.clientWidth + 1 && !(columns > 4 || columns > 3 && innerWidth < 390))
        found.push('must be scrolled: ' + e.getAttribute('aria-label') + ' by ' + (e.scrollWidth - e.clientWidth));
});

const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2.5;
let texts = 0;
document.querySelectorAll('svg.picture').forEach(svg => {
    const frame = svg.getBoundingClientRect();
    const words = [...svg.querySelectorAll('text')].filter(shown).map(e => [e, e.getBoundingClientRect()]);
    const shapes = [...svg.querySelectorAll('rect.dark, rect.light')].map(e => e.getBoundingClientRect())
        .filter(r => r.width > 0 && r.height > 0);
    texts += words.length;
    words.forEach(([e, r], i) => {
        if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top - 1 || r.bottom > frame.bottom + 1)
            found.push('clipped in ' + svg.querySelector('title').textContent + ': ' + name(e));
        words.slice(i + 1).forEach(([f, s]) => {
            if (meet(r, s))
                found.push('overlap in ' + svg.querySelector('title').textContent + ': ' + name(e) + ' and ' + name(f));
        });
        if (shapes.some(s => meet(r, s)))
            found.push('a shape under: ' + name(e));
    });
});

// The contrast of WCAG 2, 4.5 at least.
const light = c => c.match(/[\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
const behind = e => {
    const cell = e.matches('svg text[class^="on"]') && e.parentNode.querySelector('rect[class^="heat"]');
    if (cell)
        return getComputedStyle(cell).fill;
    for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor;
        if (!/, 0\)|transparent/.test(c))
            return c;
    }
    return 'rgb(255, 255, 255)';
};
document.querySelectorAll('h1, h2, h3, p, dt, dd, summary, th, td, footer, svg text').forEach(e => {
    if (!shown(e))
        return;
    const ratio = contrast(getComputedStyle(e)[e.matches('svg text') ? 'fill' : 'color'], behind(e));
    if (ratio < 4.5)
        found.push('contrast ' + ratio.toFixed(1) + ': ' + name(e));
});
parent.postMessage({ width: innerWidth, dark: matchMedia('(prefers-color-scheme: dark)').matches, texts, found }, '*');
JS

sub chromium
{
    my (@arguments) = @_;
    my ($out, $err) = ('', '');
    run([ $chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
            '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
            "--user-data-dir=$folder/profile", '--virtual-time-budget=10000', @arguments ],
        '<', \'', '>', \$out, '2>', \$err, timeout(180))
      or diag("chromium: $err");
    return $out;
}

sub write_file
{
    my ($file, $text) = @_;
    open(my $handle, '>:raw', $file) or die "$file: $!";
    print $handle $text;
    close($handle);
    return;
}

my @widths = (1280, 960, 899, 600, 560, 390, 320);
foreach my $model ('names', 'nothing')
{
    my $page = $node->safe_psql('postgres', "SELECT lifecycle_report('$model')");
    cmp_ok(length($page), '>', 5000, "$model: there is a page");
    write_file("$folder/$model.html", $page);
    my $watched = $page =~ s{</body>}{<script>//<![CDATA[\naddEventListener('load', () => { $look });\n//]]></script></body>}r;
    write_file("$folder/$model-watched.html", $watched);
    foreach my $scheme ('light', 'dark')
    {
        my $frames = join('', map { qq(<iframe src="$model-watched.html" style="border:0;width:${_}px;height:900px"></iframe>) } @widths);
        write_file("$folder/around.html", qq(<!DOCTYPE html><html style="color-scheme:$scheme"><body><pre></pre>
            <script>addEventListener('message', e => document.querySelector('pre').append(
                [e.data.width, e.data.dark ? 'dark' : 'light', e.data.texts, ...e.data.found].join('|') + '\\n'))</script>$frames</body></html>));
        my $dom = chromium('--blink-settings=preferredColorScheme=' . ($scheme eq 'dark' ? 0 : 1), '--dump-dom', "file://$folder/around.html");
        my ($report) = $dom =~ m{<pre>(.*?)</pre>}s;
        my %seen = map { my ($width, $dark, $texts, @found) = split(/\|/); ($width => [ $dark, $texts, @found ]) } split(/\n/, $report // '');
        foreach my $width (@widths)
        {
            my ($dark, $texts, @found) = @{ $seen{$width} // [ 'not seen', 0 ] };
            is($dark, $scheme, "$model, $width pixels: the scheme is $scheme");
            cmp_ok($texts, '>', $model eq 'names' ? 150 : 6, "$model, $width pixels, $scheme: texts are drawn");
            is(join("\n", @found), '', "$model, $width pixels, $scheme: nothing clipped, overlapping or pale");
        }
    }
}

# It can be pictured, and dark is not light.
my %picture;
foreach my $scheme (0, 1)
{
    chromium("--blink-settings=preferredColorScheme=$scheme", '--window-size=1200,2000', "--screenshot=$folder/$scheme.png", "file://$folder/names.html");
    $picture{$scheme} = -e "$folder/$scheme.png" ? slurp_file("$folder/$scheme.png") : '';
    like(substr($picture{$scheme}, 0, 8), qr/PNG/, 'a screenshot');
}
isnt($picture{0}, $picture{1}, 'dark and light differ');

$node->stop;
done_testing();
