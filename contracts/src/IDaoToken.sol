// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a rewards contract needs of the DAO's token
interface IDaoToken {
    /// @notice The most that `turn` may issue.
    function issuable(uint64 turn) external view returns (uint256);
}
