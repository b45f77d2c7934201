"""The tables of a home's database; one row shape for each word of the glossary.

Identifiers are lower-case hex without prefix; money is an integer of atomic units; times are integer seconds. Blobs of
records are not here: they lie sealed in the blob store, by the ids that these rows hold.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

dao = Table(
    "dao",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("dao_id", String(64), nullable=False, unique=True),
    Column("contracts", Text, nullable=False),
    Column("operator", String(42), nullable=False),
    Column("evaluator", String(42), nullable=False),
    Column("gateway", String(42), nullable=False),
    Column("holdings", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
)
"""``contracts`` are addresses by contract name, as JSON; ``holdings`` is the blob of the DAO's own sealed records:
reference corpus, scoring pool and gate set."""

policy = Table(
    "policy",
    metadata,
    Column("dao", String(64), ForeignKey("dao.name"), primary_key=True),
    Column("hash", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
)
"""Policies that this home knows, by hash; which of them holds, and for which turn, is the registry's word."""

pay_token = Table(
    "pay_token",
    metadata,
    Column("address", String(42), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("version", String(32), nullable=False),
)
"""The EIP-712 domain of each pay token as its contract told it: what authorisations are signed in."""

settlement = Table(
    "settlement",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("transaction", String(64), nullable=False, unique=True),
    Column("sender", String(42), nullable=False),
    Column("raw", LargeBinary, nullable=False),
)
"""What a gateway sent to a chain that may be reorganised and that is not in a confirmed block yet, in its order."""

contribution = Table(
    "contribution",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("dao", String(64), ForeignKey("dao.name"), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("owner", String(42), nullable=False),
    Column("nonce", String(80), nullable=False),
    Column("count", Integer, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("signature", String(130), nullable=False),
    Column("ciphertext_id", String(64), nullable=False),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("bond", BigInteger, nullable=False),
    Column("bond_authorization", Text, nullable=False),
    Column("received", Integer, nullable=False),
    Column("batch", Integer, nullable=True),
    Column("first_place", BigInteger, nullable=True),
    UniqueConstraint("dao", "owner", "nonce"),
)
"""``received`` orders arrivals within a DAO; ``batch`` and ``first_place`` are known once the ledger has the batch."""

proof = Table(
    "proof",
    metadata,
    Column("contribution", String(64), ForeignKey("contribution.id"), primary_key=True),
    Column("proof", Text, nullable=False),
    Column("signature", String(130), nullable=False),
    Column("evaluation", Text, nullable=False),
)

model = Table(
    "model",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("dao", String(64), ForeignKey("dao.name"), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("card", Text, nullable=False),
)

turn = Table(
    "turn",
    metadata,
    Column("dao", String(64), ForeignKey("dao.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("last_block", BigInteger, nullable=True),
    Column("commitment", String(64), nullable=False),
    Column("queries", Text, nullable=False),
    Column("policy", String(64), nullable=False),
    Column("public_id", String(64), nullable=True),
    Column("summary", Text, nullable=True),
)
"""``state`` is open, learned or closed; ``queries`` are the scoring queries frozen when the turn was opened, as JSON of
places in the holdings and weights; ``policy`` is the hash of the version that the turn was opened under; ``public_id``
is the blob of the turn's public file."""

call = Table(
    "call",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("dao", String(64), ForeignKey("dao.name"), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("payer", String(42), nullable=False),
    Column("route", String(64), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("transaction", String(64), nullable=True),
    Column("response_hash", String(64), nullable=True),
    Column("response", LargeBinary, nullable=True),
    Column("headers", Text, nullable=True),
    Column("receipt_id", String(64), nullable=True, unique=True),
    Column("receipt", Text, nullable=True),
    Column("signature", String(130), nullable=True),
    Column("created", BigInteger, nullable=False),
    Column("identifier", String(128), nullable=True),
    Index("call_identifier", "payer", "identifier", unique=True),
)
"""``id`` is the hash of the signed payment, so one payment is one row; ``state`` is claimed or served; ``identifier``
is the payer's own name of the payment, if one was given."""

channel = Table(
    "channel",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("payer", String(42), nullable=False),
    Column("receiver", String(42), nullable=False),
    Column("config", Text, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("signed", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("claimed", BigInteger, nullable=False),
    Column("leaving", BigInteger, nullable=False),
    Column("leaving_since", BigInteger, nullable=False),
    Column("refund_nonce", BigInteger, nullable=False),
    Column("unclaimed_since", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
)
"""A payment channel: ``charged`` is what its served calls come to, ``signed`` and ``signature`` its newest voucher;
``balance`` to ``refund_nonce`` are what the ledger said of it last."""

channel_cursor = Table(
    "channel_cursor",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("block", BigInteger, nullable=False),
)
"""One row: up to which block the events of channels were followed."""

roster = Table(
    "roster",
    metadata,
    Column("commitment", String(64), primary_key=True),
    Column("dao", String(64), ForeignKey("dao.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("models", Text, nullable=False),
    Column("gold_ppm", Integer, nullable=False),
    Column("prefer_seconds", BigInteger, nullable=False),
    Column("opened", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=True),
    UniqueConstraint("dao", "number"),
)
"""Models of one DAO that met in the arena from ``opened`` to ``closed``, as a JSON list; ``commitment`` is the hash of
the seed that drew their pairs."""

preference = Table(
    "preference",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("dao", String(64), ForeignKey("dao.name"), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("receipt_id", String(64), nullable=False, unique=True),
    Column("account", String(42), nullable=False),
    Column("preferred", String(3), nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("signature", String(130), nullable=False),
    Column("created", BigInteger, nullable=False),
)
"""Signed preferences on calls of the arena; what each call showed is kept with the call."""

feedback = Table(
    "feedback",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("dao", String(64), ForeignKey("dao.name"), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("receipt_id", String(64), nullable=False),
    Column("account", String(42), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Column("signature", String(130), nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("receipt_id", "kind"),
)

task_batch = Table(
    "task_batch",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("dao", String(64), ForeignKey("dao.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("terms", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("recipient", String(80), nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("next_place", BigInteger, nullable=False),
    Column("responses", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("public_id", String(64), nullable=True),
    Column("contribution", String(64), nullable=True),
    UniqueConstraint("dao", "number"),
)
"""A batch of tasks; ``id`` is its job's in the escrow. ``state`` is made, open, closed or settled; ``sealed_key`` is
the identity that opens its tasks and responses, sealed to the operator; ``next_place`` is the end of its queue,
``responses`` counts those taken; ``contribution`` holds the records that came of it."""

task = Table(
    "task",
    metadata,
    Column("batch", String(64), ForeignKey("task_batch.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("record", String(64), nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("gold", Boolean, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("task_queue", "batch", "place", sqlite_where=text("wanted > 0"), postgresql_where=text("wanted > 0")),
    Index("task_golds", "batch", "place", sqlite_where=text("gold"), postgresql_where=text("gold")),
    Index("task_record", "record"),
)
"""A task; ``record`` is the hash of what it is about, whatever is asked; ``wanted`` is how many more leases it takes (0
for golds, which are not in the queue), ``place`` its place in the queue; ``sealed`` is its content."""

seat = Table(
    "seat",
    metadata,
    Column("batch", String(64), ForeignKey("task_batch.id"), primary_key=True),
    Column("account", String(42), primary_key=True),
    Column("nonce", String(80), nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("golds_shown", Integer, nullable=False),
    Column("golds", Integer, nullable=False),
)
"""How far an account is in a batch: its newest nonce, the place of the queue up to which it has been, tasks and golds
that it was shown, golds that it answered."""

lease = Table(
    "lease",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("batch", String(64), ForeignKey("task_batch.id"), nullable=False),
    Column("task", Integer, nullable=False),
    Column("dao", String(64), nullable=False),
    Column("account", String(42), nullable=False),
    Column("record", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("serial", Integer, nullable=True),
    Column("commitment", String(64), nullable=True),
    Column("expiry", BigInteger, nullable=True),
    Column("signature", String(130), nullable=True),
    Column("opening", LargeBinary, nullable=True),
    UniqueConstraint("dao", "account", "record"),
    UniqueConstraint("batch", "serial"),
    Index(
        "lease_open", "batch", "expires", sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'")
    ),
)
"""A task in an account's hands, and its response: ``state`` is open, answered or expired; ``serial`` orders the
responses of a batch; ``opening`` is what the commitment hides, sealed to the batch's recipient. No record is shown
twice to one account in a DAO."""
