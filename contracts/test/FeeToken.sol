// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PayToken} from "../src/PayToken.sol";

/// @notice Money that keeps one unit of each transfer, as some tokens do.
contract FeeToken is PayToken {
    constructor() PayToken(msg.sender) {}

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0), 1);
    }
}
