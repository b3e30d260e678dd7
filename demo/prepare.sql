/*
 * prepare.sql
 *		Raw copies of the files, and the check that the demo makes of itself.
 *
 * A result is two views of the same name: in schema shown, from what lifecycle
 * keeps; in schema plain, from the tables in schema raw and nothing else.
 */

\echo 'lifecycle on real data'
\echo '======================'
\echo

CREATE EXTENSION lifecycle;

CREATE SCHEMA raw;
CREATE SCHEMA shown;
CREATE SCHEMA plain;
CREATE SCHEMA demo;

CREATE TABLE raw.cdnow_line (line text);
\copy raw.cdnow_line FROM '../test/data/cdnow/CDNOW_sample.txt' WITH (FORMAT csv, DELIMITER '|')

CREATE TABLE raw.purchase AS
	SELECT (field[2])::int AS customer,
		   to_date(field[3], 'YYYYMMDD') AS day,
		   (field[4])::int AS cds,
		   (field[5])::numeric AS dollars
	  FROM (SELECT regexp_split_to_array(trim(line), '\s+') AS field
			  FROM raw.cdnow_line) split;

CREATE TABLE raw.account (
	account text, sector text, year_established int, revenue numeric,
	employees int, office_location text, subsidiary_of text);
CREATE TABLE raw.product (product text, series text, sales_price numeric);
CREATE TABLE raw.opportunity (
	opportunity_id text, sales_agent text, product text, account text,
	deal_stage text, engage_date date, close_date date, close_value numeric);
SET datestyle = 'ISO, MDY';
\copy raw.account FROM '../test/data/crm-sales/accounts.csv' WITH (FORMAT csv, HEADER)
\copy raw.product FROM '../test/data/crm-sales/products.csv' WITH (FORMAT csv, HEADER)
\copy raw.opportunity FROM '../test/data/crm-sales/sales_pipeline.csv' WITH (FORMAT csv, HEADER)
/* The two files spell one product differently. */
UPDATE raw.opportunity SET product = 'GTX Pro' WHERE product = 'GTXPro';
ANALYZE;

CREATE TABLE demo.checked (result text, rows bigint);

CREATE FUNCTION demo.check(result text)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
	shown_rows bigint;
	difference text;
	number bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM shown.%I', result) INTO shown_rows;
	EXECUTE format($query$
		SELECT count(*), string_agg(line, E'\n') FILTER (WHERE place <= 10)
		  FROM (SELECT line, row_number() OVER (ORDER BY line) AS place
				  FROM (SELECT '  only lifecycle:  ' || x::text AS line
						  FROM (TABLE shown.%1$I EXCEPT ALL TABLE plain.%1$I) x
						UNION ALL
						SELECT '  only plain SQL:  ' || y::text
						  FROM (TABLE plain.%1$I EXCEPT ALL TABLE shown.%1$I) y) d) e$query$,
		result) INTO number, difference;
	IF number > 0 THEN
		RAISE NOTICE E'DIFFERENT: "%" in % rows, such as\n%', result, number, difference;
		RAISE EXCEPTION 'lifecycle and plain SQL differ in "%"', result;
	END IF;
	IF shown_rows = 0 THEN
		RAISE EXCEPTION 'there is nothing in "%"', result;
	END IF;
	INSERT INTO demo.checked VALUES (result, shown_rows);
	RAISE NOTICE '  checked: % % by plain SQL on the raw file, no difference', shown_rows,
		CASE shown_rows WHEN 1 THEN 'row' ELSE 'rows' END;
END;
$$;
