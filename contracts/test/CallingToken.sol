// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PayToken} from "../src/PayToken.sol";

/// @notice Money that calls back while it moves.
contract CallingToken is PayToken {
    address private _target;
    bytes private _data;

    constructor() PayToken(msg.sender) {}

    function callBack(address target, bytes calldata data) external {
        (_target, _data) = (target, data);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        (bool done, bytes memory reason) = target.call(_data);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}
