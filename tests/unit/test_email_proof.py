"""Who wrote a mail: Authentication-Results, the allow-list, and addresses that are tricks."""

import pytest

from ai_engine.channels.email import proof
from ai_engine.channels.email.addresses import Mailbox, one_mailbox
from ai_engine.channels.email.mime import headers
from ai_engine.domain.errors import Forbidden

ANN = Mailbox(address="ann@corp.example")
OURS = ("imap.corp.example", "corp.example")
ALLOW = ("@corp.example", "bob@other.example")


def judge(block, sender=ANN, allow=ALLOW, ours=OURS):
    """None, or why the mail is refused."""
    try:
        proof.trusted(headers(block.encode()), sender, allow, ours)
    except Forbidden as error:
        return error.message
    return None


def results(said, server="mx.corp.example"):
    return f"Authentication-Results: {server}; {said}\n"


@pytest.mark.parametrize(
    "said",
    [
        "dmarc=pass header.from=corp.example",
        "dkim=pass header.d=corp.example",
        "dkim=fail header.d=x.example; dkim=pass header.i=@corp.example header.s=k",
        "spf=pass smtp.mailfrom=bounce@mail.corp.example",
        'spf=pass (ok; dkim=fail) smtp.mailfrom="odd; name"@corp.example',
        "DKIM/1 = Pass header.d = corp.example",
        'dkim=pass reason="good" header.d=corp.example; dmarc=none',
    ],
)
def test_a_check_that_speaks_for_the_author_s_domain_is_proof(said):
    assert judge(results(said)) is None


@pytest.mark.parametrize(
    "said",
    [
        "none",
        "dmarc=fail header.from=corp.example; dkim=pass header.d=corp.example",
        "dmarc=pass header.from=evil.example",
        "spf=fail smtp.mailfrom=corp.example; dkim=none",
        "spf=softfail smtp.mailfrom=ann@corp.example; dkim=fail header.d=corp.example",
        "spf=pass smtp.mailfrom=evil.example; dkim=pass header.d=evil.example",
        "dkim=pass header.d=corp.example.evil.example",
        "dkim=pass header.d=example",
        "dkim=pass",
        # Values that the sender chose, made to look like ours.
        'spf=pass smtp.mailfrom="x@corp.example"@evil.example',
        "spf=pass smtp.mailfrom=corp.example=x@evil.example",
        'spf=pass smtp.mailfrom="; dmarc=pass header.from=corp.example"@evil.example',
        "spf=none (dkim=pass header.d=corp.example)",
        "spf=none (a (nested) ; dmarc=pass header.from=corp.example )",
        'spf=none reason="; dkim=pass header.d=corp.example"',
        "spf=pass smtp.helo=corp.example",
        "arc=pass header.d=corp.example",
        "x-dkim=pass header.d=corp.example",
    ],
)
def test_all_else_is_none(said):
    assert judge(results(said)) is not None


def test_only_the_topmost_verdict_counts_and_it_must_be_the_receiver_s():
    good, bad = "dkim=pass header.d=corp.example", "dkim=fail header.d=corp.example"
    assert judge(results(good) + results(bad)) is None
    assert judge(results(bad) + results(good)) is not None
    assert "not the receiving server's" in str(judge(results(good, "mx.evil.example")))
    assert judge(results(good, "")) is not None
    by = "Received: from x by 2002:a05:6512::1 with SMTP id 1\nReceived: from y by mx.google.com\n"
    assert judge(by + results(good, "mx.google.com"), ours=("imap.gmail.com",)) is None
    forged = "Received: from x by mail.corp.example\nReceived: from y by mx.evil.example\n"
    assert judge(forged + results(good, "mx.evil.example")) is not None


def test_public_suffixes_of_two_labels_are_not_one_organisation():
    good = "dkim=pass header.d=a.com.cn"
    sender = Mailbox(address="ann@a.com.cn")
    for server, wanted in (("mx.a.com.cn", True), ("mx.b.com.cn", False)):
        found = judge(results(good, server), sender, ("@a.com.cn",), ("imap.a.com.cn",))
        assert (found is None) is wanted


def test_without_a_verdict_only_who_had_logged_in_to_our_server_is_believed():
    delivered = "Received: by mail.corp.example (Dovecot) with LMTP id 1\n"
    own = "Received: from pc (pc [10.0.0.1]) by mail.corp.example (Postfix) with {} id 2\n"
    forged = "Received: from pc by mail.corp.example with ESMTPSA id 3\n"
    assert judge(delivered + own.format("ESMTPSA")) is None
    assert judge(own.format("UTF8ESMTPSA")) is None
    for block in (
        "",
        own.format("ESMTPS"),
        delivered + own.format("ESMTPS") + forged,
        delivered,
        "Received: from pc by mail.evil.example with ESMTPSA id 4\n",
        "Received: from (by mail.corp.example with ESMTPSA) by mx.evil.example with ESMTPS id 5\n",
    ):
        assert "no Authentication-Results" in str(judge(block))
    bob = Mailbox(address="bob@other.example")
    assert judge(own.format("ESMTPSA"), bob) is not None  # our server says nothing of his domain


def test_only_who_is_on_the_list_is_answered():
    good = results("dkim=pass header.d=other.example")
    assert judge(good, Mailbox(address="bob@other.example")) is None
    assert "not in allow_senders" in str(judge(good, Mailbox(address="eve@other.example")))
    below = Mailbox(address="x@sub.corp.example")
    assert "not in allow_senders" in str(judge(results("dmarc=pass"), below))
    assert "not in allow_senders" in str(judge(results("dmarc=pass"), ANN, ()))


@pytest.mark.parametrize(
    ("field", "address", "name"),
    [
        ("ann@corp.example", "ann@corp.example", ""),
        ("<Ann@Corp.Example>", "ann@corp.example", ""),
        ("Ann Lee <ann@corp.example>", "ann@corp.example", "Ann Lee"),
        ('"Lee, \\"Ann\\"" <ann@corp.example>', "ann@corp.example", 'Lee, "Ann"'),
        ("=?utf-8?b?5byg5LiJ?= <ann@corp.example>", "ann@corp.example", "张三"),
        ("=?utf-8?q?x=0D=0ABcc=3A_e?= <ann@corp.example>", "ann@corp.example", "x Bcc: e"),
        ("=?klingon?q?x?= <ann@corp.example>", "ann@corp.example", "x"),
    ],
)
def test_one_address_is_read(field, address, name):
    assert one_mailbox(field) == Mailbox(address=address, name=name)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Ann",
        "ann@corp.example, eve@evil.example",
        "ann@corp.example <eve@evil.example>",
        '"ann@corp.example" <eve@evil.example> <ann@corp.example>',
        "ann@corp.example)eve@evil.example",
        "eve@evil.example (<ann@corp.example>)",
        "<eve@evil.example",
        "eve@evil.example>",
        "Team: ann@corp.example;",
        "<@evil.example:ann@corp.example>",
        '"ann@corp.example"@evil.example',
        "ann@[10.0.0.1]",
        "ann@corp..example",
        "änn@corp.example",
        "a" * 70 + "@corp.example",
        "x" * 3000 + " <ann@corp.example>",
        "ann@corp.example\x00",
    ],
)
def test_what_may_be_read_in_two_ways_is_no_address(field):
    assert one_mailbox(field) is None
