// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPayToken} from "./IPayToken.sol";

/// @title What a treasury needs of its rewards contract
interface IRewards {
    /// @notice Take `amount` from the caller, the treasury, for the pool of `turn`.
    function fund(uint64 turn, uint256 amount) external;

    /// @notice The treasury that funds the pools and gets the slashes.
    function treasury() external view returns (address);

    /// @notice The money that payouts are made in.
    function token() external view returns (IPayToken);
}
