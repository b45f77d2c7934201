"""One exception tree; every error has a stable code, an HTTP status, an exit status, a sentence and a next step.

The tree (class: exit status, HTTP status)::

    RodaError              1  500   something failed inside
    +-- InvalidInput       2  422   what was given is not acceptable
    +-- NotAuthorised      3  401   key, signature or nonce does not prove what it should
    +-- NotFound           4  404   the named thing does not exist
    +-- PaymentFailed      5  402   a payment is missing, wrong or did not settle
    +-- RefusedByPolicy    6  403   the DAO's policy or the ledger's rules forbid it
    +-- Unreachable        7  503   a node, port, disk or ledger cannot be used now
    +-- Conflict           1  409   it contradicts what is already recorded
    +-- Corrupted          1  500   stored bytes are not what was stored

Exit and problem codes follow DESIGN 7; the HTTP shape is RFC 9457 problem+json.

>>> InvalidInput("record_too_large", "Record 3 has 20,000 bytes; 16,384 are allowed.", hint="Split it.").exit_status
2
"""

from __future__ import annotations

from typing import Any, ClassVar

CODES: dict[str, str] = {
    "account_unknown": "no key of that name or address is in this home",
    "action_invalid": "an action of a proposal lacks a field or has a wrong one",
    "amount_invalid": "the text is not an amount with at most six decimals",
    "answer_invalid": "the answer does not fit the task",
    "archive_damaged": "the archive or a file in it is not whole",
    "archive_unsafe": "the archive holds what no honest export does, or more than one may",
    "arena_small": "fewer than two models of the line can meet in the arena",
    "audit_mismatch": "a recomputed root, sum or hash differs from the published one",
    "author_unknown": "the export does not say which of its authors is the contributor",
    "ballot_invalid": "the ballot is not what its voter signed, or not a ballot",
    "ballot_used": "the governor has counted another ballot of this voter with that nonce, or waits for an earlier one",
    "batch_closed": "the batch of tasks takes no responses now",
    "batch_file_invalid": "the public file of a batch of tasks is not what the protocol writes",
    "batch_known": "this batch root is already registered",
    "batch_unknown": "no such batch of tasks",
    "blob_missing": "no blob with that id is stored",
    "blob_tampered": "the stored bytes do not hash to the blob's id",
    "blob_too_large": "the bytes exceed what one blob may hold",
    "block_unknown": "the ledger has no block of that number",
    "body_too_large": "the request body exceeds the gateway's limit",
    "bond_insufficient": "the account cannot cover the bond of its records",
    "budget_short": "the account cannot cover the budget of its tasks",
    "call_reverted": "the contract refused the call",
    "canonical_unsupported": "the value has no canonical JSON form",
    "chain_mismatch": "signed for another chain",
    "channel_broken": "the gateway says of a payment channel what its payer never signed",
    "channel_busy": "another program pays from this file of payment channels",
    "channel_unknown": "the file holds no payment channel of that kind",
    "ciphertext_unreadable": "the sealed bytes cannot be opened with this key",
    "consent_expired": "the owner's consent has expired",
    "consent_mismatch": "the consent shown is not the one the owner signed",
    "contents_mismatch": "the opened records do not recompute to the signed content root",
    "contract_unknown": "the package ships no contract of that name",
    "contribution_known": "this contribution is already recorded",
    "contribution_revoked": "the owner revoked the contribution",
    "contribution_too_large": "the contribution holds more records than the policy allows",
    "contribution_unknown": "no contribution with that id",
    "dao_exists": "a DAO of that name exists in this home",
    "dao_mismatch": "signed for another DAO",
    "dao_unknown": "no DAO of that name in this home",
    "database_corrupted": "the database cannot be read",
    "database_newer": "the database was written by a newer version",
    "disk_full": "the disk has no room left",
    "document_invalid": "the bytes are not the document that the proposal names",
    "embedder_changed": "the embedder's weights do not hash to the pinned value",
    "feedback_invalid": "the feedback does not fit its kind or its receipt",
    "feedback_used": "this receipt already gave feedback of that kind",
    "file_empty": "the file holds no records",
    "file_exists": "a file or directory of that name exists; nothing is overwritten",
    "file_too_large": "the file is larger than one source may be",
    "file_unknown": "there is no file at that path",
    "file_unreadable": "the file cannot be read as the format it claims",
    "gas_short": "the account that pays gas does not hold enough of the chain's money",
    "gold_known": "a gold task was used in an earlier batch",
    "grant_expired": "the grant has expired",
    "grant_revoked": "the grant was revoked",
    "grant_unknown": "the ledger holds no final grant with that id",
    "home_locked": "another process holds this home",
    "home_outdated": "the home was made by a version whose contracts this one cannot run",
    "index_corrupted": "the vector index cannot be read; it is rebuilt from the records",
    "invalid_request": "the request does not have the required shape",
    "invariant_broken": "a law of the mechanism does not hold; nothing was published",
    "json_malformed": "a line is not valid JSON",
    "keeper_mismatch": "the request is for another keeper",
    "key_exists": "a key of that name exists",
    "key_invalid": "the text is not a private key",
    "lease_expired": "the lease of the task has expired",
    "lease_unknown": "no lease with that id",
    "lease_used": "the lease has another response already",
    "ledger_corrupted": "the ledger's file cannot be read or does not verify",
    "ledger_disagrees": "the endpoints of the ledger contradict each other",
    "ledger_reorganised": "the chain replaced a block that this home had taken as confirmed",
    "log_corrupted": "the transparency log is not what its head signed",
    "log_invalid": "the log does not take such an entry",
    "log_mismatch": "a transparency log does not hold what its proof should show",
    "log_unknown": "the transparency log has no such entry or head",
    "manifest_signature": "the manifest is not signed by the owner it names",
    "model_unknown": "no model of that name",
    "name_invalid": "the name may hold only letters, digits, dot, dash and underscore",
    "no_faucet": "this chain has no faucet; money must come from its owners",
    "node_invalid": "the node's answer cannot be true, or has not the form that the protocol gives it",
    "nonce_replayed": "the owner already used this nonce",
    "nonce_wrong": "the transaction's nonce is not the account's next one",
    "note_invalid": "the text is not a signed note, or not of that signer",
    "passphrase_wrong": "the passphrase does not open this key",
    "payment_invalid": "the payment does not satisfy the price",
    "payment_required": "this call must be paid",
    "payment_unsettled": "the payment could not be settled; nothing was served",
    "payment_used": "this payment already paid for a call",
    "phrase_invalid": "the words are not a recovery phrase, or not enough of them",
    "policy_invalid": "the policy breaks a rule of its schema",
    "policy_mismatch": "signed under another policy",
    "policy_unknown": "the text of that policy is not in this home",
    "port_in_use": "another program listens on that port",
    "power_short": "the account has too little voting power for that",
    "preference_expired": "the time for a preference on that call is over",
    "preference_invalid": "the preference is not its payer's word on a call of the arena",
    "preference_used": "this receipt already gave its preference",
    "proof_invalid": "the proof is not signed by the evaluator for this contribution",
    "proposal_known": "this very proposal was made before",
    "proposal_state": "the proposal is not in the state that this step needs",
    "proposal_unknown": "no proposal with that id in this DAO",
    "public_file_invalid": "the public file of a turn is not what the protocol writes",
    "purpose_refused": "the keeper may not release the key for that purpose",
    "quorum_missing": "too few keepers released their share",
    "rate_limited": "too many requests of that kind for now",
    "ratings_invalid": "the file is not one of ratings, or what it holds was not signed",
    "receipt_invalid": "the receipt is not signed by this DAO's gateway",
    "receipt_unknown": "no receipt with that id was issued here",
    "record_invalid": "a record lacks its text or has a field that is not text",
    "record_too_large": "a record exceeds the policy's size limit",
    "request_expired": "the request is past its deadline",
    "request_signature": "the request is not signed by the account that may make it",
    "response_invalid": "the request or response is not signed by its account for this task",
    "root_disputed": "somebody disputes the turn's roots; the DAO decides",
    "root_known": "this turn already has a root",
    "root_rejected": "the DAO took the turn's roots away",
    "round_unknown": "the stake contract knows no round of that id",
    "route_unknown": "no route of that method and path",
    "row_malformed": "a row does not have the header's columns",
    "scope_refused": "the scope of the grant does not contain that contribution",
    "share_invalid": "these are not shares of one secret, or no such sharing is possible",
    "share_known": "the keeper holds another share of that contribution",
    "share_mismatch": "a share is not the one that its hash names",
    "share_unknown": "the keeper holds no share of that contribution",
    "snapshot_invalid": "the file is not a whole snapshot of a home",
    "task_none": "no task is left for this account",
    "tasks_invalid": "the tasks or their terms do not have the required form",
    "tasks_known": "this batch of tasks exists already",
    "token_invalid": "the token cannot be the money of a DAO",
    "transaction_invalid": "the transaction cannot be included in a block",
    "transaction_unknown": "no block holds that transaction",
    "treasury_short": "the DAO holds less than what the turn must pay",
    "turn_closed": "the turn is already closed",
    "turn_empty": "the turn has no accepted contributions",
    "turn_unknown": "no such turn",
    "unconfirmed": "the effect is not in a confirmed block yet",
    "unexpected": "an unexpected error; the log has the details",
    "unknown_columns": "the file has columns the policy does not know",
    "unreachable": "the other side cannot be reached",
    "usage": "the command was called with wrong arguments",
    "value_inputs": "vectors, targets, flags or weights given to valuation do not fit together",
    "vote_known": "this account has voted on the proposal",
    "weights_invalid": "the weights or the ranking are not what their format says",
    "window_open": "the challenge window is still open",
}
"""Every stable code with its meaning; a code that is not here cannot be raised."""


