// A buyer as x402's TypeScript packages make one, unmodified: `exact` once, then calls by channel, then the rest back.
// Reads {url, key, network, asset, calls} from its input and prints what it saw as JSON.

import { readFileSync } from "node:fs";

import { x402Client } from "@x402/core/client";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import {
  extractReceiptFromResponse,
  extractOffersFromPaymentRequired,
  verifyOfferSignatureEIP712,
  verifyReceiptSignatureEIP712,
} from "@x402/extensions/offer-receipt";
import { decodePaymentResponseHeader, wrapFetchWithPayment } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";

const task = JSON.parse(readFileSync(0, "utf8"));
const account = privateKeyToAccount(task.key);

function paying(scheme) {
  const client = new x402Client();
  client.register(task.network, scheme);
  client.setSpendControls({
    allowedAssets: [{ network: task.network, asset: task.asset, maxAmountPerPayment: "10000" }],
  });
  return wrapFetchWithPayment(fetch, client);
}

async function search(pay, k) {
  const body = JSON.stringify({ model: "docs", text: "open a file", k });
  const headers = { "content-type": "application/json" };
  const response = await pay(`${task.url}/v1/search`, { method: "POST", headers, body });
  const answer = await response.json();
  return {
    status: response.status,
    target: answer.data?.[0]?.target ?? answer,
    settlement: decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE")),
    response,
  };
}

const demanded = await fetch(`${task.url}/v1/search`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ model: "docs", text: "open a file" }),
});
const required = JSON.parse(Buffer.from(demanded.headers.get("PAYMENT-REQUIRED"), "base64").toString());
const offers = [];
for (const offer of extractOffersFromPaymentRequired(required)) {
  offers.push({ scheme: offer.payload.scheme, ...(await verifyOfferSignatureEIP712(offer)) });
}

const exact = await search(paying(new ExactEvmScheme(account)), 1);
const receipt = extractReceiptFromResponse(exact.response);
const channel = new BatchSettlementEvmScheme(account);
const pay = paying(channel);
const calls = [];
for (let call = 0; call < task.calls; call++) calls.push(await search(pay, 1 + (call % 3)));
const refund = await channel.refund(`${task.url}/v1/channels/docs`);

const shown = ({ response, ...rest }) => rest;
console.log(
  JSON.stringify({
    offers,
    receipt: await verifyReceiptSignatureEIP712(receipt),
    exact: shown(exact),
    calls: calls.map(shown),
    refund,
  }, (_, value) => (typeof value === "bigint" ? value.toString() : value)),
);
