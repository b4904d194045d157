-- What notifier.py keeps: run once, by a superuser, in the catalogue's database.
--
-- Its login is an administrator: whose data an item is, and who did something to it, is not published.

CREATE ROLE notifier LOGIN IN ROLE esgf_stac_admin;
CREATE SCHEMA notifier AUTHORIZATION notifier;
SET ROLE notifier;

CREATE TABLE notifier.person (
    iss text NOT NULL DEFAULT '',
    sub text NOT NULL,
    address text NOT NULL CHECK (address ~ '^[^\s<>(),:;"@]+@[^\s<>(),:;"@]+$'),
    PRIMARY KEY (iss, sub)
);
COMMENT ON TABLE notifier.person IS 'who is who: the mail address of an identity, as it stands in created_by of an item; a person may have several';

CREATE TABLE notifier.state (
    stream text NOT NULL,
    address text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    cursor text,
    letters bigint[] NOT NULL DEFAULT '{}',
    notices bigint NOT NULL DEFAULT 0,
    lines text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (stream, address)
);
COMMENT ON TABLE notifier.state IS 'how far a stream is read, in the row whose address is empty; what is still to be mailed, in a row for each address';
COMMENT ON COLUMN notifier.state.stream IS 'the stream that is followed; empty: all events';
COMMENT ON COLUMN notifier.state.since IS 'what is older is told nobody; of an address: when its first notice came, with which its window begins';
COMMENT ON COLUMN notifier.state.cursor IS 'of the last event read, as changes() gave it';
COMMENT ON COLUMN notifier.state.letters IS 'the open dead letters that have been read, each by its hash';
COMMENT ON COLUMN notifier.state.notices IS 'how many notices wait for the mail';
COMMENT ON COLUMN notifier.state.lines IS 'the first 100 of them';

RESET ROLE;
