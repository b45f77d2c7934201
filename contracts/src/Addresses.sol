// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Where x402's clients expect these contracts on every chain. The embedded chain has them there from its first block.
address constant CHANNELS = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;
address constant PERMIT2 = 0x000000000022D473030F116dDEE9F6B43aC78BA3;
