// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title What the contracts need of the money: ERC-20 and EIP-3009's receiving form with a bytes signature
interface IPayToken is IERC20 {
    /// @notice Move `value` from `from` to the caller, who must be `to`, by the authorisation that `from` signed.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}