class RodaError(Exception):
    """An error a person can act on.

    ``message`` is one sentence that says what was given and what is required; ``hint`` says what to do next;
    ``details`` are JSON values for programs (never secrets).
    """

    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, code: str, message: str, *, hint: str = "", **details: Any) -> None:
        if code not in CODES:
            raise ValueError(f"error code {code!r} is not registered in rodagila.core.errors.CODES")
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def problem(self) -> dict[str, Any]:
        """Return the RFC 9457 problem object, also used by ``--json`` errors."""
        body: dict[str, Any] = {
            "type": f"urn:rodagila:problem:{self.code}",
            "title": CODES[self.code],
            "status": self.http_status,
            "detail": self.message,
            "code": self.code,
        }
        if self.hint:
            body["hint"] = self.hint
        if self.details:
            body["details"] = self.details
        return body


class InvalidInput(RodaError):
    """What was given is not acceptable."""

    exit_status, http_status = 2, 422


class NotAuthorised(RodaError):
    """A key, signature or nonce does not prove what it should."""

    exit_status, http_status = 3, 401


class NotFound(RodaError):
    """The named thing does not exist."""

    exit_status, http_status = 4, 404


class PaymentFailed(RodaError):
    """A payment is missing, wrong or did not settle."""

    exit_status, http_status = 5, 402


class RefusedByPolicy(RodaError):
    """The DAO's policy or the ledger's rules forbid it."""

    exit_status, http_status = 6, 403


class Unreachable(RodaError):
    """A node, port, disk or ledger cannot be used now."""

    exit_status, http_status = 7, 503


class Conflict(RodaError):
    """It contradicts what is already recorded."""

    http_status = 409


class Corrupted(RodaError):
    """Stored bytes are not what was stored."""
