-- Creates the role and database of the stack in a cluster that has neither. Run in single-user mode, which needs no
-- port and shows no password to anybody:
--
--     postgres --single -j -D <data> -c log_min_error_statement=panic postgres
--
-- On standard input, first three statements that say which role, password and database (texts quoted as SQL does, a
-- quote doubled), then this file. Every statement ends with a semicolon and an empty line, which is how -j tells them apart.
--
--     SET bootstrap.role = 'test_user';
--
--     SET bootstrap.password = '…';
--
--     SET bootstrap.database = 'netra_test';
--
-- Single-user mode exits with 0 whatever happens: it worked if and only if its output has the line of the last SELECT.

CREATE DATABASE bootstrap_database STRATEGY FILE_COPY;

DO $$
BEGIN
  EXECUTE format('CREATE ROLE %I LOGIN CREATEDB PASSWORD %L',
                 current_setting('bootstrap.role'), current_setting('bootstrap.password'));
  EXECUTE format('GRANT pg_monitor, pg_signal_backend TO %I', current_setting('bootstrap.role'));
  EXECUTE format('ALTER DATABASE bootstrap_database OWNER TO %I', current_setting('bootstrap.role'));
  EXECUTE format('ALTER DATABASE bootstrap_database RENAME TO %I', current_setting('bootstrap.database'));
END
$$;

SELECT 'complete' AS bootstrap
 WHERE EXISTS (SELECT FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
                WHERE d.datname = current_setting('bootstrap.database')
                  AND r.rolname = current_setting('bootstrap.role') AND NOT r.rolsuper);

