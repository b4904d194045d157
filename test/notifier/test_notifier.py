"""Tests of examples/notifier: whom it tells what, and that whoever is killed, or loses a server, loses no notice.

The mail server is aiosmtpd, on a port of this process. notifier.py runs in a fork of it, which can be killed before
any of its lines. The environment says NOTIFIER, the folder of the example; NOTIFIER_ADMIN, a superuser;
NOTIFIER_CAMPAIGN, the size of a campaign; and libpq's the database, in which tables.sql has been run.
"""

import email
import email.policy
import itertools
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter

import psycopg
import pytest
from aiosmtpd.controller import Controller
from psycopg.types.json import Jsonb

sys.path.insert(0, os.environ["NOTIFIER"])
sys.dont_write_bytecode = True
import notifier  # noqa: E402

ISSUER = "https://aai.example.org"
PROPERTIES = {"datetime": "1850-01-16T12:00:00Z"}
ASSETS = {"f.nc": {"href": "https://a.org/f.nc", "roles": ["data"], "alternate:name": "a.org"}}
OUTSIDE = {"follow", "read_letters", "read_events", "keep", "send_mails"}  # functions of notifier.py
REPLICA = {"f.nc": {"href": "https://b.org/f.nc", "roles": ["data"]}}


class MailServer:
    """What it was sent, in order. It refuses some addresses, and may hang up instead of answering."""

    def __init__(self):
        self.mails, self.unknown, self.silent = [], {}, 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.unknown:
            return self.unknown[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert [mail["To"]] == envelope.rcpt_tos and all(len(line) < 998 for line in envelope.content.splitlines())
        self.mails.append(mail)
        if self.silent:
            self.silent -= 1
            server.transport.abort()
        return "250 OK"

    def lines(self, address=None):
        """The notices of all mails, or of those to somebody."""
        return [
            line for mail in self.mails if address in (None, mail["To"]) for line in mail.get_content().splitlines()[2:]
        ]


@pytest.fixture(scope="session")
def admin():
    """A superuser's connection, to a catalogue with a collection, two sites, and rights for everybody."""
    with psycopg.connect(user=os.environ["NOTIFIER_ADMIN"], autocommit=True) as connection:
        connection.execute("CREATE ROLE gateway IN ROLE esgf_stac_gateway")
        connection.execute(
            "INSERT INTO esgf_stac.site (node, href_prefixes) VALUES ('a.org', '{https://a.org/}'), ('b.org', '{https://b.org/}')"
        )
        connection.execute(
            """SELECT esgf_stac.grant_access('group:all', role, scope, '*') FROM unnest('{project,node}'::text[]) scope,
                      unnest('{CREATE,UPDATE,DELETE,REPLICATE,RETRACT}'::text[]) role
                WHERE scope = 'project' OR role <> 'RETRACT'"""
        )
        connection.execute(
            "SELECT esgf_stac.create_collection(%s)",
            [
                Jsonb(
                    {
                        "type": "Collection",
                        "stac_version": "1.1.0",
                        "id": "CMIP6",
                        "description": "d",
                        "license": "CC-BY-4.0",
                        "links": [],
                        "extent": {
                            "spatial": {"bbox": [[-180, -90, 180, 90]]},
                            "temporal": {"interval": [["1850-01-01T00:00:00Z", None]]},
                        },
                    }
                )
            ],
        )
        yield connection


@pytest.fixture
def do(admin):
    """Have requests done by somebody, all or none."""

    def perform(sub, *requests, batch=None, iss=ISSUER):
        who = {"sub": sub, "iss": iss, "principals": ["group:all"], "batch": batch}
        given = [{"collection_id": "CMIP6"} | request for request in requests]
        with admin.transaction():
            admin.execute("SET LOCAL ROLE gateway")
            admin.execute("SELECT FROM esgf_stac.transact(%s, true, %s)", [Jsonb(given), Jsonb(who)])

    return perform


def item(id, assets=ASSETS):
    document = {"type": "Feature", "stac_version": "1.1.0", "id": id, "geometry": None}
    return {"method": "POST", "item": document | {"properties": PROPERTIES, "assets": assets}}


def act(method, id, **members):
    return {"method": method, "item_id": id} | members


@pytest.fixture
def server():
    mails = MailServer()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mails, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    mails.address = f"127.0.0.1:{port}"
    yield mails
    controller.stop()


def begin(server, *options, steps=None, said=None):
    """Fork into notifier.py, which is killed before it has done so many steps; its process.

    A step is a line of a function that does something outside; it counts when it comes first, and again when it comes a
    second time, as on a second page, or at the end of a transaction."""
    process = os.fork()
    if process:
        return process
    status, seen, count = 99, Counter(), itertools.count()

    def trace(frame, event, argument):
        if frame.f_code.co_filename != notifier.__file__ or frame.f_code.co_name not in OUTSIDE:
            return None
        seen[frame.f_lineno] += event == "line"
        if event == "line" and seen[frame.f_lineno] <= 2 and next(count) == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    try:
        sys.stderr = said or sys.stderr
        sys.argv = ["notifier.py", "--once", "--from", "catalogue@example.org", "--smtp", server.address, *options]
        if steps is not None:
            sys.settrace(trace)
        status = notifier.main()
    except SystemExit as error:
        status = error.code
    finally:
        sys.settrace(None)
        sys.stderr.flush()
        os._exit(status)


def end(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run(server, *options, **more):
    """Run notifier.py to its end: its exit status, and what it said."""
    with tempfile.TemporaryFile("w+") as said:
        status = end(begin(server, *(options or ["--every", "0s"]), said=said, **more))
        said.seek(0)
        return status, said.read()


@pytest.fixture(autouse=True)
def people(admin, do, server):
    """Ada and Bob have items, addresses and a notifier that has begun; Zoe has no address, Eve does things to them."""
    admin.execute("TRUNCATE notifier.person; DELETE FROM notifier.state WHERE address <> ''")
    admin.execute(
        """INSERT INTO notifier.person VALUES (%(iss)s, 'ada', 'ada@example.org'), ('https://auth.globus.org', 'ada2', 'ada@example.org'),
                                              (%(iss)s, 'bob', 'bob@example.org')""",
        {"iss": ISSUER},
    )
    assert run(server) == (0, "") and server.mails == []


serial = itertools.count(1)


@pytest.fixture
def ids(do):
    """Two new items of Ada's, one of Bob's, one of Zoe's."""
    names = [f"{name}-{next(serial)}.v1" for name in ("ada", "ada", "bob", "zoe")]
    for name in names:
        do(name[:3], item(name))
    return names


def notices(lines):
    """What lines say, without when and of what."""
    return [line.split(" ", 4)[4] for line in lines]


# ---------------------------------------------------------------- what is told


def test_what_others_did(server, do, ids):
    first, second, bobs, zoes = ids
    do("eve", *(act("RETRACT", id, reason="wrong units") for id in ids), batch="withdrawn 7")
    assert run(server) == (0, "")
    assert sorted(mail["To"] for mail in server.mails) == ["ada@example.org", "bob@example.org"]
    [mail] = [mail for mail in server.mails if mail["To"] == "ada@example.org"]
    assert (mail["From"], mail["Subject"]) == ("catalogue@example.org", "2 notices about your data")
    assert mail["Message-ID"].endswith("@example.org>") and mail["Auto-Submitted"] == "auto-generated" and mail["Date"]
    told = [line.split(" ", 2)[2] for line in server.lines("ada@example.org")]
    assert told == [
        f"CMIP6 {id} was retracted by eve of {ISSUER}, batch withdrawn 7: wrong units" for id in (first, second)
    ]
    time.strptime(" ".join(server.lines()[0].split()[:2]), "%Y-%m-%d %H:%M")
    assert run(server) == (0, "") and len(server.mails) == 2


def test_each_kind(server, do, ids):
    mine = ids[0]
    do("eve", item(mine.replace(".v1", ".v2")))
    do("eve", act("ADD_REPLICA", mine, node="b.org", alternates=REPLICA), act("REMOVE_REPLICA", mine, node="b.org"))
    do("eve", act("PATCH", mine, patch={"properties": {"title": "t"}}), act("RETRACT", mine), act("REINSTATE", mine))
    do("eve", act("DELETE", mine), act("RESTORE", mine))
    assert run(server) == (0, "")
    kinds = ["was superseded by a newer version", "lost a replica", "was retracted", "was deleted"]
    assert notices([f"{line} " for line in server.lines()]) == [f"{kind} by eve of {ISSUER} " for kind in kinds]


def test_what_one_does_oneself(server, do, ids):
    """By another identity of the same person, too."""
    do("ada", act("RETRACT", ids[0]))
    do("ada2", act("RETRACT", ids[1]), iss="https://auth.globus.org")
    assert run(server) == (0, "") and server.mails == []
    do("ada", act("RETRACT", ids[2]), iss="https://elsewhere.example.org")
    assert run(server) == (0, "") and len(server.mails) == 1


def test_an_identity_without_issuer(server, admin, do):
    admin.execute("INSERT INTO notifier.person (sub, address) VALUES ('old', 'old@example.org')")
    name = f"old-{next(serial)}.v1"
    do("old", item(name), iss=None)
    do("eve", act("RETRACT", name), iss=None)
    assert run(server) == (0, "") and notices(server.lines()) == ["was retracted by eve"]


def test_what_was_before_it_began(server, admin, do, ids):
    do("eve", act("RETRACT", ids[0]))
    admin.execute("TRUNCATE notifier.state")
    do("eve", act("RETRACT", ids[1]))
    assert run(server) == (0, "") and server.mails == []
    do("eve", act("RETRACT", ids[2]))
    assert run(server) == (0, "") and len(server.lines()) == 1


def test_one_stream(server, admin, do, ids):
    admin.execute("SELECT esgf_stac.create_stream('titled', filter => '$.properties.title == \"t\"')")
    do("ada", act("PATCH", ids[0], patch={"properties": {"title": "t"}}))
    assert run(server, "--stream", "titled", "--every", "0s") == (0, "")
    do("eve", *(act("RETRACT", id) for id in ids))
    refuse(admin, ids[1], "not of this stream")
    assert run(server, "--stream", "titled", "--every", "0s") == (0, "")
    assert [line.split()[3] for line in server.lines()] == [ids[0]]
    server.mails.clear()
    assert run(server) == (0, "") and len(server.lines()) == 4
    admin.execute("SELECT esgf_stac.drop_stream('titled')")


def test_what_somebody_wrote(server, do, ids):
    """Reason and batch are lines of nothing else, and of a mail of nothing else."""
    evil = "x\r\n.\r\nRCPT TO:<all@example.org>\r\n\r\n\u202e\x1b[2J" + "y" * 900
    do("eve\u0141", act("RETRACT", ids[0], reason=evil), batch="z" * 255)
    assert run(server) == (0, "") and len(server.mails) == 1
    [line] = notices(server.lines())
    start = f"was retracted by eve\u0141 of {ISSUER}, batch {'z' * 197}...: x . RCPT TO:<all@example.org> [2Jyyy"
    assert line.startswith(start) and line.endswith("yyy...") and len(line) < 600


# ---------------------------------------------------------------- one mail each window


def test_a_window(server, admin, do, ids):
    hourly = ["--every", "1h"]

    def hour():
        admin.execute("UPDATE notifier.state SET since = since - interval '1 hour' WHERE address <> ''")

    do("eve", act("RETRACT", ids[0]))
    assert run(server, *hourly) == (0, "") and server.mails == []
    do("eve", act("RETRACT", ids[1]), act("RETRACT", ids[2]))
    assert run(server, *hourly) == (0, "") and server.mails == []
    hour()
    assert run(server, *hourly) == (0, "")
    assert Counter(mail["To"] for mail in server.mails) == {"ada@example.org": 1, "bob@example.org": 1}
    assert len(server.lines("ada@example.org")) == 2
    do("eve", act("REINSTATE", ids[0]), act("RETRACT", ids[0]))
    assert run(server, *hourly) == (0, "") and len(server.mails) == 2
    hour()
    assert run(server, *hourly) == (0, "") and len(server.mails) == 3


# ---------------------------------------------------------------- dead letters


def refuse(admin, id, reason, stream="east"):
    """What a relay writes down when its sink refuses an item."""
    admin.execute(
        """INSERT INTO esgf_stac.stream (name, outbox_oid) VALUES (%s, 'esgf_stac.outbox'::regclass) ON CONFLICT DO NOTHING""",
        [stream],
    )
    admin.execute(
        """INSERT INTO esgf_stac.dead_letter (stream, collection_id, item_id, version, reason) VALUES (%s, 'CMIP6', %s, 1, %s)
               ON CONFLICT (stream, collection_id, item_id, version) DO UPDATE
              SET reason = excluded.reason, at = now(), redrive_at = NULL, settled_at = NULL""",
        [stream, id, reason],
    )


def test_dead_letters(server, admin, ids):
    for id in ids:
        refuse(admin, id, "field [bbox]\nof the wrong type")
    assert run(server) == (0, "")
    assert Counter(mail["To"] for mail in server.mails) == {"ada@example.org": 1, "bob@example.org": 1}
    text = "was refused by the index of stream east: field [bbox] of the wrong type"
    assert notices(server.lines()) == [text] * 3
    assert run(server) == (0, "") and len(server.mails) == 2

    # A redrive is nothing to tell; that the same is refused again is.
    admin.execute("UPDATE esgf_stac.dead_letter SET redrive_at = now()")
    assert run(server) == (0, "") and len(server.mails) == 2
    refuse(admin, ids[2], "again")
    assert run(server) == (0, "") and notices(server.lines())[3:] == ["was refused by the index of stream east: again"]
    admin.execute("UPDATE esgf_stac.dead_letter SET settled_at = now()")
    assert run(server) == (0, "") and len(server.mails) == 3
    assert admin.execute("SELECT letters FROM notifier.state WHERE (stream, address) = ('', '')").fetchone() == ([],)
    refuse(admin, ids[0], "and again")
    assert run(server) == (0, "") and len(server.mails) == 4
    admin.execute("DELETE FROM esgf_stac.dead_letter")


# ---------------------------------------------------------------- what goes wrong


def texts(mails):
    return Counter(line.rpartition(": ")[2] for mail in mails for line in mail.get_content().splitlines()[2:])


def test_killed_anywhere(server, admin, do, ids, monkeypatch):
    """Before each step, started again each time: each notice is in one mail, and hardly ever does one come twice."""
    monkeypatch.setattr(notifier, "PAGE", 2)
    twice, status = [], -signal.SIGKILL
    for steps in itertools.count():
        reasons = [f"{id} before step {steps}" for id in ids[:3]]
        do(
            "eve",
            *(act("RETRACT", id, reason=reason) for id, reason in zip(ids, reasons)),
            *(act("REINSTATE", id) for id in ids[:3]),
        )
        refuse(admin, ids[0], f"letter before step {steps}")
        server.mails.clear()
        status, _ = run(server, steps=steps)
        assert run(server) == (0, "")
        mails = {mail["Message-ID"]: mail for mail in server.mails}
        expected = dict.fromkeys([*reasons, f"letter before step {steps}"], 1)
        assert texts(mails.values()) == expected, f"killed before step {steps}"
        assert all(mail.get_content() == mails[mail["Message-ID"]].get_content() for mail in server.mails)
        twice += [mail["To"] for mail in server.mails][len(mails) :]
        if status != -signal.SIGKILL:
            break
    assert status == 0 and steps > 40
    assert len(twice) == 1  # one step is between the mail server's answer and the commit
    print(f"killed {steps} times")
    admin.execute("DELETE FROM esgf_stac.dead_letter")


def test_two_at_once(server, do, ids, monkeypatch):
    monkeypatch.setattr(notifier, "PAGE", 1)
    for n in range(5):
        for id in ids[:3]:
            do("eve", act("RETRACT", id, reason=f"{id} {n}"))
            do("eve", act("REINSTATE", id))
        processes = [begin(server, "--every", "0s") for _ in range(3)]
        assert [end(process) for process in processes] == [0, 0, 0]
    assert texts(server.mails) == {f"{id} {n}": 1 for id in ids[:3] for n in range(5)}


def test_no_mail_server(server, do, ids):
    do("eve", act("RETRACT", ids[0]))
    status, said = run(server, "--every", "0s", "--smtp", "127.0.0.1:1")
    assert status == 1 and said.startswith("the database or the mail server is away: ")
    do("eve", act("RETRACT", ids[1]))
    assert run(server) == (0, "") and len(server.lines()) == 2 and len(server.mails) == 1


def test_no_answer_to_a_mail(server, do, ids):
    """The mail server has it, or not: it comes again, as the same mail if nothing was added, as another one else."""
    do("eve", act("RETRACT", ids[0]))
    server.silent = 2
    assert run(server)[0] == 1 and run(server)[0] == 1
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"] and first.get_content() == second.get_content()
    do("eve", act("RETRACT", ids[1]))
    assert run(server) == (0, "")
    assert server.mails[2]["Message-ID"] != first["Message-ID"] and len(server.lines()) == 4


def test_a_refused_address(server, admin, do, ids):
    """It keeps nobody else from his mail, and gets its own when it is right."""
    do("eve", *(act("RETRACT", id) for id in ids))
    server.unknown = {"ada@example.org": "550 no such user"}
    status, said = run(server)
    assert status == 1 and said.startswith("a mail to ada@example.org was not taken: ") and "no such user" in said
    assert [mail["To"] for mail in server.mails] == ["bob@example.org"]
    hourly = ["--every", "1h"]
    assert run(server, *hourly) == (0, "") and len(server.mails) == 1
    admin.execute("UPDATE notifier.state SET address = 'ada@example.com' WHERE address = 'ada@example.org'")
    assert run(server) == (0, "") and len(server.lines("ada@example.com")) == 2


@pytest.mark.parametrize("address", ["", "ada", "a@b\nBcc: c@d", "a b@c", "a@b,c@d", "<a@b>", "a@b@c"])
def test_no_address(admin, address):
    with pytest.raises(psycopg.errors.CheckViolation):
        admin.execute("INSERT INTO notifier.person VALUES ('', 'x', %s)", [address])


@pytest.mark.parametrize(
    "cursor, why", [("7/7/7", "this cursor was not made here"), ("nonsense", "this cursor was not made here")]
)
def test_a_cursor_of_elsewhere(server, admin, do, ids, cursor, why):
    admin.execute("UPDATE notifier.state SET cursor = %s", [cursor])
    status, said = run(server)
    assert status == 2 and said.startswith(f"stopped: {why}") and server.mails == []
    admin.execute("DELETE FROM notifier.state WHERE address = ''")
    assert run(server) == (0, "")
    do("eve", act("RETRACT", ids[0]))
    assert run(server) == (0, "") and len(server.mails) == 1


def test_options(server):
    assert run(server, "--every", "soon")[0] == 2
    assert run(server, "--smtp", "host:port")[0] == 2
    assert run(server, "--stream", "none")[0] == 2


def test_it_goes_on(server, admin, do, ids):
    """Without --once it follows, through a loss of its connection, until it is stopped."""
    process = os.fork()
    if not process:
        sys.argv = ["notifier.py", "--from", "catalogue@example.org", "--every", "0s", "--smtp", server.address]
        notifier.PAUSE = 0.1
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(notifier.main())
    try:
        for n, id in enumerate(ids[:3], 1):
            do("eve", act("RETRACT", id))
            end_of_wait = time.monotonic() + 180
            while len(server.lines()) < n and time.monotonic() < end_of_wait:
                time.sleep(0.05)
            assert len(server.lines()) == n
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'notifier.py'"
            )
    finally:
        os.kill(process, signal.SIGTERM)
        end(process)


# ---------------------------------------------------------------- many


def test_a_campaign(server, admin):
    """Thousands of retractions are one mail: a hundred lines and a count."""
    size = int(os.environ["NOTIFIER_CAMPAIGN"])
    admin.execute(
        "INSERT INTO notifier.person VALUES ('postgresql:' || (SELECT system_identifier FROM pg_control_system()), current_user, 'admin@example.org')"
    )
    admin.execute("SELECT esgf_stac.create_item('CMIP6', %s)", [Jsonb(item("many-0.v1")["item"])])
    with admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")  # its like, without an event of each
        admin.execute(
            """INSERT INTO esgf_stac.item
               SELECT (jsonb_populate_record(i, jsonb_build_object('id', name || '.v1', 'base_id', name))).*
                 FROM esgf_stac.item i, generate_series(1, %s - 1) n, concat('many-', n) name WHERE i.id = 'many-0.v1'""",
            [size],
        )
        admin.execute(
            "UPDATE esgf_stac.item SET document = jsonb_set(document, '{id}', to_jsonb(id)) WHERE id LIKE 'many-%'"
        )
    admin.execute("CREATE ROLE campaigner IN ROLE esgf_stac_admin")
    with admin.transaction():
        admin.execute("SET LOCAL ROLE campaigner")
        admin.execute(
            "UPDATE esgf_stac.item SET document = jsonb_set(document, '{properties,retracted}', 'true') WHERE id LIKE 'many-%'"
        )
    began = time.monotonic()
    assert run(server) == (0, "")
    print(f"{size} retractions: {time.monotonic() - began:.1f} s")
    [mail] = server.mails
    lines = server.lines()
    assert mail["Subject"] == f"{size:,} notices about your data"
    assert len(lines) == 101 and lines[100] == f"and {size - 100:,} more."
    assert all(" was retracted by campaigner of postgresql:" in line for line in lines[:100])
    assert run(server) == (0, "") and len(server.mails) == 1
