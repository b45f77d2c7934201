// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Which chains are for development
/// @notice The embedded chain, "roda" in ASCII, and 31337, which every development node takes. Nobody's money is there,
/// so tokens come from a faucet and decisions may take seconds.
library DevelopmentChain {
    uint256 internal constant EMBEDDED = 0x726f6461;
    uint256 internal constant LOCAL = 31337;

    function here() internal view returns (bool) {
        return block.chainid == EMBEDDED || block.chainid == LOCAL;
    }
}
