"""Croissant metadata of a data set, with the DAO's open offers as an ODRL policy.

Croissant 1.0 (mlcommons.org/croissant/1.0) describes what a reader gets; here that is one JSON-lines file which no
stranger can fetch: records are sealed, and leave only under a grant. So ``contentUrl`` names the data set's hash, the
set is a live one, which needs no checksum (one would confirm a guess of its records), and
``odrl:hasPolicy`` says what a license costs, by what Licenses.sol has on the ledger. ODRL: w3.org/TR/odrl-model (2.2).
Figures of the report stand under Croissant RAI's terms (mlcommons.org/croissant/RAI/1.0). No text of a record is here.

>>> croissant(report, offers=[], chain_id=1)["conformsTo"]                     # doctest: +SKIP
'http://mlcommons.org/croissant/1.0'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rodagila.app.daos import Dao
from rodagila.core.hashing import hex0x
from rodagila.core.messages import Domain

Values = dict[str, Any]
CONFORMS = "http://mlcommons.org/croissant/1.0"
MODES = {1: "odrl:use", 2: "odrl:execute", 3: "odrl:reproduce"}
"""What a license permits: calls of the model, jobs on data that stays, or the release of the records."""
CONTEXT: Values = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that Croissant 1.0 prescribes, and ODRL's prefix."""


def open_offers(dao: Dao) -> list[Values]:
    """Return the DAO's offers that can be bought now, as its licenses contract has them, the oldest first."""
    licenses, now = dao.contract("Licenses"), dao.home.ledger.timestamp()
    closed = {event["offerId"] for event in licenses.events("OfferClosed", 0)}
    approved = [event for event in licenses.events("OfferApproved", 0) if event["offerId"] not in closed]
    return [
        {"id": hex0x(event["offerId"]), **_offer(event["offer"])}
        for event in approved
        if _offer(event["offer"])["closes_at"] > now
    ]


def _offer(offer: Any) -> Values:
    names = ("token", "price", "mode", "duration", "closesAt", "scopeRoot", "purposeHash")
    found = {name: offer[name] if isinstance(offer, Mapping) else getattr(offer, name) for name in names}
    return {
        "token": str(found["token"]),
        "price": int(found["price"]),
        "mode": int(found["mode"]),
        "duration_seconds": int(found["duration"]),
        "closes_at": int(found["closesAt"]),
        "scope": hex0x(found["scopeRoot"]),
        "purpose": hex0x(found["purposeHash"]),
    }


def croissant(
    report: Mapping[str, Any],
    *,
    domain: Domain,
    licenses: str,
    purpose: str,
    offers: Sequence[Mapping[str, Any]],
    at: int,
) -> Values:
    """Return the JSON-LD of the data set of ``report``; ``at`` is the time of its turn, seconds since 1970."""
    name, task = str(report["dao"]), report["task"]
    target = "label" if task == "classify" else "answer"
    site = f"urn:rodagila:eip155:{domain.chain_id}:{domain.registry}"
    body: Values = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": (
            f"{report['records']} records of {report['owners']} owners in the data DAO {name}, as its evaluators "
            f"accepted them up to turn {report['turn']}. Sealed: records leave only under a grant of the DAO."
        ),
        "conformsTo": CONFORMS,
        "license": f"{site}:licenses:{licenses}",
        "url": site,
        "version": f"{report['turn']}.0.0",
        "datePublished": datetime.fromtimestamp(at, UTC).date().isoformat(),
        "identifier": report["hash"],
        "creator": {"@type": "sc:Organization", "name": name, "identifier": domain.registry},
        "citeAs": f"Data DAO {name}, turn {report['turn']}, {report['hash']}",
        "isLiveDataset": True,
        "rai:dataUseCases": purpose,
        "rai:personalSensitiveInformation": [
            "Redacted by its owners before sealing; "
            f"{report['noise']['personal_data_left']} records still hold what redaction would find."
        ],
        "rai:dataBiases": _biases(report),
        "rai:dataCollection": "Contributed and signed by the owners of the data, who consented to the stated purpose.",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "records",
                "name": "records",
                "description": "One JSON object a line. Sealed; its order is that of the log.",
                "contentUrl": f"{site}:dataset:{report['hash']}",
                "encodingFormat": "application/jsonlines",
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "record",
                "name": "record",
                "description": "A record: the smallest datum.",
                "field": [
                    _field("text", "What was contributed, redacted."),
                    _field(target, f"The {target} of the text."),
                ],
            }
        ],
    }
    if offers:
        body["odrl:hasPolicy"] = [_policy(offer, site, report, domain) for offer in offers]
    return body


def _field(name: str, description: str) -> Values:
    return {
        "@type": "cr:Field",
        "@id": f"record/{name}",
        "name": f"record/{name}",
        "description": description,
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": "records"}, "extract": {"jsonPath": f"$.{name}"}},
    }


def _biases(report: Mapping[str, Any]) -> list[str]:
    bias = report["bias"]
    return [
        f"The largest owner brought {bias['largest_owner_ppm'] / 10_000:.1f}% of the records; "
        f"they are worth {bias['effective_owners']} equal owners.",
        f"Gini's coefficient over targets is {bias['gini_of_targets']}; the distribution differs from that of the gate "
        f"set by {bias['gap_to_the_gate']} (total variation).",
    ]


def _policy(offer: Mapping[str, Any], site: str, report: Mapping[str, Any], domain: Domain) -> Values:
    """Return one offer as ODRL: who pays the price may act until the license expires."""
    until = datetime.fromtimestamp(int(offer["closes_at"]), UTC).isoformat()
    return {
        "@type": "odrl:Offer",
        "@id": f"{site}:offer:{offer['id']}",
        "odrl:profile": {"@id": f"{site}:licenses"},
        "odrl:permission": [
            {
                "odrl:target": {"@id": f"{site}:dataset:{report['hash']}"},
                "odrl:assigner": {"@id": f"urn:eip155:{domain.chain_id}:{domain.registry}"},
                "odrl:action": {"@id": MODES[int(offer["mode"])]},
                "odrl:constraint": [
                    _constraint("odrl:dateTime", "odrl:lt", until, "http://www.w3.org/2001/XMLSchema#dateTime"),
                    _constraint("odrl:elapsedTime", "odrl:lteq", f"PT{offer['duration_seconds']}S", _DURATION),
                    _constraint("odrl:purpose", "odrl:eq", offer["purpose"], _TEXT),
                ],
                "odrl:duty": [
                    {
                        "odrl:action": {"@id": "odrl:compensate"},
                        "odrl:constraint": [
                            {
                                **_constraint("odrl:payAmount", "odrl:eq", str(offer["price"]), _INTEGER),
                                "odrl:unit": {"@id": f"urn:eip155:{domain.chain_id}:erc20:{offer['token']}"},
                            }
                        ],
                    }
                ],
            }
        ],
    }


_DURATION = "http://www.w3.org/2001/XMLSchema#duration"
_INTEGER = "http://www.w3.org/2001/XMLSchema#integer"
_TEXT = "http://www.w3.org/2001/XMLSchema#string"


def _constraint(left: str, operator: str, right: Any, kind: str) -> Values:
    return {
        "odrl:leftOperand": {"@id": left},
        "odrl:operator": {"@id": operator},
        "odrl:rightOperand": {"@value": right, "@type": kind},
    }
