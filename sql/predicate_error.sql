--
-- Texts that are no predicate: each is refused when it is given, with the place
-- in the text, and nothing is changed by the attempt.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS lifecycle;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never

SELECT lifecycle_create('predicate_crm');
INSERT INTO predicate_crm.contacts (id, country) VALUES (1, 'FI');
-- the short way to try a text
CREATE FUNCTION pg_temp.try(predicate text) RETURNS SETOF text LANGUAGE sql
AS 'SELECT lifecycle_preview(''predicate_crm'', predicate)';
SELECT pg_temp.try($$country = 'FI'$$);

--
-- 1. Not one expression
--
SELECT pg_temp.try('');
SELECT pg_temp.try('   ');
SELECT pg_temp.try('country =');
SELECT pg_temp.try($$country = 'FI$$);
SELECT pg_temp.try($$country = 'FI' country = 'SE'$$);
SELECT pg_temp.try($$country = 'FI'; DROP TABLE predicate_crm.contacts$$);
SELECT pg_temp.try($$country = 'FI', true$$);
SELECT pg_temp.try('(country');
SELECT pg_temp.try('true) OR (true');
SELECT pg_temp.try('true FROM pg_class');
SELECT pg_temp.try('true WHERE false');
SELECT pg_temp.try('true UNION SELECT true');
SELECT pg_temp.try('true AS x');
SELECT pg_temp.try('*');
SELECT pg_temp.try('true ORDER BY 1');
SELECT pg_temp.try('true -- a comment is fine');

--
-- 2. What an expression may not have
--
SELECT pg_temp.try('(SELECT true)');
SELECT pg_temp.try('EXISTS (SELECT FROM pg_class)');
SELECT pg_temp.try('id IN (SELECT 1)');
SELECT pg_temp.try('count(*) > 1');
SELECT pg_temp.try('max(id) > 1');
SELECT pg_temp.try('row_number() OVER () = 1');
SELECT pg_temp.try('generate_series(1, 2) = 1');
SELECT pg_temp.try('unnest(ARRAY[true])');
SELECT pg_temp.try('random() < 0.5');
SELECT pg_temp.try('clock_timestamp() > created_at');
SELECT pg_temp.try('created_at > now()');
SELECT pg_temp.try($$created_at > now() - interval '1 day'$$);
SELECT pg_temp.try('created_at > current_timestamp');
SELECT pg_temp.try('created_at::date = current_date');
SELECT pg_temp.try('owner = current_user');
SELECT pg_temp.try($$nextval('predicate_crm.contacts_id_seq') > 1$$);
SELECT pg_temp.try($$pg_sleep(1) IS NULL$$);
SELECT pg_temp.try($$set_config('search_path', 'x', false) = 'x'$$);
SELECT pg_temp.try($$current_setting('search_path') = 'x'$$);
SELECT pg_temp.try($$pg_read_file('/etc/passwd') = ''$$);
SELECT pg_temp.try($$query_to_xml('SELECT 1', true, true, '') IS NOT NULL$$);
SELECT pg_temp.try($$lifecycle_set_stage('predicate_crm', 1, 'Lead') = 'Lead'$$);
SELECT pg_temp.try('$1');
SELECT pg_temp.try('country = $1');
-- what depends on the session's settings is not immutable; a literal is read in
-- the model's time zone
SELECT pg_temp.try($$created_at > '2024-01-01'$$);
SELECT pg_temp.try($$created_at::text LIKE '2024%'$$);
SELECT pg_temp.try($$created_at > timestamptz '2024-01-01 00:00+00' AND false$$);

--
-- 3. Types
--
SELECT pg_temp.try('country');
SELECT pg_temp.try('1');
SELECT pg_temp.try('id');
SELECT pg_temp.try($$id = 'x'$$);
SELECT pg_temp.try('id = country');
SELECT pg_temp.try('country > 1');
SELECT pg_temp.try('NOT country');
SELECT pg_temp.try($$did('A') = 1$$);
SELECT pg_temp.try($$event_count('A') = 'x'$$);
SELECT pg_temp.try($$event_count('A')$$);
SELECT pg_temp.try($$event_first('A') > 1$$);
SELECT pg_temp.try('NULL');

--
-- 4. Names that do not exist
--
SELECT pg_temp.try($$contry = 'FI'$$);
SELECT pg_temp.try($$Country = 'FI'$$);
SELECT pg_temp.try($$"Country" = 'FI'$$);
SELECT pg_temp.try($$company.industri = 'Tools'$$);
SELECT pg_temp.try($$companies.industry = 'Tools'$$);
SELECT pg_temp.try($$contacts.country = 'FI'$$);
SELECT pg_temp.try($$event.name = 'A'$$);
SELECT pg_temp.try($$properties->>'path' = '/'$$);
SELECT pg_temp.try($$didd('Signed Up')$$);
SELECT pg_temp.try($$visit('/')$$);
SELECT pg_temp.try($$event_conut('A') > 1$$);
SELECT pg_temp.try($$public.did('A')$$);
SELECT pg_temp.try($$in_segment('None')$$);
SELECT pg_temp.try($$no_such_function(country)$$);
SELECT pg_temp.try($$upper(country, 1) = 'FI'$$);
SELECT pg_temp.try($$country OPERATOR(public.=) 'FI'$$);
SELECT pg_temp.try($$country::no_such_type IS NULL$$);
SELECT pg_temp.try($$tableoid = 1$$);
SELECT pg_temp.try($$contacts IS NULL$$);

--
-- 5. Arguments of the event functions
--
SELECT pg_temp.try($$did()$$);
SELECT pg_temp.try($$did('A', true, 3, '1 day', 5)$$);
SELECT pg_temp.try($$did(NULL)$$);
SELECT pg_temp.try($$did('')$$);
SELECT pg_temp.try($$did(country)$$);
SELECT pg_temp.try($$did('A' || 'B')$$);
SELECT pg_temp.try($$did('A', tiems => 3)$$);
SELECT pg_temp.try($$did('A', times => 3, times => 3)$$);
SELECT pg_temp.try($$did('A', times => 3, true)$$);
SELECT pg_temp.try($$did('A', times => 0)$$);
SELECT pg_temp.try($$did('A', times => -1)$$);
SELECT pg_temp.try($$did('A', times => 1.5)$$);
SELECT pg_temp.try($$did('A', times => 'many')$$);
SELECT pg_temp.try($$did('A', times => 99999999999999999999)$$);
SELECT pg_temp.try($$did('A', times => id)$$);
SELECT pg_temp.try($$did('A', within => 'a day')$$);
SELECT pg_temp.try($$did('A', within => 7)$$);
SELECT pg_temp.try($$did('A', within => '0 days')$$);
SELECT pg_temp.try($$did('A', within => '-1 day')$$);
SELECT pg_temp.try($$did('A', within => NULL)$$);
SELECT pg_temp.try($$did('A', within => '1 month -31 days')$$);
SELECT pg_temp.try($$did('A', within => '100000 years')$$);
SELECT pg_temp.try($$did('A', propertes->>'x' = '1')$$);
SELECT pg_temp.try($$did('A', country = 'FI')$$);
SELECT pg_temp.try($$did('A', properties->>'x')$$);
SELECT pg_temp.try($$did('A', did('B'))$$);
SELECT pg_temp.try($$did('A', occurred_at > now())$$);
SELECT pg_temp.try($$did('A', random() < 0.5)$$);
SELECT pg_temp.try($$did('A', (SELECT true))$$);
SELECT pg_temp.try($$event_sum('A') > 1$$);
SELECT pg_temp.try($$event_sum('A', properties->>'x') > 1$$);
SELECT pg_temp.try($$event_sum('A', name) > 1$$);
SELECT pg_temp.try($$event_count('A', times => 3) > 1$$);
SELECT pg_temp.try($$event_first('A', within => '1 day') IS NOT NULL$$);
SELECT pg_temp.try($$visited(path => '/')$$);
SELECT pg_temp.try($$visited(1)$$);
SELECT pg_temp.try($$at_least(2)$$);
SELECT pg_temp.try($$at_least(3, true, false)$$);
SELECT pg_temp.try($$at_least(0, true, false)$$);
SELECT pg_temp.try($$at_least(1, country)$$);
SELECT pg_temp.try($$at_least(id, true, false)$$);
SELECT pg_temp.try($$in_segment(country)$$);
SELECT pg_temp.try($$did(DISTINCT 'A')$$);
SELECT pg_temp.try($$did('A') FILTER (WHERE true)$$);
SELECT pg_temp.try($$did('A') OVER ()$$);
-- a score that is not there
SELECT pg_temp.try($$score('fit') > 10$$);
-- words with more than one interval, or with numbers that must go together
SELECT pg_temp.try($$did_first('A')$$);
SELECT pg_temp.try($$stopped('A', '30 days', '90 days')$$);
SELECT pg_temp.try($$stopped('A', active => '30 days', quite => '7 days')$$);
SELECT pg_temp.try($$restarted('A', '30 days', '0 days')$$);
SELECT pg_temp.try($$regularly('A', 1, '1 week', 4, 5)$$);
SELECT pg_temp.try($$regularly('A', 1, '1 week', 1001, 5)$$);
SELECT pg_temp.try($$regularly('A', 1, '10 years', 200, 5)$$);
SELECT pg_temp.try($$regularly('A', times => 0, per => '1 week', periods => 2, at_least => 1)$$);
SELECT pg_temp.try($$did_then('A', 'B', '1 day', filter => true)$$);
SELECT pg_temp.try($$did_then('A', 'B', '1 day', second_filter => country = 'FI')$$);
-- in_last needs a column that says an instant
SELECT pg_temp.try($$in_last(country, '1 day')$$);
SELECT pg_temp.try($$in_last(createdat, '1 day')$$);
SELECT pg_temp.try($$in_last('2024-01-01', '1 day')$$);
SELECT pg_temp.try($$in_last(event.occurred_at, '1 day')$$);
SELECT pg_temp.try($$in_last(created_at, '-1 day')$$);
-- time_in_stage changes all the time: it must be compared
SELECT pg_temp.try($$time_in_stage()$$);
SELECT pg_temp.try($$time_in_stage() = '1 day'$$);
SELECT pg_temp.try($$time_in_stage() > 1$$);
SELECT pg_temp.try($$time_in_stage() > created_at - created_at$$);
SELECT pg_temp.try($$time_in_stage('MQL') > '1 day'$$);
SELECT pg_temp.try($$NOT '1 day' < time_in_stage()$$);
-- the filter of open_deals sees deals
SELECT pg_temp.try($$open_deals(country = 'FI') > 0$$);
SELECT pg_temp.try($$open_deals(deal.amount > 1) > 0$$);
SELECT pg_temp.try($$open_deals(ammount > 1) > 0$$);
SELECT pg_temp.try($$open_deals('x') > 0$$);
SELECT pg_temp.try($$open_deals(did('A')) > 0$$);

--
-- 6. The same on every path that takes a text
--
SELECT lifecycle_add_segment('predicate_crm', 'Bad', $$country = 'FI' AND contry = 'SE'$$);
SELECT lifecycle_add_segment('predicate_crm', 'Good', $$country = 'FI'$$);
SELECT lifecycle_alter_segment('predicate_crm', 'Good', predicate => $$country = random()::text$$);
SELECT lifecycle_explain('predicate_crm', $$did('A', tiems => 3)$$);
SELECT lifecycle_add_rule('predicate_crm', 'Bad', 'segment entered', 'notify', of => 'Good', condition => 'count(*) > 1');
SELECT lifecycle_add_rule('predicate_crm', 'Bad', 'event', 'set field', '{"column": "owner", "value": "event.propertis->>''x''"}', of => 'A');
SELECT lifecycle_add_rule('predicate_crm', 'Bad', 'segment entered', 'set field', '{"column": "owner", "value": "event.name"}', of => 'Good');
SELECT lifecycle_add_rule('predicate_crm', 'Bad', 'event', 'notify', '{"payload": {"x": "deal.amount"}}', of => 'A');
SELECT lifecycle_add_rule('predicate_crm', 'Bad', 'event', 'create deal', '{"name": "(SELECT email)"}', of => 'A');
SELECT lifecycle_set('predicate_crm', 'page_view_path', 'properties->>');
SELECT lifecycle_set('predicate_crm', 'page_view_path', 'country');
SELECT lifecycle_add_segment('predicate_crm', 'Bad', $$in_segment('God')$$);
SELECT name, predicate FROM predicate_crm.segment ORDER BY name;
SELECT count(*) FROM predicate_crm.rule WHERE name = 'Bad';
SELECT value FROM predicate_crm.setting WHERE name = 'page_view_path';
-- a null is no text
SELECT lifecycle_preview('predicate_crm', NULL);
SELECT lifecycle_explain('predicate_crm', NULL);
SELECT lifecycle_add_segment('predicate_crm', 'Bad', NULL);
SELECT lifecycle_preview('predicate_cmr', 'true');

--
-- 7. Odd texts that are right
--
SELECT pg_temp.try($$did('Ünï "quoted" it''s 日本')$$);
SELECT pg_temp.try($$ /* a comment */ Country='FI' -- and one more$$);
SELECT pg_temp.try($$CASE WHEN country IN ('FI', 'SE') THEN true ELSE false END$$);
SELECT pg_temp.try($$country ~ '^F' AND country LIKE 'F_' AND country BETWEEN 'A' AND 'Z' AND coalesce(email, '') = '' AND email IS NULL$$);
SELECT pg_temp.try($$country = ANY (ARRAY['FI', 'SE']) AND (country, id) = ('FI', 1) AND length(country) + 1 = 3$$);
SELECT pg_temp.try($$did('A') IS NOT TRUE AND (did('B') IS FALSE) AND NOT did('C')$$);
SELECT pg_temp.try(repeat('(', 500) || 'true' || repeat(')', 500));
SELECT pg_temp.try(repeat('NOT ', 1000) || 'true');
SELECT count(*) FROM (SELECT pg_temp.try((SELECT string_agg(format('did(%L)', i), ' OR ') FROM generate_series(1, 500) i) || ' OR true')) x;
SELECT count(*) FROM (SELECT pg_temp.try((SELECT string_agg(format('did(%L)', i), ' OR ') FROM generate_series(1, 2000) i) || ' OR true')) x;

SELECT lifecycle_drop('predicate_crm');
