"""The market: what a call costs, how it is paid by x402 on the ledger, and the receipt that proves it."""
